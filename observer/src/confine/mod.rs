//! What the daemon gives up once the kernel programs are attached: capabilities, and the system calls that it never
//! makes. Whoever takes over a process that reads what anybody sends should find nothing in it to go on with.
//!
//! Capabilities belong to threads, so the order counts: [`begin`] while there is one thread, [`unprivileged`] in each
//! thread that needs none from its first moment, [`end`] in the one that loaded the programs, before it starts others.

mod calls;
mod capabilities;

use std::io;

pub use calls::{Forbidden, forbid_to_this_thread, probe_filter};
pub use capabilities::{Kept, needs_capability, unprivileged, without};

/// What could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    #[error("cannot give up capabilities: {0}")]
    Capabilities(io::Error),
    #[error("the thread {thread} has kept capabilities")]
    Thread { thread: i32 },
    #[error("the kernel does not take the filter of system calls: {0}")]
    Filter(String),
}

/// For a process of one thread: from now on no program that it starts gets more rights than it has itself.
pub fn begin() {
    if let Err(error) = rustix::thread::set_no_new_privs(true) {
        tracing::warn!(%error, "no_new_privs cannot be set: a program started from here could gain rights");
    }
    capabilities::empty_bounding_set();
}

/// Leaves this process with `kept` in this thread and in those that it starts, and nothing in others (who has started the
/// one that needs it calls [`unprivileged`]); and every thread with the system calls that a running daemon makes.
///
/// # Errors
/// The capabilities were not given up, in this thread or another. That the filter cannot be had is told, and no error:
/// kernels without seccomp observe all the same.
pub fn end(kept: Kept, forbidden: Forbidden) -> Result<(), ConfineError> {
    capabilities::keep(kept).map_err(ConfineError::Capabilities)?;
    capabilities::await_others()?;
    match calls::forbid(forbidden) {
        Ok(()) => {
            tracing::info!(
                capabilities = kept.as_str(),
                system_calls = forbidden.as_str(),
                "privileges given up"
            );
        }
        Err(error) => tracing::warn!(
            %error,
            cost = "whoever takes this process over can make every system call that its user may",
            "degraded"
        ),
    }
    Ok(())
}
