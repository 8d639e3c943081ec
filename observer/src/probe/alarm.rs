//! Sleeping until the kernel programs ask for attention.

use std::io;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Waits for the ring's wake-ups. Edge-triggered: records that were submitted without one do not end the wait, or a
/// busy node would wake the daemon for each.
pub struct Alarm {
    epoll: Epoll,
}

impl Alarm {
    /// # Errors
    /// As epoll_create(2) and epoll_ctl(2).
    pub fn of(ring: impl AsFd) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(ring, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0))?;
        Ok(Self { epoll })
    }

    pub fn wait(&self, timeout: Duration) {
        let milliseconds = u16::try_from(timeout.as_millis()).unwrap_or(u16::MAX);
        if self.epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::from(milliseconds)).is_err() {
            // A signal, or worse: then at least not a busy loop.
            thread::sleep(Duration::from_millis(1));
        }
    }
}
