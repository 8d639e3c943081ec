//! Sleeping until the kernel programs ask for attention.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::Timespec;

/// Waits for the ring's wake-ups. Edge-triggered: records that were submitted without one do not end the wait, or a
/// busy node would wake the daemon for each.
pub struct Alarm {
    epoll: OwnedFd,
}

impl Alarm {
    /// # Errors
    /// As epoll_create(2) and epoll_ctl(2).
    pub fn of(ring: impl AsFd) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, ring, EventData::new_u64(0), EventFlags::IN | EventFlags::ET)?;
        Ok(Self { epoll })
    }

    pub fn wait(&self, timeout: Duration) {
        let timeout = Timespec::try_from(timeout).ok();
        let mut events = [MaybeUninit::<Event>::uninit()];
        if epoll::wait(&self.epoll, &mut events, timeout.as_ref()).is_err() {
            // A signal, or worse: then at least not a busy loop.
            thread::sleep(Duration::from_millis(1));
        }
    }
}
