//! Drives the real daemon: what a test needs besides the simulated node.

mod daemon;
mod directory;
pub mod needles;
mod tokens;
pub mod wire;

pub use daemon::{Daemon, DaemonBuilder, release_binary};
pub use directory::Directory;
pub use tokens::{Claims, TokenIssuer, base64url};
