//! The daemon's words to single sockets, in memory shared with the kernel programs.

use std::os::fd::{AsFd, AsRawFd as _};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::{io, slice};

use observer_common::{CONTROL_SLOTS, Control, control_slot, verb};

use crate::model::{Cookie, Direction};

/// [`Control`] as both sides touch it.
#[repr(C)]
struct Slot {
    cookie: AtomicU64,
    verb: AtomicU32,
    argument: AtomicU32,
    other: AtomicU32,
    padding: u32,
}

const _: () = assert!(size_of::<Slot>() == size_of::<Control>());
const BYTES: usize = CONTROL_SLOTS as usize * size_of::<Slot>();

/// The mapped array `CONTROLS`.
pub struct ControlTable {
    memory: NonNull<Slot>,
}

// SAFETY: the memory is touched through atomics alone.
unsafe impl Send for ControlTable {}

impl ControlTable {
    /// # Errors
    /// As mmap(2): the map was not created with BPF_F_MMAPABLE.
    pub fn map(fd: impl AsFd) -> io::Result<Self> {
        // SAFETY: a fresh shared mapping of an array map's values; nothing else of this process overlaps it.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_fd().as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(memory.cast()).map(|memory| Self { memory }).ok_or_else(io::Error::last_os_error)
    }

    /// Ship no more bytes of this socket.
    pub fn stop(&self, cookie: Cookie) {
        self.say(cookie, verb::STOP, 0, 0);
    }

    /// Leave out what this socket sends or receives before `sequence`.
    pub fn resume_at(&self, cookie: Cookie, direction: Direction, sequence: u32) {
        let verb = match direction {
            Direction::Received => verb::RESUME_RECEIVED,
            Direction::Sent => verb::RESUME_SENT,
        };
        self.say(cookie, verb, sequence, 0);
    }

    /// This socket speaks HTTP/2: frames start at these sequence numbers of what it receives and of what it sends.
    pub fn frames_at(&self, cookie: Cookie, received: Option<u32>, sent: Option<u32>) {
        match (received, sent) {
            (Some(received), Some(sent)) => self.say(cookie, verb::FRAMES, received, sent),
            (Some(received), None) => self.say(cookie, verb::FRAMES_RECEIVED, received, 0),
            (None, Some(sent)) => self.say(cookie, verb::FRAMES_SENT, 0, sent),
            (None, None) => {}
        }
    }

    fn say(&self, cookie: Cookie, verb: u32, argument: u32, other: u32) {
        // SAFETY: the mapping holds CONTROL_SLOTS slots for as long as `self` lives.
        let slots = unsafe { slice::from_raw_parts(self.memory.as_ptr(), CONTROL_SLOTS as usize) };
        let slot = &slots[control_slot(cookie.0) as usize];
        // The cookie makes the word valid: it goes first when leaving and last when entering.
        slot.cookie.store(0, Ordering::Release);
        slot.verb.store(verb, Ordering::Release);
        slot.argument.store(argument, Ordering::Release);
        slot.other.store(other, Ordering::Release);
        slot.cookie.store(cookie.0, Ordering::Release);
    }
}

impl Drop for ControlTable {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length, and unmapped once.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), BYTES) };
    }
}
