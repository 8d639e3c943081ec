//! PostgreSQL: a client may ask for encryption before it says who it is (PostgreSQL documentation, "Message Flow" 55.2).

use super::buffer::Buffer;
use super::name::{Cursor, Miss, Proof};
use super::upgrade::Step;
use crate::model::Protocol;

const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
const VERSION_3: u32 = 3;
/// The server's own limit (MAX_STARTUP_PACKET_LENGTH).
const LONGEST: u32 = 10_000;
const REQUEST: usize = 8;

enum First {
    /// A question that the server answers with one byte.
    Question,
    /// Who the client is: it goes on in clear.
    Startup,
}

fn read(client: &mut Cursor<'_>) -> Result<First, Miss> {
    const LONGEST_NAME: usize = 64;
    let length = client.be32()?;
    if !(8..=LONGEST).contains(&length) {
        return Err(Miss::No);
    }
    match (length, client.be32()?) {
        (8, SSL | GSS) => Ok(First::Question),
        (12..=264, CANCEL) => Ok(First::Startup),
        (_, version) if version >> 16 == VERSION_3 => {
            let name =
                client.until(0, LONGEST_NAME, |byte| byte.is_ascii_lowercase() || b"_.".contains(&byte))?;
            if name.is_empty() { Err(Miss::No) } else { Ok(First::Startup) }
        }
        _ => Err(Miss::No),
    }
}

/// The first message of a client proves the protocol.
pub fn first_message(client: &mut Cursor<'_>, _: &mut Cursor<'_>) -> Result<Proof, Miss> {
    read(client).map(|first| match first {
        First::Question => Proof::Postgres,
        First::Startup => Proof::Plaintext(Protocol::Postgres),
    })
}

/// Questions and answers before the startup message.
#[derive(Default)]
pub struct Postgres {
    asked: bool,
    refused: bool,
}

impl Postgres {
    pub fn advance(&mut self, client: &mut Buffer, server: &mut Buffer) -> Option<Step> {
        loop {
            if self.asked {
                let answer = *server.bytes().first()?;
                server.consume(1);
                match answer {
                    b'S' => return Some(Step::Accepted),
                    b'G' => return Some(Step::Unknown("gss-encryption")),
                    b'N' => (self.asked, self.refused) = (false, true),
                    // An error: it is older than the question, and hangs up.
                    _ => return Some(Step::Unknown("upgrade-refused")),
                }
            } else {
                match read(&mut Cursor::new(client.bytes())) {
                    Ok(First::Question) => {
                        client.consume(REQUEST);
                        self.asked = true;
                    }
                    Ok(First::Startup) => return Some(Step::Plaintext),
                    Err(Miss::Incomplete) => return None,
                    Err(Miss::No) => return Some(Step::Unknown("malformed-upgrade")),
                }
            }
        }
    }

    pub fn end(&self) -> Step {
        Step::Unknown(if self.refused && !self.asked { "upgrade-refused" } else { "upgrade-pending" })
    }
}
