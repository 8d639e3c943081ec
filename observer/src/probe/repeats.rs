//! Requests that the kernel programs count instead of shipping them: who counts in which slot, and what was counted.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use observer_common::{REPEAT_SLOTS, Repeats as Layout, counting};

use super::shared::Shared;
use crate::model::{Cookie, HashMap, Repeats, Timestamp};

/// A kernel program that is about to count when its slot is taken away has done so by then.
const REST: Duration = Duration::from_secs(1);
/// A socket that says nothing has not heard yet that it is to count.
const PATIENCE: Duration = Duration::from_secs(10);

/// [`Layout`] as both sides touch it.
#[repr(C)]
struct Slot {
    cookie: AtomicU64,
    since: AtomicU32,
    client_next: AtomicU32,
    server_next: AtomicU32,
    answers: AtomicU32,
    counting: AtomicU32,
    enough: AtomicU32,
}

const _: () = assert!(size_of::<Slot>() == size_of::<Layout>());

struct Counting {
    slot: u32,
    asked: Timestamp,
    /// What was told of it last: the client's position, and answers.
    told: (Option<u32>, u32),
}

/// The mapped array `REPEATS`.
pub struct RepeatTable {
    slots: Shared<Slot>,
    /// Slots that were never used.
    fresh: std::ops::Range<u32>,
    /// Slots that are free since.
    resting: VecDeque<(Timestamp, u32)>,
    counting: HashMap<Cookie, Counting>,
}

impl RepeatTable {
    /// # Errors
    /// As mmap(2): the map was not created with BPF_F_MMAPABLE.
    pub fn map(fd: impl AsFd) -> io::Result<Self> {
        Ok(Self {
            slots: Shared::map(fd, REPEAT_SLOTS)?,
            fresh: 0..REPEAT_SLOTS,
            resting: VecDeque::new(),
            counting: HashMap::default(),
        })
    }

    /// A slot for the counts of this socket; `None` while all are taken.
    pub fn assign(&mut self, cookie: Cookie, now: Timestamp) -> Option<u32> {
        self.release(cookie, now);
        let rested = self.resting.front().is_some_and(|(since, _)| now.since(*since) >= REST);
        let number = match rested.then(|| self.resting.pop_front()).flatten() {
            Some((_, number)) => number,
            None => self.fresh.next()?,
        };
        let slot = &self.slots.entries()[number as usize];
        for word in [&slot.since, &slot.client_next, &slot.server_next, &slot.answers, &slot.enough] {
            word.store(0, Ordering::Relaxed);
        }
        slot.counting.store(counting::ASKED, Ordering::Relaxed);
        slot.cookie.store(cookie.0, Ordering::Release);
        self.counting.insert(cookie, Counting { slot: number, asked: now, told: (None, 0) });
        Some(number)
    }

    /// What this socket has counted since it was last asked; with its last word it gives its slot back.
    pub fn of(&mut self, cookie: Cookie, now: Timestamp) -> Option<Repeats> {
        let repeats = self.look(cookie, now)?;
        if repeats.over {
            self.release(cookie, now);
        }
        Some(repeats)
    }

    /// What sockets have counted anew. Where one has stopped, its last word comes before the record that says so.
    pub fn all(&mut self, now: Timestamp) -> Vec<Repeats> {
        let mut all = Vec::new();
        for (cookie, counting) in &mut self.counting {
            let Some(mut repeats) = counting.look(*cookie, &self.slots, now) else { continue };
            let told = (repeats.counted.map(|(_, client_next, _)| client_next), repeats.answers);
            repeats.over &= repeats.counted.is_none();
            if repeats.over || counting.told != told {
                counting.told = told;
                all.push(repeats);
            }
        }
        for over in all.iter().filter(|repeats| repeats.over) {
            self.release(over.cookie, now);
        }
        all
    }

    /// The next request of each socket is to be shipped: what it says is to be read in another way.
    pub fn recall(&self) {
        for counting in self.counting.values() {
            self.slots.entries()[counting.slot as usize].enough.store(1, Ordering::Relaxed);
        }
    }

    /// Takes the slots of sockets back of which nobody knows any more.
    pub fn retain(&mut self, is_known: impl Fn(Cookie) -> bool, now: Timestamp) {
        let gone: Vec<Cookie> = self.counting.keys().copied().filter(|cookie| !is_known(*cookie)).collect();
        for cookie in gone {
            self.release(cookie, now);
        }
    }

    fn release(&mut self, cookie: Cookie, now: Timestamp) {
        if let Some(Counting { slot, .. }) = self.counting.remove(&cookie) {
            self.slots.entries()[slot as usize].cookie.store(0, Ordering::Release);
            self.resting.push_back((now, slot));
        }
    }

    fn look(&self, cookie: Cookie, now: Timestamp) -> Option<Repeats> {
        self.counting.get(&cookie)?.look(cookie, &self.slots, now)
    }
}

impl Counting {
    /// `None` as long as nothing was decided.
    fn look(&self, cookie: Cookie, slots: &Shared<Slot>, now: Timestamp) -> Option<Repeats> {
        let slot = &slots.entries()[self.slot as usize];
        let state = slot.counting.load(Ordering::Acquire);
        // An answer comes after its request: in this order there are never more of them.
        let answers = slot.answers.load(Ordering::Acquire);
        let server_next = slot.server_next.load(Ordering::Acquire);
        let client_next = slot.client_next.load(Ordering::Acquire);
        let since = slot.since.load(Ordering::Acquire);
        // On some processors the state can be seen before what was written before it.
        let written = client_next != 0 && server_next != 0;
        let begun = written && matches!(state, counting::COUNTING | counting::STOPPED);
        let unheard = state == counting::ASKED && now.since(self.asked) > PATIENCE;
        let over = unheard || matches!(state, counting::STOPPED | counting::REFUSED);
        let counted = begun.then_some((since, client_next, server_next));
        (begun || over).then_some(Repeats { cookie, time: now, counted, answers, over })
    }
}
