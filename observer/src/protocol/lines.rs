//! Dialogues in lines of text in which TLS may be asked for: SMTP (RFC 3207), FTP (RFC 4217), POP3 and IMAP (RFC 2595).

use std::collections::VecDeque;

use super::buffer::Buffer;
use super::upgrade::Step;
use crate::model::Protocol;

/// RFC 5321 section 4.5.3.1 allows 512 and extensions more.
const LONGEST_LINE: usize = 4096;
/// Clients number their commands.
const LONGEST_TAG: usize = 64;
/// A client that says so much without coming to the point is left alone.
const MOST_COMMANDS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Smtp,
    Ftp,
    Pop3,
    Imap,
}

impl Dialect {
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Smtp => Protocol::Smtp,
            Self::Ftp => Protocol::Ftp,
            Self::Pop3 => Protocol::Pop3,
            Self::Imap => Protocol::Imap,
        }
    }
}

/// What a client's line means here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    StartTls,
    /// It says nothing that matters, and TLS may still be asked for.
    Prelude,
    /// Business: it is done in clear.
    Business,
}

/// A reply that is awaited.
struct Awaited {
    /// IMAP's tag; empty elsewhere.
    tag: Vec<u8>,
    starts_tls: bool,
}

/// See the module.
pub struct Lines {
    dialect: Dialect,
    awaited: VecDeque<Awaited>,
    commands: usize,
    refused: bool,
}

impl Lines {
    pub fn new(dialect: Dialect) -> Self {
        // The greeting is the first reply; IMAP's has no tag and answers nothing.
        let greeting = (dialect != Dialect::Imap).then_some(Awaited { tag: Vec::new(), starts_tls: false });
        Self { dialect, awaited: greeting.into_iter().collect(), commands: 0, refused: false }
    }

    pub fn advance(&mut self, client: &mut Buffer, server: &mut Buffer) -> Option<Step> {
        loop {
            // After a request for TLS the client waits: what follows is for whoever is agreed on.
            let waits = self.awaited.iter().any(|awaited| awaited.starts_tls);
            if !waits && let Some(length) = line(client) {
                if let Some(step) = self.command(&client.bytes()[..length]) {
                    return Some(step);
                }
                client.consume(length);
            } else if let Some(length) = line(server) {
                let step = self.reply(&server.bytes()[..length]);
                server.consume(length);
                if step.is_some() {
                    return step;
                }
            } else if client.len() > LONGEST_LINE && !waits || server.len() > LONGEST_LINE {
                return Some(Step::Unknown("line-too-long"));
            } else if waits && client.len() > LONGEST_LINE {
                return Some(Step::Unknown("upgrade-pending"));
            } else {
                return None;
            }
        }
    }

    pub fn kept(&self) -> usize {
        self.awaited.iter().map(|awaited| size_of::<Awaited>() + awaited.tag.len()).sum()
    }

    pub fn end(&self) -> Step {
        if self.awaited.iter().any(|awaited| awaited.starts_tls) {
            Step::Unknown("upgrade-pending")
        } else if self.refused {
            Step::Unknown("upgrade-refused")
        } else {
            Step::Plaintext
        }
    }

    fn command(&mut self, line: &[u8]) -> Option<Step> {
        let mut words = line.trim_ascii().split(|byte| *byte == b' ');
        let tag = if self.dialect == Dialect::Imap {
            words.next().unwrap_or_default().to_vec()
        } else {
            Vec::new()
        };
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        let argument = words.next().unwrap_or_default().to_ascii_uppercase();
        let command = meaning(self.dialect, &verb, &argument);
        if command == Command::Business {
            return Some(Step::Plaintext);
        }
        self.commands += 1;
        if self.commands > MOST_COMMANDS || tag.len() > LONGEST_TAG {
            return Some(Step::Unknown("upgrade-pending"));
        }
        self.awaited.push_back(Awaited { tag, starts_tls: command == Command::StartTls });
        None
    }

    fn reply(&mut self, line: &[u8]) -> Option<Step> {
        let accepted = match self.dialect {
            Dialect::Smtp | Dialect::Ftp => {
                // `250-` goes on, and lines between may be anything (RFC 959 section 4.2).
                let last = matches!(line, [a, b, c, b' ' | b'\r' | b'\n', ..] if [a, b, c].iter().all(|d| d.is_ascii_digit()));
                last.then(|| line.starts_with(if self.dialect == Dialect::Smtp { b"220" } else { b"234" }))
            }
            Dialect::Pop3 if line.starts_with(b"+OK") => Some(true),
            Dialect::Pop3 if line.starts_with(b"-ERR") => Some(false),
            Dialect::Pop3 => None,
            Dialect::Imap => {
                let mut words = line.trim_ascii().split(|byte| *byte == b' ');
                let tag = words.next().unwrap_or_default();
                let mine = self.awaited.front().is_some_and(|awaited| awaited.tag == tag);
                mine.then(|| words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"OK")))
            }
        }?;
        let answered = self.awaited.pop_front()?;
        if answered.starts_tls && accepted {
            return Some(Step::Accepted);
        }
        self.refused |= answered.starts_tls;
        None
    }
}

/// The length of the first line, if it is whole.
fn line(buffer: &Buffer) -> Option<usize> {
    buffer.bytes().iter().take(LONGEST_LINE).position(|&byte| byte == b'\n').map(|end| end + 1)
}

fn meaning(dialect: Dialect, verb: &[u8], argument: &[u8]) -> Command {
    let (starts, prelude): (bool, &[&[u8]]) = match dialect {
        Dialect::Smtp => {
            (verb == b"STARTTLS", &[b"EHLO", b"HELO", b"LHLO", b"NOOP", b"HELP", b"RSET", b"QUIT"])
        }
        Dialect::Ftp => (
            verb == b"AUTH" && (argument.starts_with(b"TLS") || argument == b"SSL"),
            &[b"FEAT", b"SYST", b"NOOP", b"HOST", b"OPTS", b"AUTH", b"HELP", b"QUIT"],
        ),
        Dialect::Pop3 => (verb == b"STLS", &[b"CAPA", b"NOOP", b"QUIT"]),
        Dialect::Imap => (verb == b"STARTTLS", &[b"CAPABILITY", b"NOOP", b"ID", b"LOGOUT"]),
    };
    if starts {
        Command::StartTls
    } else if prelude.contains(&verb) {
        Command::Prelude
    } else {
        Command::Business
    }
}
