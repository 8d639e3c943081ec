//! LDAP, DNS over TCP, and SSH.

use super::cursor::require;
use super::{Cursor, Miss, Proof};
use crate::model::Protocol;

/// RFC 4253 section 4.2: each side says its version first. What follows is encrypted, though not by TLS.
pub fn ssh(client: &mut Cursor<'_>, _: &mut Cursor<'_>) -> Result<Proof, Miss> {
    client.any_of(&[b"SSH-2.0-", b"SSH-1.99-"])?;
    Ok(Proof::Unknown(Protocol::Ssh, "ssh-encryption"))
}

/// RFC 7766: a length, then a query with one question; the answer has its id.
pub fn dns(client: &mut Cursor<'_>, server: &mut Cursor<'_>) -> Result<Proof, Miss> {
    const LONGEST_LABEL: u8 = 63;
    const RESPONSE: u16 = 0x8000;
    const OPCODE: u16 = 0x7800;
    let length = usize::from(client.be16()?);
    let id = client.be16()?;
    let flags = client.be16()?;
    require(flags & (RESPONSE | OPCODE) == 0)?;
    require(client.be16()? == 1)?;
    require(client.be16()? == 0)?;
    client.be16()?;
    require(client.be16()? <= 2)?;
    loop {
        let label = client.u8()?;
        require(label <= LONGEST_LABEL && client.at() <= length)?;
        if label == 0 {
            break;
        }
        client.take(usize::from(label))?;
    }
    // IN, CH, HS, ANY (RFC 1035 section 3.2.4).
    client.be16()?;
    require(matches!(client.be16()?, 1 | 3 | 4 | 255))?;
    server.be16()?;
    require(server.be16()? == id)?;
    require(server.be16()? & RESPONSE != 0)?;
    Ok(Proof::Plaintext(Protocol::Dns))
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 2;
const ENUMERATED: u8 = 10;
/// RFC 4511 section 4.14.1.
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// RFC 4511: a bind, a search, or the request for TLS with the server's answer.
pub fn ldap(client: &mut Cursor<'_>, server: &mut Cursor<'_>) -> Result<Proof, Miss> {
    const BIND: u8 = 0x60;
    const SEARCH: u8 = 0x63;
    const EXTENDED: u8 = 0x77;
    const EXTENDED_RESPONSE: u8 = 0x78;
    const NAME: u8 = 0x80;
    const SIMPLE: u8 = 0x80;
    const SASL: u8 = 0xa3;
    let (operation, id, end) = message(client)?;
    match operation {
        BIND => {
            length(client)?;
            client.literal(&[INTEGER, 1, 3])?;
            string(client, 4)?;
            match client.u8()? {
                SIMPLE => Ok(Proof::Plaintext(Protocol::Ldap)),
                // It may put a layer of encryption on top (RFC 4513 section 5.2).
                SASL => Ok(Proof::Unknown(Protocol::Ldap, "sasl-layer")),
                _ => Err(Miss::No),
            }
        }
        SEARCH => {
            length(client)?;
            string(client, 4)?;
            client.literal(&[ENUMERATED, 1])?;
            require(client.u8()? <= 3)?;
            client.literal(&[ENUMERATED, 1])?;
            Ok(Proof::Plaintext(Protocol::Ldap))
        }
        EXTENDED => {
            length(client)?;
            require(string(client, NAME)? == START_TLS)?;
            let (answer, to, answer_end) = message(server)?;
            require(answer == EXTENDED_RESPONSE && to == id)?;
            length(server)?;
            server.literal(&[ENUMERATED, 1])?;
            let accepted = server.u8()? == 0;
            client.skip_to(end)?;
            server.skip_to(answer_end)?;
            if accepted {
                return Ok(Proof::Tls { protocol: Protocol::Ldap, client: end, server: answer_end });
            }
            Ok(Proof::Unknown(Protocol::Ldap, "upgrade-refused"))
        }
        _ => Err(Miss::No),
    }
}

/// The tag of a message's operation, its id, and where the message ends.
fn message(cursor: &mut Cursor<'_>) -> Result<(u8, u32, usize), Miss> {
    require(cursor.u8()? == SEQUENCE)?;
    let length = length(cursor)?;
    require(length <= 65_535)?;
    let end = cursor.at() + length;
    require(cursor.u8()? == INTEGER)?;
    let digits = cursor.u8()?;
    require((1..=4).contains(&digits))?;
    let mut id = 0;
    for _ in 0..digits {
        id = id << 8 | u32::from(cursor.u8()?);
    }
    Ok((cursor.u8()?, id, end))
}

/// X.690 section 8.1.3, definite forms.
fn length(cursor: &mut Cursor<'_>) -> Result<usize, Miss> {
    const LONG: u8 = 0x80;
    let first = cursor.u8()?;
    if first & LONG == 0 {
        return Ok(usize::from(first));
    }
    let count = first & !LONG;
    require((1..=3).contains(&count))?;
    let mut length = 0;
    for _ in 0..count {
        length = length << 8 | usize::from(cursor.u8()?);
    }
    Ok(length)
}

fn string<'a>(cursor: &mut Cursor<'a>, tag: u8) -> Result<&'a [u8], Miss> {
    const LONGEST: usize = 1024;
    require(cursor.u8()? == tag)?;
    let length = length(cursor)?;
    require(length <= LONGEST)?;
    cursor.take(length)
}
