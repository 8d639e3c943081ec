//! MySQL and MariaDB: the server greets, the client answers with its login or asks for TLS first.

use super::cursor::{is_text, require};
use super::{Cursor, Miss, Proof};
use crate::model::Protocol;

const PROTOCOL_VERSION: u8 = 10;
const CLIENT_SSL: u32 = 0x800;
/// The payload of an SSLRequest: a login without its names.
const TLS_REQUEST: usize = 32;
const HEADER: usize = 4;

/// A packet header: length and sequence number.
fn header(cursor: &mut Cursor<'_>, sequence: u8) -> Result<usize, Miss> {
    let word = cursor.le32()?;
    require(word >> 24 == u32::from(sequence))?;
    Ok((word & 0x00ff_ffff) as usize)
}

/// Protocol::HandshakeV10, with the length of the whole packet.
pub fn greeting(server: &mut Cursor<'_>) -> Result<usize, Miss> {
    const LONGEST_VERSION: usize = 100;
    let length = header(server, 0)?;
    require((32..=512).contains(&length))?;
    require(server.u8()? == PROTOCOL_VERSION)?;
    let version = server.until(0, LONGEST_VERSION, is_text)?;
    require(version.first().is_some_and(u8::is_ascii_digit))?;
    server.skip_to(HEADER + length)?;
    Ok(HEADER + length)
}

/// What an answer to the greeting asks for: the length of a request for TLS, `None` for a login in clear.
fn tls_request(client: &mut Cursor<'_>) -> Result<Option<usize>, Miss> {
    let length = header(client, 1)?;
    require((TLS_REQUEST..=65_535).contains(&length))?;
    let capabilities = client.le32()?;
    if length != TLS_REQUEST || capabilities & CLIENT_SSL == 0 {
        return Ok(None);
    }
    client.skip_to(HEADER + length)?;
    Ok(Some(HEADER + length))
}

pub fn mysql(client: &mut Cursor<'_>, server: &mut Cursor<'_>) -> Result<Proof, Miss> {
    let request = tls_request(client)?;
    let greeting = greeting(server)?;
    Ok(match request {
        Some(request) => Proof::Tls { protocol: Protocol::Mysql, client: request, server: greeting },
        None => Proof::Plaintext(Protocol::Mysql),
    })
}
