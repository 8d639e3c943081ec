//! Where the page's answers come from.

use std::path::PathBuf;

use crate::cli::CliError;
use crate::cli::client::{Answer, Line};
use crate::sink::query::Request;

/// Somebody who answers what an observer's socket does: one observer, or one who asks many and merges what they say.
pub trait Answers: Send + Sync + 'static {
    /// May block. The lines come whole: a request that follows is not for this.
    ///
    /// # Errors
    /// Nobody answers: one line with the cause and the way out.
    fn ask(&self, request: &Request) -> Result<Answered, CliError>;
}

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// As the socket sends them, each with its newline, in its order.
    pub lines: String,
    /// Nodes that should have answered, and did not.
    pub silent: Vec<String>,
}

/// The observer on this node.
pub(super) struct Socket(pub PathBuf);

impl Answers for Socket {
    fn ask(&self, request: &Request) -> Result<Answered, CliError> {
        let mut answer = Answer::to(request, &self.0)?;
        let mut answered = Answered::default();
        while let Some(line) = answer.next()? {
            if let Line::Item(line) = line {
                answered.lines.push_str(&line);
            }
        }
        Ok(answered)
    }
}
