//! What bytes of no known protocol are like: text that anybody can read, or noise.

/// So many first bytes are looked at: enough to tell noise from structure.
pub const WINDOW: usize = 256;
/// Fewer tell nothing.
const FEWEST_FOR_NOISE: usize = 64;
/// Two characters and a line end, and then some: noise looks like this once in millions of times.
const FEWEST_FOR_TEXT: usize = 6;
/// Bits a byte, as a share of what so many different bytes could have; noise is above 0.9, English and JSON below 0.75.
const NOISE: f64 = 0.875;
/// Longer runs of letters and digits are names at best and encoded noise at worst.
const LONGEST_WORD: usize = 24;

/// Whether they are as good as random: encrypted, or compressed.
#[must_use]
pub fn is_noise(bytes: &[u8]) -> bool {
    if bytes.len() < FEWEST_FOR_NOISE {
        return false;
    }
    let mut counts = [0u32; 256];
    for &byte in bytes {
        counts[usize::from(byte)] += 1;
    }
    let total = bytes.len() as f64;
    let share = |count: &u32| f64::from(*count) / total;
    let entropy: f64 = counts.iter().filter(|count| **count > 0).map(|n| -share(n) * share(n).log2()).sum();
    entropy > NOISE * total.min(256.0).log2()
}

/// Whether they can only be text in clear: printable ASCII in lines, and not mostly runs that may be the base64 or hex
/// of something else. What is not English may well be text, and is not told.
#[must_use]
pub fn is_text(bytes: &[u8]) -> bool {
    let printable = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n');
    if bytes.len() < FEWEST_FOR_TEXT || !bytes.contains(&b'\n') || !bytes.iter().all(printable) {
        return false;
    }
    let encoded = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_-".contains(byte);
    let runs = bytes.split(|byte| !encoded(byte));
    let long: usize = runs.map(<[u8]>::len).filter(|length| *length > LONGEST_WORD).sum();
    long * 4 <= bytes.len()
}

/// Whether text speaks of encryption, and so may be about to start it.
#[must_use]
pub fn mentions_encryption(text: &[u8]) -> bool {
    let names = [&b"tls"[..], b"ssl", b"crypt", b"secur"];
    names.iter().any(|name| text.windows(name.len()).any(|word| word.eq_ignore_ascii_case(name)))
}
