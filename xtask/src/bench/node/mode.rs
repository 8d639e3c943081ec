//! What watches the node meanwhile.

use std::path::Path;

use anyhow::Result;
use observer_harness::EmptyPrograms;
use serde::{Serialize, Serializer};

use super::load::Load;
use super::meter::Meter;
use super::observer::Daemon;
use super::peer::{Peer, Watching};
use super::stage::Stage;
use crate::scratch::Scratch;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    None,
    /// Empty kernel programs where the observer has its own.
    Floor,
    Observer,
    Peer(Peer),
}

impl Mode {
    pub fn name(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Floor => "floor",
            Self::Observer => "observer",
            Self::Peer(peer) => &peer.name,
        }
    }

    /// # Errors
    /// If there is none of this name.
    pub fn parse(name: &str) -> Result<Self, String> {
        let all = [
            Self::None,
            Self::Floor,
            Self::Observer,
            Self::Peer(Peer::tcpdump()),
            Self::Peer(Peer::tshark()),
        ];
        let names: Vec<_> = all.iter().map(|mode| mode.name().to_owned()).collect();
        let wanted = all.into_iter().find(|mode| mode.name() == name);
        wanted.ok_or_else(|| format!("there are {}; others can be named with --peer", names.join(", ")))
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A mode that is in force. Dropping it ends it, too.
pub enum Watcher {
    None,
    Floor { _programs: EmptyPrograms },
    Observer(Daemon),
    Peer(Watching),
}

impl Watcher {
    /// # Errors
    /// If it cannot be started here.
    pub fn start(mode: &Mode, stage: &Stage, scratch: &Scratch, observer: &Path) -> Result<Self> {
        Ok(match mode {
            Mode::None => Self::None,
            Mode::Floor => Self::Floor { _programs: EmptyPrograms::attach(stage.node.cgroup_root())? },
            Mode::Observer => Self::Observer(Daemon::start(observer, &stage.node, scratch)?),
            Mode::Peer(peer) => Self::Peer(peer.start(stage, scratch)?),
        })
    }

    /// Of the process that watches; none if there is no process for it.
    pub fn meter(&self) -> Option<Meter> {
        match self {
            Self::None | Self::Floor { .. } => None,
            Self::Observer(daemon) => Some(Meter::of(daemon.pid())),
            Self::Peer(peer) => Some(peer.meter()),
        }
    }

    /// Of the process that holds its kernel programs.
    pub fn programs(&self) -> Option<Meter> {
        match self {
            Self::Floor { .. } => Some(Meter::of(std::process::id())),
            _ => self.meter(),
        }
    }

    pub fn daemon(&self) -> Option<&Daemon> {
        match self {
            Self::Observer(daemon) => Some(daemon),
            _ => None,
        }
    }

    /// Requests that a peer told of.
    pub fn told(&self, load: Load) -> Option<u64> {
        match self {
            Self::Peer(peer) => peer.requests(load),
            _ => None,
        }
    }

    /// # Errors
    /// If it does not end well.
    pub fn stop(self) -> Result<()> {
        match self {
            Self::Observer(daemon) => daemon.stop(),
            Self::Peer(peer) => peer.stop(),
            Self::None | Self::Floor { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_that_is_not_there_is_answered_with_those_that_are() {
        assert_eq!(Mode::parse("floor"), Ok(Mode::Floor));
        assert_eq!(Mode::parse("tshark"), Ok(Mode::Peer(Peer::tshark())));
        let error = Mode::parse("celling").unwrap_err();
        assert!(error.starts_with("there are none, floor, observer, tcpdump, tshark"), "{error}");
    }
}
