//! Protocols in lines, in which the server greets: mail and FTP.

use super::cursor::{is_text, is_word, require};
use super::{Cursor, Dialect, Miss, Proof};

const LONGEST_GREETING: usize = 1024;

/// Both greet with 220 (RFC 5321 section 4.2, RFC 959 section 5.4); the client's first command tells them apart.
pub fn smtp_or_ftp(client: &mut Cursor<'_>, server: &mut Cursor<'_>) -> Result<Proof, Miss> {
    const SMTP: [&[u8]; 3] = [b"EHLO ", b"HELO ", b"LHLO "];
    const FTP: [&[u8]; 6] = [b"USER ", b"AUTH ", b"FEAT\r\n", b"SYST\r\n", b"OPTS ", b"HOST "];
    let dialect = match client.any_word(&SMTP) {
        Ok(()) => Dialect::Smtp,
        Err(Miss::Incomplete) => return Err(Miss::Incomplete),
        Err(Miss::No) => {
            client.any_word(&FTP)?;
            Dialect::Ftp
        }
    };
    server.any_of(&[b"220 ", b"220-"])?;
    server.until(b'\r', LONGEST_GREETING, |byte| is_text(byte) || !byte.is_ascii())?;
    Ok(Proof::Lines(dialect))
}

/// RFC 1939 section 4; RFC 9051 section 7.1.
pub fn pop3_or_imap(client: &mut Cursor<'_>, server: &mut Cursor<'_>) -> Result<Proof, Miss> {
    const POP3: [&[u8]; 7] = [b"USER ", b"APOP ", b"CAPA\r\n", b"STLS\r\n", b"AUTH", b"PASS ", b"QUIT\r\n"];
    const IMAP: [&[u8]; 7] =
        [b"CAPABILITY\r\n", b"LOGIN ", b"AUTHENTICATE ", b"STARTTLS\r\n", b"ID ", b"NOOP\r\n", b"LOGOUT\r\n"];
    const LONGEST_TAG: usize = 32;
    match client.any_word(&POP3) {
        Ok(()) => {
            server.literal(b"+OK")?;
            require(matches!(server.u8()?, b' ' | b'\r'))?;
            Ok(Proof::Lines(Dialect::Pop3))
        }
        Err(Miss::Incomplete) => Err(Miss::Incomplete),
        Err(Miss::No) => {
            client.until(b' ', LONGEST_TAG, is_word)?;
            client.any_word(&IMAP)?;
            server.any_word(&[b"* OK ", b"* PREAUTH "])?;
            Ok(Proof::Lines(Dialect::Imap))
        }
    }
}
