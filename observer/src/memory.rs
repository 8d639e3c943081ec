//! What is in this process's memory stays there: captured bytes may hold credentials, so they go into no core dump, no
//! other process's hands, no swap, and not into what is said of a panic.

use std::any::Any;
use std::fs;
use std::panic::{self, PanicHookInfo};

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// In bytes; less than a tenth of a thread's stack.
const STACK_USED: usize = 192 * 1024;
const UNLIMITED: Rlimit = Rlimit { current: None, maximum: None };

/// What keeps memory from being written to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// It is locked.
    Locked,
    /// The limit of locked memory may not be raised, but there is nowhere to swap to.
    Nowhere,
    /// The limit may not be raised, and the node swaps.
    Possible,
}

/// Guards this process's memory; call it before there is anything in it, and before privileges are given up.
pub fn guard() {
    panic::set_hook(Box::new(tell));
    // Also keeps others of the same user from /proc/PID/mem and ptrace (proc(5), PR_SET_DUMPABLE).
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "core dumps cannot be turned off for this process");
    }
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    match may_lock() {
        // Pages are locked when they are first touched: what is reserved and not used costs nothing.
        true => {
            let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
            if let Err(error) = mlockall(all) {
                tracing::warn!(%error, "memory cannot be locked; it may be swapped out");
            }
        }
        false if swaps() => tracing::warn!("memory may be swapped out; `observer doctor` says the way out"),
        false => {}
    }
}

/// Overwrites what calls that returned have left on this thread's stack: copies of captured bytes that went through
/// registers and local arrays. Deeper than any call goes that reads an event.
#[inline(never)]
pub fn wipe_stack() {
    let mut unused = [0_u8; STACK_USED];
    std::hint::black_box(&mut unused);
}

/// What [`guard`] could do here.
#[must_use]
pub fn swap() -> Swap {
    match may_lock() {
        true => Swap::Locked,
        false if swaps() => Swap::Possible,
        false => Swap::Nowhere,
    }
}

/// With any limit a later allocation could fail, and that ends the process.
fn may_lock() -> bool {
    getrlimit(Resource::Memlock) == UNLIMITED || setrlimit(Resource::Memlock, UNLIMITED).is_ok()
}

/// proc_swaps(5): a line of titles, then one for each area. Unreadable is no.
fn swaps() -> bool {
    fs::read_to_string("/proc/swaps").is_ok_and(|areas| areas.lines().count() > 1)
}

fn tell(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    eprintln!(
        "thread {} panicked at {place}: {}",
        thread.name().unwrap_or("unnamed"),
        message(info.payload())
    );
}

/// Text that stands in the source is told; what was put together may quote captured bytes, as the complaint about an
/// index within a character does.
fn message(payload: &dyn Any) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("not told, for it may quote captured bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_panic_only_words_of_the_source_are_told() {
        let secret = String::from("tökén");
        let cut = panic::catch_unwind(|| secret[..2].len()).unwrap_err();
        // What the standard library would print does quote it.
        assert!(cut.downcast_ref::<String>().is_some_and(|text| text.contains("tökén")));
        assert_eq!(message(&*cut), "not told, for it may quote captured bytes");
        let plain = panic::catch_unwind(|| panic!("the table is empty")).unwrap_err();
        assert_eq!(message(&*plain), "the table is empty");
    }
}
