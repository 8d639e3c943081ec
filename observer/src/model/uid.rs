use std::fmt;
use std::hash::{Hash, Hasher};

/// An object's uid, in 16 bytes. The API server's are UUIDs; the kubelet's hash of a static pod is as long. Any other
/// text is hashed: such uids compare, and cannot be read again.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uid([u8; 16]);

/// FNV-1a of 128 bits (draft-eastlake-fnv): the API server chooses uids, so nobody aims for a collision.
const FNV_OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const FNV_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

impl Uid {
    /// Names of cgroups have `_` for the uid's `-`: both read the same.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(hexadecimal(text).unwrap_or_else(|| hashed(text)).to_be_bytes())
    }

    /// `None` for a text that no uid looks like.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let other = || (!text.is_empty() && text.bytes().all(plain)).then(|| hashed(text));
        hexadecimal(text).or_else(other).map(|uid| Self(uid.to_be_bytes()))
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Hash for Uid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        Self::of(text)
    }
}

fn hexadecimal(text: &str) -> Option<u128> {
    match <&[u8; 36]>::try_from(text.as_bytes()) {
        Ok(uuid) => uuid_digits(uuid).and_then(|digits| number(&digits)),
        Err(_) => number(text.as_bytes().try_into().ok()?),
    }
}

/// RFC 9562 section 4: 8-4-4-4-12.
fn uuid_digits(text: &[u8; 36]) -> Option<[u8; 32]> {
    if [8, 13, 18, 23].iter().any(|place| !matches!(text[*place], b'-' | b'_')) {
        return None;
    }
    let mut digits = [0; 32];
    for (from, to, len) in [(0, 0, 8), (9, 8, 4), (14, 12, 4), (19, 16, 4), (24, 20, 12)] {
        digits[to..to + len].copy_from_slice(&text[from..from + len]);
    }
    Some(digits)
}

fn number(digits: &[u8; 32]) -> Option<u128> {
    let mut bad = false;
    let mut half = |digits: &[u8]| {
        digits.iter().fold(0u64, |half, byte| {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => {
                    bad = true;
                    0
                }
            };
            half << 4 | u64::from(digit)
        })
    };
    let (high, low) = (half(&digits[..16]), half(&digits[16..]));
    (!bad).then_some(u128::from(high) << 64 | u128::from(low))
}

fn hashed(text: &str) -> u128 {
    let bytes = text.bytes().map(|byte| if byte == b'_' { b'-' } else { byte });
    bytes.fold(FNV_OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(FNV_PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_the_same_in_the_api_and_in_a_cgroups_name() {
        let uid = Uid::of("1b3f6c1e-7a0d-4c55-9e5b-0a1b2c3d4e5f");
        assert_eq!(uid, Uid::of("1b3f6c1e_7a0d_4c55_9e5b_0a1b2c3d4e5f"));
        assert_eq!(format!("{uid:?}"), "1b3f6c1e7a0d4c559e5b0a1b2c3d4e5f");
        assert_eq!(Uid::of("uid-of_a-test"), Uid::of("uid-of-a-test"));
    }

    #[test]
    fn different_texts_are_different_uids() {
        let texts = [
            "1b3f6c1e-7a0d-4c55-9e5b-0a1b2c3d4e5f",
            "1b3f6c1e-7a0d-4c55-9e5b-0a1b2c3d4e50",
            "1B3F6C1E-7A0D-4C55-9E5B-0A1B2C3D4E5F",
            "3c1b7e0f9a5d4c2b8e6f0a1d2c3b4e5f",
            "3c1b7e0f9a5d4c2b8e6f0a1d2c3b4e5f0",
            "a",
            "b",
            "",
        ];
        for (place, text) in texts.iter().enumerate() {
            for other in &texts[..place] {
                assert_ne!(Uid::of(text), Uid::of(other), "{text} {other}");
            }
        }
    }

    #[test]
    fn other_texts_are_hashed_as_the_fnv_draft_has_it() {
        // draft-eastlake-fnv, section 6: the offset basis is the hash of nothing.
        assert_eq!(hashed(""), FNV_OFFSET);
        assert_eq!(hashed("a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
