//! Message brokers.

use super::cursor::{is_text, require};
use super::{Cursor, Miss, Proof};
use crate::model::Protocol;

/// The protocol header of AMQP 0-9-1 (section 4.2.2) and of 1.0 (section 2.2; 2 asks for TLS, 3 for SASL).
pub fn amqp(client: &mut Cursor<'_>, server: &mut Cursor<'_>) -> Result<Proof, Miss> {
    const TLS: [u8; 4] = [2, 1, 0, 0];
    client.literal(b"AMQP")?;
    let version = client.be32()?.to_be_bytes();
    match version {
        [0, 0, 9, 1] | [1, 1, 0 | 8 | 9, _] | [0 | 3, 1, 0, 0] => Ok(Proof::Plaintext(Protocol::Amqp)),
        TLS => {
            // The server agrees by saying the same.
            server.literal(b"AMQP")?;
            if server.be32()?.to_be_bytes() == TLS {
                return Ok(Proof::Tls { protocol: Protocol::Amqp, client: client.at(), server: server.at() });
            }
            Ok(Proof::Unknown(Protocol::Amqp, "upgrade-refused"))
        }
        _ => Err(Miss::No),
    }
}

/// A CONNECT packet of MQTT 3.1 to 5 (section 3.1).
pub fn mqtt(client: &mut Cursor<'_>, _: &mut Cursor<'_>) -> Result<Proof, Miss> {
    const CONNECT: u8 = 0x10;
    const CONTINUES: u8 = 0x80;
    require(client.u8()? == CONNECT)?;
    for _ in 0..4 {
        if client.u8()? & CONTINUES == 0 {
            break;
        }
    }
    client.any_of(&[b"\x00\x04MQTT\x04", b"\x00\x04MQTT\x05", b"\x00\x06MQIsdp\x03"])?;
    Ok(Proof::Plaintext(Protocol::Mqtt))
}

/// Kafka: a request header, and a response to it by its correlation id.
pub fn kafka(client: &mut Cursor<'_>, server: &mut Cursor<'_>) -> Result<Proof, Miss> {
    const SIZES: std::ops::RangeInclusive<u32> = 8..=100_000_000;
    const LAST_API: u16 = 100;
    const LAST_VERSION: u16 = 25;
    const NULL: u16 = 0xffff;
    const LONGEST_NAME: u16 = 255;
    require(SIZES.contains(&client.be32()?))?;
    require(client.be16()? <= LAST_API)?;
    require(client.be16()? <= LAST_VERSION)?;
    let correlation = client.be32()?;
    let length = client.be16()?;
    if length != NULL {
        require(length <= LONGEST_NAME)?;
        for _ in 0..length {
            require(is_text(client.u8()?))?;
        }
    }
    require((4..=*SIZES.end()).contains(&server.be32()?))?;
    require(server.be32()? == correlation)?;
    Ok(Proof::Plaintext(Protocol::Kafka))
}

/// NATS: the server tells of itself, the client answers with its options. Where TLS is demanded, the client answers
/// with its hello instead.
pub fn nats(client: &mut Cursor<'_>, server: &mut Cursor<'_>) -> Result<Proof, Miss> {
    client.any_word(&[b"CONNECT {", b"CONNECT\t{", b"PING\r\n"])?;
    server.literal(b"INFO {")?;
    Ok(Proof::Plaintext(Protocol::Nats))
}
