//! Capabilities of threads.

use std::io;
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
};

use super::ConfineError;

const NONE: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};
/// A new thread gives up what it was born with within microseconds.
const OTHERS_WITHIN: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(2);

/// What a daemon that observes still needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    None,
    /// Where the kernel wants it for every bpf(2), reading a map that is open already among them: before Linux 5.19
    /// (c8644cd0efe7), unless `kernel.unprivileged_bpf_disabled` is 0.
    Bpf,
}

impl Kept {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bpf => "CAP_BPF",
        }
    }

    /// `CAP_SYS_ADMIN` stands in for `CAP_BPF` where that was not given.
    fn of(self, held: CapabilitySet) -> CapabilitySet {
        match self {
            Self::None => CapabilitySet::empty(),
            Self::Bpf if held.contains(CapabilitySet::BPF) => CapabilitySet::BPF,
            Self::Bpf => held & CapabilitySet::SYS_ADMIN,
        }
    }
}

/// Found by trying, since kernels of distributions have what newer ones brought: whether `works` fails without
/// capabilities, which it is called without, in a thread of its own.
pub fn needs_capability(works: impl FnOnce() -> bool + Send) -> Kept {
    if without(works).unwrap_or(false) { Kept::None } else { Kept::Bpf }
}

/// Does it in a thread that has no capability, and whose threads will have none.
///
/// # Errors
/// There can be no such thread, or it dies.
pub fn without<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let done = thread::Builder::new().spawn_scoped(scope, || {
            set_capabilities(None, NONE)?;
            Ok(work())
        })?;
        done.join().unwrap_or_else(|_| Err(io::Error::other("the thread died")))
    })
}

/// Gives up all that this thread may. It has nothing that could fail: nobody is refused to have less.
pub fn unprivileged() {
    let _ = set_capabilities(None, NONE);
}

pub(super) fn keep(kept: Kept) -> io::Result<()> {
    let left = kept.of(capabilities(None)?.permitted);
    set_capabilities(None, CapabilitySets { effective: left, permitted: left, ..NONE })?;
    Ok(())
}

/// The bounding set limits what programs get that root starts. Without `CAP_SETPCAP` it stays, and `no_new_privs` alone
/// sees to it.
pub(super) fn empty_bounding_set() {
    for capability in CapabilitySet::all().iter() {
        // An old kernel does not know the newest.
        let _ = remove_capability_from_bounding_set(capability);
    }
}

/// Waits until no thread but this one has capabilities.
pub(super) fn await_others() -> Result<(), ConfineError> {
    let started = Instant::now();
    let own = rustix::thread::gettid().as_raw_nonzero().get();
    loop {
        let others = privileged_threads().map_err(ConfineError::Capabilities)?;
        let Some(thread) = others.into_iter().find(|thread| *thread != own) else { return Ok(()) };
        if started.elapsed() > OTHERS_WITHIN {
            return Err(ConfineError::Thread { thread });
        }
        thread::sleep(PAUSE);
    }
}

/// The threads of this process that may do more than others (proc_pid_status(5), CapPrm).
fn privileged_threads() -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        let thread = thread?;
        // Threads end.
        let Ok(status) = fs::read_to_string(thread.path().join("status")) else { continue };
        let permitted =
            status.lines().find_map(|line| line.strip_prefix("CapPrm:")).unwrap_or_default().trim();
        if permitted.bytes().any(|digit| digit != b'0')
            && let Some(number) = thread.file_name().to_str().and_then(|name| name.parse().ok())
        {
            found.push(number);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cap_sys_admin_is_kept_only_where_cap_bpf_is_not_there() {
        // capabilities(7): CAP_BPF was separated out of CAP_SYS_ADMIN, which still includes it.
        let (bpf, admin) = (CapabilitySet::BPF, CapabilitySet::SYS_ADMIN);
        assert_eq!(Kept::Bpf.of(bpf | admin | CapabilitySet::NET_ADMIN), bpf);
        assert_eq!(Kept::Bpf.of(admin | CapabilitySet::NET_ADMIN), admin);
        assert_eq!(Kept::None.of(CapabilitySet::all()), CapabilitySet::empty());
    }

    #[test]
    fn what_works_without_capabilities_keeps_none() {
        assert_eq!(needs_capability(|| true), Kept::None);
        assert_eq!(needs_capability(|| false), Kept::Bpf);
    }

    #[test]
    fn what_is_tried_is_tried_without_capabilities() {
        let seen = || privileged_threads().unwrap();
        let own = || rustix::thread::gettid().as_raw_nonzero().get();
        needs_capability(|| {
            assert!(!seen().contains(&own()));
            true
        });
    }
}
