//! Arrays whose memory the daemon shares with the kernel programs.

use std::os::fd::{AsFd, AsRawFd as _};
use std::ptr::{self, NonNull};
use std::{io, slice};

/// The mapped values of an array map, each of them made of atomics alone.
pub struct Shared<T> {
    memory: NonNull<T>,
    entries: usize,
}

// SAFETY: the memory is touched through atomics alone, which `map` asks of its caller.
unsafe impl<T: Sync> Send for Shared<T> {}

impl<T> Shared<T> {
    /// Maps an array of `entries` values. `T` has the layout of the map's value, and atomics for fields.
    ///
    /// # Errors
    /// As mmap(2): the map was not created with BPF_F_MMAPABLE, or is shorter.
    pub fn map(fd: impl AsFd, entries: u32) -> io::Result<Self> {
        let entries = entries as usize;
        // SAFETY: a fresh shared mapping of an array map's values; nothing else of this process overlaps it.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                entries * size_of::<T>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_fd().as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { memory, entries })
    }

    pub fn entries(&self) -> &[T] {
        // SAFETY: the mapping holds so many values for as long as `self` lives.
        unsafe { slice::from_raw_parts(self.memory.as_ptr(), self.entries) }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length, and unmapped once.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.entries * size_of::<T>()) };
    }
}
