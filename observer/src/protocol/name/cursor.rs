//! Reading bytes of which the end may not be there yet.

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// More bytes may give one.
    Incomplete,
    /// No more bytes can.
    No,
}

/// A place in bytes.
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub fn at(&self) -> usize {
        self.at
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// # Errors
    /// `Incomplete`: there are fewer.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Miss> {
        let taken = self.rest().get(..count).ok_or(Miss::Incomplete)?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Miss> {
        let taken = self.rest().first_chunk::<N>().ok_or(Miss::Incomplete)?;
        self.at += N;
        Ok(*taken)
    }

    pub fn u8(&mut self) -> Result<u8, Miss> {
        self.array().map(u8::from_be_bytes)
    }

    pub fn be16(&mut self) -> Result<u16, Miss> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn be32(&mut self) -> Result<u32, Miss> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn le32(&mut self) -> Result<u32, Miss> {
        self.array().map(u32::from_le_bytes)
    }

    /// # Errors
    /// `Incomplete`: there are fewer bytes than `end` in all.
    pub fn skip_to(&mut self, end: usize) -> Result<(), Miss> {
        if self.bytes.len() < end {
            return Err(Miss::Incomplete);
        }
        self.at = end;
        Ok(())
    }

    /// These bytes and no others.
    pub fn literal(&mut self, wanted: &[u8]) -> Result<(), Miss> {
        self.any_of(&[wanted])
    }

    /// The first of these that is there.
    pub fn any_of(&mut self, wanted: &[&[u8]]) -> Result<(), Miss> {
        self.matching(wanted, <[u8]>::eq)
    }

    /// The first of these that is there, letter case aside.
    pub fn any_word(&mut self, wanted: &[&[u8]]) -> Result<(), Miss> {
        self.matching(wanted, <[u8]>::eq_ignore_ascii_case)
    }

    fn matching(&mut self, wanted: &[&[u8]], equal: fn(&[u8], &[u8]) -> bool) -> Result<(), Miss> {
        let rest = self.rest();
        let mut miss = Miss::No;
        for word in wanted {
            let length = rest.len().min(word.len());
            if !equal(&rest[..length], &word[..length]) {
                continue;
            }
            if length == word.len() {
                self.at += length;
                return Ok(());
            }
            miss = Miss::Incomplete;
        }
        Err(miss)
    }

    /// Bytes that `fits` likes, up to `end`, which is read and not answered: at most `most`.
    pub fn until(&mut self, end: u8, most: usize, fits: fn(u8) -> bool) -> Result<&'a [u8], Miss> {
        let rest = self.rest();
        for (length, &byte) in rest.iter().enumerate().take(most + 1) {
            if byte == end {
                self.at += length + 1;
                return Ok(&rest[..length]);
            }
            if !fits(byte) {
                return Err(Miss::No);
            }
        }
        Err(if rest.len() > most { Miss::No } else { Miss::Incomplete })
    }
}

/// `No` unless it holds.
pub fn require(holds: bool) -> Result<(), Miss> {
    if holds { Ok(()) } else { Err(Miss::No) }
}

pub fn is_text(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t')
}

pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_graphic()
}
