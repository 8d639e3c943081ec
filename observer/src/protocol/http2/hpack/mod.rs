//! HPACK (RFC 7541): header blocks of one direction -> fields.
//!
//! A decoder of our own, because what it keeps is for its [`Reader`] to choose: an entry named authorization must keep
//! what was thought of the value and never its bytes. And because a slot whose content was never seen must not end it.

mod fixed;
mod huffman;
mod integer;
mod table;

use zeroize::Zeroizing;

use fixed::FIXED;
pub use table::LARGEST_TABLE;
use table::{Entry, Slot, Table};

/// Decides what is kept of names and values.
pub trait Reader {
    type Name: Clone;
    type Value: Clone;
    fn name(&mut self, bytes: &[u8]) -> Self::Name;
    fn value(&mut self, name: Option<&Self::Name>, bytes: &[u8]) -> Self::Value;
    /// A field of the block; `None` where it is not known. `passing`: no entry of the table holds the value, so this
    /// is the last that is heard of it.
    fn field(&mut self, name: Option<&Self::Name>, value: Option<&Self::Value>, passing: bool);
    /// The last entry that held this value is gone.
    fn forget(&mut self, value: Self::Value);
}

/// Why a block cannot be read: both ends of a real connection would end it (RFC 9113 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Truncated,
    Integer,
    Huffman,
    /// An index beyond the table.
    Index,
    /// A change of size elsewhere than at the start.
    LateResize,
}

/// The state that one direction's encoder shares with its decoder.
pub struct Decoder<N, V> {
    table: Table<N, V>,
}

impl<N, V> Default for Decoder<N, V> {
    fn default() -> Self {
        Self { table: Table::default() }
    }
}

impl<N: Clone, V: Clone> Decoder<N, V> {
    /// Reads one whole header block. After a fault the table is unknown, as it is after a loss.
    pub fn decode<R: Reader<Name = N, Value = V>>(
        &mut self,
        block: &[u8],
        reader: &mut R,
    ) -> Result<(), Fault> {
        let read = self.fields(block, reader);
        if read.is_err() {
            self.forget(reader);
        }
        read
    }

    /// Bytes that the table takes; `of` says how many a value takes beyond itself.
    pub fn kept(&self, of: impl Fn(&V) -> usize) -> usize {
        self.table.entries().map(|entry| size_of::<Entry<N, V>>() + of(&entry.value)).sum()
    }

    /// A block of this direction was not seen.
    pub fn forget<R: Reader<Name = N, Value = V>>(&mut self, reader: &mut R) {
        self.table.forget(&mut |value| reader.forget(value));
    }

    fn fields<R: Reader<Name = N, Value = V>>(
        &mut self,
        mut rest: &[u8],
        reader: &mut R,
    ) -> Result<(), Fault> {
        let mut fields_seen = false;
        while let Some(&first) = rest.first() {
            // RFC 7541 section 6: the leading bits tell the five representations apart.
            if first & 0b1000_0000 != 0 {
                self.indexed(integer::read(&mut rest, 7)?, reader)?;
            } else if first & 0b1110_0000 == 0b0010_0000 {
                if fields_seen {
                    return Err(Fault::LateResize);
                }
                let size = integer::read(&mut rest, 5)?;
                self.table.resize(size, &mut |value| reader.forget(value));
                continue;
            } else {
                let indexing = first & 0b0100_0000 != 0;
                self.literal(&mut rest, indexing, reader)?;
            }
            fields_seen = true;
        }
        Ok(())
    }

    fn indexed<R: Reader<Name = N, Value = V>>(&mut self, index: usize, reader: &mut R) -> Result<(), Fault> {
        if index == 0 {
            return Err(Fault::Index);
        }
        if let Some((name, value)) = FIXED.get(index - 1) {
            let name = reader.name(name.as_bytes());
            let value = reader.value(Some(&name), value.as_bytes());
            reader.field(Some(&name), Some(&value), true);
            return Ok(());
        }
        match self.table.get(index - 1 - FIXED.len()) {
            Slot::Known(entry) => reader.field(entry.name.as_ref(), Some(&entry.value), false),
            Slot::Unknown => reader.field(None, None, true),
            Slot::Nothing => return Err(Fault::Index),
        }
        Ok(())
    }

    fn literal<R: Reader<Name = N, Value = V>>(
        &mut self,
        rest: &mut &[u8],
        indexing: bool,
        reader: &mut R,
    ) -> Result<(), Fault> {
        let index = integer::read(rest, if indexing { 6 } else { 4 })?;
        let (name, name_length) = match index.checked_sub(1) {
            None => string(rest, |bytes| (Some(reader.name(bytes)), bytes.len()))?,
            Some(index) => match FIXED.get(index) {
                Some((name, _)) => (Some(reader.name(name.as_bytes())), name.len()),
                None => match self.table.get(index - FIXED.len()) {
                    Slot::Known(entry) => (entry.name.clone(), entry.name_length),
                    Slot::Unknown => (None, 0),
                    Slot::Nothing => return Err(Fault::Index),
                },
            },
        };
        let (value, value_length) = string(rest, |bytes| (reader.value(name.as_ref(), bytes), bytes.len()))?;
        reader.field(name.as_ref(), Some(&value), !indexing);
        if indexing {
            let entry = Entry::new(name, name_length, value, value_length);
            self.table.insert(entry, &mut |value| reader.forget(value));
        }
        Ok(())
    }

    #[cfg(test)]
    pub fn table(&self) -> &Table<N, V> {
        &self.table
    }
}

/// Reads a string (RFC 7541 section 5.2) and shows it to `see`; decoded, it may be a credential, and is wiped.
fn string<T>(rest: &mut &[u8], see: impl FnOnce(&[u8]) -> T) -> Result<T, Fault> {
    let huffman = rest.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer::read(rest, 7)?;
    let (bytes, left) = rest.split_at_checked(length).ok_or(Fault::Truncated)?;
    *rest = left;
    if !huffman {
        return Ok(see(bytes));
    }
    let mut decoded = Zeroizing::new(Vec::with_capacity(huffman::most(length)));
    huffman::decode(bytes, &mut decoded)?;
    Ok(see(&decoded))
}

#[cfg(test)]
mod tests;
