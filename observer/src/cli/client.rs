//! Asks the daemon on this node, or those of a cluster.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::de::DeserializeOwned;

use super::CliError;
use super::cluster::{Following, Heard, Observers};
use crate::sink::DEFAULT_SOCKET;
use crate::sink::query::{Hello, NOT_A_REQUEST, Notice, PROTOCOL_VERSION, Request};

/// A daemon that is slower than this is not well.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Whom to ask.
#[derive(Args, Clone, Debug)]
pub struct SocketArgs {
    /// The socket of the observer to ask
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// Those to ask instead; the path is the one in their containers.
    #[arg(skip)]
    pub cluster: Option<Arc<Observers>>,
}

/// One line of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// As it was sent, with its newline.
    Item(String),
    /// So many records were lost because this client was too slow.
    Dropped(u64),
}

/// The lines that answer a request.
#[derive(Debug)]
pub(super) enum Answer {
    Node(OneAnswer),
    /// Merged.
    Cluster(std::vec::IntoIter<String>),
    Following(Following, Arc<Observers>),
}

impl Answer {
    /// # Errors
    /// Nobody answers, or nobody that this client understands.
    pub fn to(request: &Request, whom: &SocketArgs) -> Result<Self, CliError> {
        let Some(cluster) = &whom.cluster else {
            return Ok(Self::Node(OneAnswer::to(request, &whom.socket)?));
        };
        Ok(match request {
            Request::Flows(flows) if flows.follow => {
                Self::Following(cluster.follow(request, &whom.socket)?, cluster.clone())
            }
            _ => Self::Cluster(cluster.ask(request, &whom.socket)?.0.into_iter()),
        })
    }

    /// The next line; `None` after the last.
    pub fn next(&mut self) -> Result<Option<Line>, CliError> {
        match self {
            Self::Node(answer) => answer.next(),
            Self::Cluster(lines) => Ok(lines.next().map(Line::Item)),
            Self::Following(following, cluster) => loop {
                return match following.next() {
                    Some(Heard::Item(line)) => Ok(Some(Line::Item(line))),
                    Some(Heard::Dropped(n)) => Ok(Some(Line::Dropped(n))),
                    Some(Heard::Silent(node, why)) => {
                        cluster.note_silent(&node, &why);
                        continue;
                    }
                    None => Err(CliError::Failed("no observer is left to follow; ask again".to_owned())),
                };
            },
        }
    }

    /// Whether reading on would wait.
    pub fn is_drained(&mut self) -> bool {
        match self {
            Self::Node(answer) => answer.is_drained(),
            Self::Cluster(lines) => lines.as_slice().is_empty(),
            Self::Following(following, _) => following.is_drained(),
        }
    }

    /// What a line holds.
    pub fn read<T: DeserializeOwned>(&self, line: &str) -> Result<T, CliError> {
        let by = match self {
            Self::Node(answer) => format!("the observer at {}", answer.socket.display()),
            _ => "an observer of the cluster".to_owned(),
        };
        serde_json::from_str(line)
            .map_err(|error| CliError::Failed(format!("{by} sent what cannot be read: {error}")))
    }
}

/// What one daemon answers.
#[derive(Debug)]
pub(super) struct OneAnswer {
    lines: BufReader<UnixStream>,
    socket: PathBuf,
    /// The daemon's.
    version: String,
}

impl OneAnswer {
    /// # Errors
    /// No daemon answers there, or one that this client does not understand.
    fn to(request: &Request, socket: &Path) -> Result<Self, CliError> {
        let path = socket.display();
        let stream = UnixStream::connect(socket).map_err(|error| {
            CliError::Failed(match error.kind() {
                ErrorKind::PermissionDenied => {
                    format!("no permission to ask the observer at {path}; run this as root or as the observer's user")
                }
                _ => format!(
                    "no observer answers at {path}: {error}; start one with `observer run`, or name its socket with --socket PATH"
                ),
            })
        })?;
        let broken = |error| CliError::Failed(format!("cannot talk to the observer at {path}: {error}"));
        stream.set_read_timeout(Some(ANSWER_WITHIN)).map_err(broken)?;
        let mut answer =
            Self { lines: BufReader::new(stream), socket: socket.to_owned(), version: String::new() };
        answer.greet()?;
        // An endless answer may pause for as long as it likes.
        if let Request::Flows(flows) = request
            && flows.follow
        {
            answer.lines.get_ref().set_read_timeout(None).map_err(broken)?;
        }
        let mut line = serde_json::to_string(request).map_err(|error| CliError::Failed(error.to_string()))?;
        line.push('\n');
        answer.lines.get_mut().write_all(line.as_bytes()).map_err(broken)?;
        Ok(answer)
    }

    fn greet(&mut self) -> Result<(), CliError> {
        let path = self.socket.display().to_string();
        let Some(line) = self.line()? else {
            return Err(CliError::Failed(format!(
                "the observer at {path} refused to answer: it answers root and its own user alone"
            )));
        };
        let hello: Hello = serde_json::from_str(&line).map_err(|_| {
            CliError::Failed(format!(
                "what answers at {path} is no observer; name its socket with --socket PATH"
            ))
        })?;
        if hello.protocol != PROTOCOL_VERSION {
            return Err(CliError::Failed(format!(
                "the observer at {path} is version {} (protocol {}) and this is version {} (protocol {PROTOCOL_VERSION}); use the same for both",
                hello.version,
                hello.protocol,
                env!("CARGO_PKG_VERSION"),
            )));
        }
        self.version = hello.version.into_owned();
        Ok(())
    }

    /// The next line; `None` after the last.
    fn next(&mut self) -> Result<Option<Line>, CliError> {
        let path = self.socket.display().to_string();
        let Some(line) = self.line()? else {
            return Err(CliError::Failed(format!("the observer at {path} went away; its log says why")));
        };
        match serde_json::from_str(&line) {
            Ok(Notice::End(_)) => Ok(None),
            Ok(Notice::Dropped(n)) => Ok(Some(Line::Dropped(n))),
            Ok(Notice::Error(why)) => Err(CliError::Failed(match why.strip_prefix(NOT_A_REQUEST) {
                Some(what) => format!(
                    "the observer at {path} is version {} and does not know all that this one, version {}, asks for ({what}); use the same for both",
                    self.version,
                    env!("CARGO_PKG_VERSION"),
                ),
                None => format!("the observer at {path} says: {why}"),
            })),
            Err(_) => Ok(Some(Line::Item(line))),
        }
    }

    /// Whether reading on would wait.
    fn is_drained(&self) -> bool {
        self.lines.buffer().is_empty()
    }

    fn line(&mut self) -> Result<Option<String>, CliError> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(line)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(CliError::Failed(format!(
                    "the observer at {} does not answer; see its /healthz",
                    self.socket.display()
                )))
            }
            Err(error) => Err(CliError::Failed(format!(
                "cannot read from the observer at {}: {error}",
                self.socket.display()
            ))),
        }
    }
}
