//! Databases and caches.

use super::cursor::{is_text, require};
use super::{Cursor, Miss, Proof};
use crate::model::Protocol;

/// Redis serialization protocol: an array of bulk strings, of which the first is a command.
pub fn redis(client: &mut Cursor<'_>, _: &mut Cursor<'_>) -> Result<Proof, Miss> {
    const LONGEST_COMMAND: usize = 32;
    client.literal(b"*")?;
    require(number(client)? > 0)?;
    client.literal(b"$")?;
    let length = number(client)?;
    require((1..=LONGEST_COMMAND).contains(&length))?;
    let command = client.take(length)?;
    require(command.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-_|".contains(byte)))?;
    client.literal(b"\r\n")?;
    Ok(Proof::Plaintext(Protocol::Redis))
}

fn number(cursor: &mut Cursor<'_>) -> Result<usize, Miss> {
    const MOST_DIGITS: usize = 7;
    let digits = cursor.until(b'\r', MOST_DIGITS, |byte| byte.is_ascii_digit())?;
    cursor.literal(b"\n")?;
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(Miss::No)
}

/// What a health check sends, and what a Redis server alone answers.
pub fn redis_inline(client: &mut Cursor<'_>, server: &mut Cursor<'_>) -> Result<Proof, Miss> {
    client.any_word(&[b"PING\r\n", b"PING\n"])?;
    server.any_of(&[b"+PONG\r\n", b"-NOAUTH ", b"-LOADING ", b"-DENIED "])?;
    Ok(Proof::Plaintext(Protocol::Redis))
}

/// MongoDB wire protocol: a little-endian header, answering nothing, with OP_MSG, OP_QUERY or OP_COMPRESSED.
pub fn mongodb(client: &mut Cursor<'_>, _: &mut Cursor<'_>) -> Result<Proof, Miss> {
    const HEADER: u32 = 16;
    const LONGEST: u32 = 48_000_000;
    const OPERATIONS: [u32; 3] = [2013, 2004, 2012];
    require((HEADER..=LONGEST).contains(&client.le32()?))?;
    client.le32()?;
    require(client.le32()? == 0)?;
    require(OPERATIONS.contains(&client.le32()?))?;
    Ok(Proof::Plaintext(Protocol::Mongodb))
}

/// memcached's text protocol (doc/protocol.txt), by a command and an answer.
pub fn memcached(client: &mut Cursor<'_>, server: &mut Cursor<'_>) -> Result<Proof, Miss> {
    const COMMANDS: [&[u8]; 20] = [
        b"get ",
        b"gets ",
        b"gat ",
        b"gats ",
        b"set ",
        b"add ",
        b"replace ",
        b"append ",
        b"prepend ",
        b"cas ",
        b"delete ",
        b"incr ",
        b"decr ",
        b"touch ",
        b"stats",
        b"version",
        b"flush_all",
        b"mg ",
        b"ms ",
        b"mn",
    ];
    const ANSWERS: [&[u8]; 17] = [
        b"VALUE ",
        b"END\r\n",
        b"STORED\r\n",
        b"NOT_STORED\r\n",
        b"EXISTS\r\n",
        b"NOT_FOUND\r\n",
        b"DELETED\r\n",
        b"TOUCHED\r\n",
        b"STAT ",
        b"VERSION ",
        b"OK\r\n",
        b"HD",
        b"EN\r\n",
        b"VA ",
        b"MN\r\n",
        b"CLIENT_ERROR ",
        b"SERVER_ERROR ",
    ];
    const LONGEST_LINE: usize = 2048;
    client.any_of(&COMMANDS)?;
    client.until(b'\n', LONGEST_LINE, |byte| is_text(byte) || byte == b'\r')?;
    server.any_of(&ANSWERS)?;
    Ok(Proof::Plaintext(Protocol::Memcached))
}

/// memcached's binary protocol: the answer repeats command and tag.
pub fn memcached_binary(client: &mut Cursor<'_>, server: &mut Cursor<'_>) -> Result<Proof, Miss> {
    const REQUEST: u8 = 0x80;
    const RESPONSE: u8 = 0x81;
    let header = |cursor: &mut Cursor<'_>, magic| {
        require(cursor.u8()? == magic)?;
        let command = cursor.u8()?;
        let key = u32::from(cursor.be16()?);
        let extras = u32::from(cursor.u8()?);
        require(cursor.u8()? == 0)?;
        cursor.be16()?;
        require(cursor.be32()? >= key + extras)?;
        Ok((command, cursor.be32()?))
    };
    let asked = header(client, REQUEST)?;
    require(header(server, RESPONSE)? == asked)?;
    Ok(Proof::Plaintext(Protocol::Memcached))
}

/// Cassandra's native protocol (versions 3 to 5): STARTUP or OPTIONS, and the answer that belongs to it.
pub fn cassandra(client: &mut Cursor<'_>, server: &mut Cursor<'_>) -> Result<Proof, Miss> {
    const ANSWER: u8 = 0x80;
    const STARTUP: u8 = 1;
    const OPTIONS: u8 = 5;
    const LONGEST: u32 = 4096;
    let version = client.u8()?;
    require((3..=5).contains(&version))?;
    let flags = client.u8()?;
    require(flags & !0x1f == 0)?;
    let stream = client.be16()?;
    require(matches!(client.u8()?, STARTUP | OPTIONS))?;
    require(client.be32()? <= LONGEST)?;
    require(server.u8()? & ANSWER != 0)?;
    server.u8()?;
    require(server.be16()? == stream)?;
    // ERROR, READY, AUTHENTICATE, SUPPORTED.
    require(matches!(server.u8()?, 0 | 2 | 3 | 6))?;
    Ok(Proof::Plaintext(Protocol::Cassandra))
}
