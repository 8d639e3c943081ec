//! Drives the real daemon: what a test needs besides the simulated node.

pub mod capture;
mod daemon;
mod directory;
pub mod documents;
pub mod downloads;
pub mod hostile;
pub mod needles;
pub mod programs;
pub mod reliability;
pub mod servers;
mod tokens;
pub mod wire;

pub use capture::{Capture, Reading};
pub use daemon::{Daemon, DaemonBuilder, release_binary};
pub use directory::Directory;
pub use tokens::{Claims, TokenIssuer, base64url};
