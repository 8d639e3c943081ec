//! Maps and settings. The daemon resizes the ring and the table of conversations before it loads them.

use aya_ebpf::Global;
use aya_ebpf::btf_maps::SkStorage;
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, ProgramArray, RingBuf};
use observer_common::{
    CONTROL_SLOTS, Control, Counter, HASH_KEY_WORDS, PARKING_SLOTS, Parked, REPEAT_SLOTS, Repeats, Settings,
    Socket, UdpConversation, UdpKey, continuation, control_slot,
};

/// Everything the daemon learns comes through here.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::ALL.len() as u32, 0);

/// What is remembered of each TCP socket; freed by the kernel with the socket.
#[btf_map]
pub static SOCKETS: SkStorage<Socket> = SkStorage::new();

/// Not an LRU table: the daemon reaps it, so that nothing is dropped without being counted.
#[map]
pub static CONVERSATIONS: HashMap<UdpKey, UdpConversation> = HashMap::with_max_entries(16_384, 0);

/// Segments that arrived ahead of others.
#[map]
pub static PARKING: Array<Parked> = Array::with_max_entries(PARKING_SLOTS, 0);

/// Programs that others go on in, each with a verifier's budget of its own.
#[map]
pub static INGRESS_GOES_ON: ProgramArray = ProgramArray::with_max_entries(continuation::COUNT, 0);
#[map]
pub static EGRESS_GOES_ON: ProgramArray = ProgramArray::with_max_entries(continuation::COUNT, 0);

const BPF_F_MMAPABLE: u32 = 1 << 10;

/// Words of the daemon to single sockets; mapped into its memory.
#[map]
static CONTROLS: Array<Control> = Array::with_max_entries(CONTROL_SLOTS, BPF_F_MMAPABLE);

/// Requests that are counted instead of shipped; mapped into the daemon's memory.
#[map]
pub static REPEATS: Array<Repeats> = Array::with_max_entries(REPEAT_SLOTS, BPF_F_MMAPABLE);

#[unsafe(no_mangle)]
static SETTINGS: Global<Settings> = Global::new(Settings {
    client_allowance: Settings::DEFAULT_CLIENT_ALLOWANCE,
    server_allowance: Settings::DEFAULT_SERVER_ALLOWANCE,
    wake_at: Settings::DEFAULT_WAKE_AT,
    both_ends: 0,
});

/// Nobody who sends bytes knows it, so nobody can make two segments that pass for one another.
#[unsafe(no_mangle)]
static HASH_KEY: [u64; HASH_KEY_WORDS] = [0; HASH_KEY_WORDS];

#[inline(always)]
pub fn hash_key(index: usize) -> u64 {
    // The daemon writes it before it loads the programs: the compiler must not take it for zeros.
    unsafe { (&raw const HASH_KEY).cast::<u64>().add(index).read_volatile() }
}

#[inline(always)]
pub fn settings() -> Settings {
    SETTINGS.load()
}

#[inline(always)]
pub fn count(counter: Counter) {
    if let Some(slot) = COUNTERS.get_ptr_mut(counter as u32) {
        // Per CPU, and programs of one CPU do not interrupt each other here.
        unsafe { *slot += 1 };
    }
}

/// Takes the daemon's word to this socket, once.
#[inline(always)]
pub fn take_control(cookie: u64) -> Option<Control> {
    let slot = CONTROLS.get_ptr_mut(control_slot(cookie))?;
    unsafe {
        if (*slot).cookie != cookie {
            return None;
        }
        let word = *slot;
        (*slot).cookie = 0;
        Some(word)
    }
}
