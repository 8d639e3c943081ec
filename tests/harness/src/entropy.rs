//! Random bytes, and the names made of them.

use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result};

/// `N` bytes of `/dev/urandom`.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("read /dev/urandom")?;
    Ok(bytes)
}

/// `2 * N` lower-case hexadecimal digits.
pub fn hex<const N: usize>() -> Result<String> {
    Ok(random::<N>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A random UUID (RFC 9562, version 4), as the API server gives to each object.
pub fn uuid() -> Result<String> {
    let mut bytes = random::<16>()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

/// The alphabet of generated object names (k8s.io/apimachinery `util/rand`): no vowels, so no words.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// The random end of a generated pod name: five characters.
pub fn suffix() -> Result<String> {
    Ok(encode(&random::<5>()?))
}

/// The `pod-template-hash` of a Deployment: ten characters, the same for all its pods.
pub fn template_hash(namespace: &str, deployment: &str) -> String {
    // FNV-1a, 64 bit: any stable spread will do.
    let hash = namespace
        .bytes()
        .chain(*b"/")
        .chain(deployment.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&hash.to_le_bytes());
    bytes[8..].copy_from_slice(&(hash.rotate_left(29) as u16).to_le_bytes());
    encode(&bytes)
}

fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])).collect()
}
