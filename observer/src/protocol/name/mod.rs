//! What protocol the first bytes prove, where they are neither HTTP nor TLS.
//!
//! Every reader gets what either side has said so far and answers by [`Miss`] or a [`Proof`]. More bytes never change
//! an answer other than `Incomplete`, so it does not matter how they were cut. Where a signature is short, the
//! server's answer has to fit it too.

mod cursor;
mod directory;
mod mail;
mod mysql;
mod queues;
mod stores;

pub use cursor::{Cursor, Miss};

use super::lines::Dialect;
use super::postgres;
use crate::model::Protocol;

/// What the first bytes prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// This protocol, in clear; it has no way to become encrypted from here on.
    Plaintext(Protocol),
    /// This protocol, which encrypts, or may encrypt, in a way of its own that does not show.
    Unknown(Protocol, &'static str),
    /// PostgreSQL's question whether the server encrypts.
    Postgres,
    /// A dialogue in lines, in which TLS may be asked for.
    Lines(Dialect),
    /// Both agreed on TLS: what follows the first so many bytes of either is the handshake.
    Tls { protocol: Protocol, client: usize, server: usize },
}

type Reader = fn(&mut Cursor<'_>, &mut Cursor<'_>) -> Result<Proof, Miss>;

const READERS: [Reader; 17] = [
    postgres::first_message,
    stores::redis,
    stores::mongodb,
    queues::amqp,
    queues::mqtt,
    directory::ssh,
    directory::ldap,
    stores::redis_inline,
    stores::memcached,
    stores::memcached_binary,
    stores::cassandra,
    queues::kafka,
    directory::dns,
    mysql::mysql,
    queues::nats,
    mail::smtp_or_ftp,
    mail::pop3_or_imap,
];

/// Reads what both sides have said.
///
/// # Errors
/// `Incomplete`: it may yet be something. `No`: it is nothing that is known here.
pub fn recognise(client: &[u8], server: &[u8]) -> Result<Proof, Miss> {
    for read in READERS {
        match read(&mut Cursor::new(client), &mut Cursor::new(server)) {
            Err(Miss::No) => {}
            answer => return answer,
        }
    }
    Err(Miss::No)
}

/// What a server's greeting tells where the client said nothing.
pub fn greeting(server: &[u8]) -> Option<Protocol> {
    let starts = |text: &[u8]| server.starts_with(text);
    if starts(b"SSH-2.0-") || starts(b"SSH-1.99-") {
        Some(Protocol::Ssh)
    } else if starts(b"INFO {") {
        Some(Protocol::Nats)
    } else if starts(b"* OK ") || starts(b"* PREAUTH ") {
        Some(Protocol::Imap)
    } else if starts(b"+OK ") {
        Some(Protocol::Pop3)
    } else if starts(b"220") && server.windows(4).any(|word| word.eq_ignore_ascii_case(b"SMTP")) {
        Some(Protocol::Smtp)
    } else if mysql::greeting(&mut Cursor::new(server)).is_ok() {
        Some(Protocol::Mysql)
    } else {
        None
    }
}
