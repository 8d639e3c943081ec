//! The daemon's words to single sockets, in memory shared with the kernel programs.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use observer_common::{CONTROL_SLOTS, Control, control_slot, verb};

use super::shared::Shared;
use crate::model::{Cookie, Direction};

/// [`Control`] as both sides touch it.
#[repr(C)]
struct Slot {
    cookie: AtomicU64,
    verb: AtomicU32,
    argument: AtomicU32,
    other: AtomicU32,
    slot: AtomicU32,
}

const _: () = assert!(size_of::<Slot>() == size_of::<Control>());

/// The mapped array `CONTROLS`.
pub struct ControlTable {
    slots: Shared<Slot>,
}

impl ControlTable {
    /// # Errors
    /// As mmap(2): the map was not created with BPF_F_MMAPABLE.
    pub fn map(fd: impl AsFd) -> io::Result<Self> {
        Ok(Self { slots: Shared::map(fd, CONTROL_SLOTS)? })
    }

    /// Ship no more bytes of this socket.
    pub fn stop(&self, cookie: Cookie) {
        self.say(cookie, verb::STOP, [0, 0, 0]);
    }

    /// Leave out what this socket sends or receives before `sequence`.
    pub fn resume_at(&self, cookie: Cookie, direction: Direction, sequence: u32) {
        let verb = match direction {
            Direction::Received => verb::RESUME_RECEIVED,
            Direction::Sent => verb::RESUME_SENT,
        };
        self.say(cookie, verb, [sequence, 0, 0]);
    }

    /// This socket speaks HTTP/2: frames start at these sequence numbers of what it receives and of what it sends.
    pub fn frames_at(&self, cookie: Cookie, received: Option<u32>, sent: Option<u32>) {
        match (received, sent) {
            (Some(received), Some(sent)) => self.say(cookie, verb::FRAMES, [received, sent, 0]),
            (Some(received), None) => self.say(cookie, verb::FRAMES_RECEIVED, [received, 0, 0]),
            (None, Some(sent)) => self.say(cookie, verb::FRAMES_SENT, [0, sent, 0]),
            (None, None) => {}
        }
    }

    /// Count in `slot` what this socket's client says again: the request that ended at `received`, whose answer ended
    /// at `sent`, was read.
    pub fn count(&self, cookie: Cookie, received: u32, sent: u32, slot: u32) {
        self.say(cookie, verb::COUNT, [received, sent, slot]);
    }

    fn say(&self, cookie: Cookie, verb: u32, [argument, other, number]: [u32; 3]) {
        let slot = &self.slots.entries()[control_slot(cookie.0) as usize];
        // The cookie makes the word valid: it goes first when leaving and last when entering.
        slot.cookie.store(0, Ordering::Release);
        slot.verb.store(verb, Ordering::Release);
        slot.argument.store(argument, Ordering::Release);
        slot.other.store(other, Ordering::Release);
        slot.slot.store(number, Ordering::Release);
        slot.cookie.store(cookie.0, Ordering::Release);
    }
}
