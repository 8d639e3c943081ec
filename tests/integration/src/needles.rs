//! Looking for secrets in text and in a process's memory.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result};

/// So many bytes in a row are no coincidence.
const WINDOW: usize = 12;
const CHUNK: usize = 1 << 20;
/// Findings enough to see what is wrong.
const SOME: usize = 100;

/// Secrets, cut into windows: a part that was left over is found too.
#[derive(Default)]
pub struct Needles {
    windows: HashSet<[u8; WINDOW]>,
    /// By their first two bytes: most of memory needs no more than a look here.
    starts: Vec<bool>,
    names: Vec<(String, Vec<u8>)>,
}

impl Needles {
    /// All windows of `secret`, which must have no window in common with what may be shown.
    pub fn add(&mut self, name: &str, secret: &[u8]) {
        self.starts.resize(1 << 16, false);
        for window in secret.array_windows::<WINDOW>() {
            self.starts[usize::from(u16::from_be_bytes([window[0], window[1]]))] = true;
            self.windows.insert(*window);
        }
        self.names.push((name.to_owned(), secret.to_vec()));
    }

    /// Where a window of a secret begins in `hay`, with the secret's name; each run of windows once.
    #[must_use]
    pub fn find(&self, hay: &[u8]) -> Vec<(String, usize)> {
        let mut found = Vec::new();
        let mut last = None;
        for (at, window) in hay.array_windows::<WINDOW>().enumerate() {
            if self.starts[usize::from(u16::from_be_bytes([window[0], window[1]]))]
                && self.windows.contains(window)
            {
                if last.is_none_or(|last| at > last + 1) {
                    let name = self.names.iter().find(|(_, secret)| contains(secret, window));
                    found.push((name.map(|(name, _)| name.clone()).unwrap_or_default(), at));
                }
                last = Some(at);
            }
        }
        found
    }

    /// As [`Self::find`], in all memory that only this process can write: heap, stacks, data. Says where, with
    /// what is around it; not more than some.
    ///
    /// # Errors
    /// The process is gone, or another's.
    pub fn find_in_process(&self, pid: u32) -> Result<Vec<String>> {
        self.find_in(pid, |mode, _| mode.starts_with("rw") && mode.ends_with('p'))
    }

    /// As [`Self::find_in_process`], in what it shares with the kernel: the ring.
    ///
    /// # Errors
    /// The process is gone, or another's.
    pub fn find_in_ring(&self, pid: u32) -> Result<Vec<String>> {
        self.find_in(pid, |mode, name| mode.ends_with('s') && name.contains("bpf"))
    }

    fn find_in(&self, pid: u32, wanted: impl Fn(&str, &str) -> bool) -> Result<Vec<String>> {
        let memory = File::open(format!("/proc/{pid}/mem"))?;
        let mut found = Vec::new();
        for line in fs::read_to_string(format!("/proc/{pid}/maps"))?.lines() {
            let mut fields = line.split_whitespace();
            let (range, mode) = (fields.next().context("range")?, fields.next().context("mode")?);
            if !wanted(mode, line.split_whitespace().nth(5).unwrap_or_default()) {
                continue;
            }
            let (start, end) = range.split_once('-').context("range")?;
            let (start, end) = (u64::from_str_radix(start, 16)?, u64::from_str_radix(end, 16)?);
            let mut at = start;
            while at < end && found.len() < SOME {
                // One window more than the step, for those that lie across.
                let mut chunk = vec![0; usize::try_from(end - at)?.min(CHUNK + WINDOW)];
                if memory.read_exact_at(&mut chunk, at).is_ok() {
                    for (name, offset) in self.find(&chunk) {
                        let place = at + offset as u64;
                        let region = line.split_whitespace().nth(5).unwrap_or("anonymous");
                        let near = &chunk[offset.saturating_sub(64)..(offset + 64).min(chunk.len())];
                        found.push(format!("{name} at {place:x} in {region}: {}", near.escape_ascii()));
                    }
                }
                at += CHUNK as u64;
            }
        }
        Ok(found)
    }
}

fn contains(secret: &[u8], window: &[u8]) -> bool {
    secret.windows(window.len()).any(|part| part == window)
}
