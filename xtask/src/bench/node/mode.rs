//! What watches the node meanwhile.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use observer_harness::EmptyPrograms;
use serde::Serialize;

use super::meter::Meter;
use super::observer::Daemon;
use super::stage::Stage;
use crate::scratch::Scratch;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nothing
    None,
    /// Empty kernel programs where the observer has its own
    Floor,
    /// The daemon
    Observer,
}

impl Mode {
    pub const OURS: [Self; 3] = [Self::None, Self::Floor, Self::Observer];

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Floor => "floor",
            Self::Observer => "observer",
        }
    }
}

/// A mode that is in force. Dropping it ends it, too.
pub enum Watcher {
    None,
    Floor { _programs: EmptyPrograms },
    Observer(Daemon),
}

impl Watcher {
    /// # Errors
    /// If it cannot be started here.
    pub fn start(mode: Mode, stage: &Stage, scratch: &Scratch, observer: &Path) -> Result<Self> {
        Ok(match mode {
            Mode::None => Self::None,
            Mode::Floor => Self::Floor { _programs: EmptyPrograms::attach(stage.node.cgroup_root())? },
            Mode::Observer => Self::Observer(Daemon::start(observer, &stage.node, scratch)?),
        })
    }

    /// Of the process that watches; none if there is no process for it.
    pub fn meter(&self) -> Option<Meter> {
        match self {
            Self::None | Self::Floor { .. } => None,
            Self::Observer(daemon) => Some(Meter::of(daemon.pid())),
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

    /// # Errors
    /// If it does not end well.
    pub fn stop(self) -> Result<()> {
        match self {
            Self::Observer(daemon) => daemon.stop(),
            Self::None | Self::Floor { .. } => Ok(()),
        }
    }
}
