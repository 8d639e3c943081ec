//! All nodes asked at once, each with its own time: a slow one costs nobody else's answer.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::Target;
use super::conversation::{Conversation, Reach, Said};

/// What asking may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Nodes that are asked at the same time.
    pub at_once: usize,
    /// One node's time, from the first byte to the last of what ends, and to the greeting of what goes on.
    pub within: Duration,
    /// One node's answer, in bytes.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { at_once: 32, within: Duration::from_secs(10), bytes: 32 * 1024 * 1024 }
    }
}

/// Hands each node's lines, or why there are none, to `each`, as they come.
pub async fn ask_all<R: Reach>(
    reach: &R,
    targets: &[Target],
    (command, request): (&[String], &str),
    limits: Limits,
    each: impl FnMut(&str, Result<Vec<String>, String>),
) {
    do_for_all(targets, limits, |target| ask(reach, target, command, request, limits.bytes), each).await;
}

/// Does something for each node, with the limits of number and time.
pub async fn do_for_all<'a, T, F: Future<Output = Result<T, String>>>(
    targets: &'a [Target],
    limits: Limits,
    what: impl Fn(&'a Target) -> F,
    mut each: impl FnMut(&str, Result<T, String>),
) {
    let what = &what;
    let asked = targets.iter().map(|target| async move {
        if let Some(why) = &target.absent {
            return (target, Err(why.clone()));
        }
        let outcome = tokio::time::timeout(limits.within, what(target)).await;
        (target, outcome.unwrap_or_else(|_| Err(late(limits))))
    });
    let mut answers = stream::iter(asked).buffer_unordered(limits.at_once);
    while let Some((target, answer)) = answers.next().await {
        each(&target.node, answer);
    }
}

pub fn late(limits: Limits) -> String {
    format!("nothing within {} s; give it more with --request-timeout SECONDS", limits.within.as_secs())
}

async fn ask<R: Reach>(
    reach: &R,
    target: &Target,
    command: &[String],
    request: &str,
    max: usize,
) -> Result<Vec<String>, String> {
    let mut conversation = Conversation::begin(reach.open(target, command).await?, request).await?;
    let (mut lines, mut bytes) = (Vec::new(), 0);
    loop {
        match conversation.next().await? {
            Said::Item(line) => {
                bytes += line.len();
                if bytes > max {
                    return Err(format!("its answer is longer than {} MiB; ask for less", max / 1024 / 1024));
                }
                lines.push(line);
            }
            Said::Dropped(_) => {}
            Said::End(n) if usize::try_from(n) == Ok(lines.len()) => return Ok(lines),
            Said::End(n) => return Err(format!("{} of {n} lines of its answer came", lines.len())),
        }
    }
}

#[cfg(test)]
#[path = "asking_tests.rs"]
mod tests;
