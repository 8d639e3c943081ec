//! Loading and attaching. By link only: the kernel detaches everything when this process ends, however it ends.

use std::error::Error;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use aya::maps::{HashMap, MapData, MapError, MapType, PerCpuArray, ProgramArray, RingBuf};
use aya::programs::{CgroupAttachMode, CgroupSkb, Program, ProgramError};
use aya::sys::{SyscallError, is_map_supported};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use aya_log::EbpfLogger;
use observer_common::{Counter, HASH_KEY_WORDS, Settings, UdpConversation, UdpKey, continuation};
use rustix::process::{Resource, Rlimit, setrlimit};
use thiserror::Error;

use super::CgroupRoot;
use super::alarm::Alarm;
use super::control::ControlTable;
use super::features::{HOOKS, Hook, WALK, WALK_HOOK};
use super::repeats::RepeatTable;
use crate::decode::{self, ClockOffset, DecodeError};
use crate::model::{Cookie, Event, Timestamp, UdpClose};

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer-ebpf"));

type Key = [u8; size_of::<UdpKey>()];
type Value = [u8; size_of::<UdpConversation>()];

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub settings: Settings,
    /// A power of two.
    pub ring_bytes: u32,
    pub conversations: u32,
    /// The kernel programs' own log lines.
    pub diagnostics: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { settings: Settings::default(), ring_bytes: 8 << 20, conversations: 16_384, diagnostics: false }
    }
}

/// Each is one line; the verifier's whole log is logged at debug.
#[derive(Debug, Error)]
pub enum ProbeError {
    #[error(
        "cannot create the kernel programs' maps: {0}; run as root (or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN) on Linux 5.10 or later; `observer doctor` says what is missing"
    )]
    Load(String),
    #[error(
        "this kernel ({release}) is too old: it lacks the ring buffer that came with Linux 5.8 ({cause}); run Linux 5.10 or later"
    )]
    TooOld { release: String, cause: String },
    #[error(
        "the kernel refuses the program {name}: {cause}; run as root (or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN) on Linux 5.10 or later; `observer doctor` says what is missing"
    )]
    Program { name: &'static str, cause: String },
    #[error(
        "cannot attach {name} to {path}: {cause}; either this process lacks CAP_NET_ADMIN, or another program holds an exclusive attachment there or above (`bpftool cgroup tree` names it): detach that one, or attach it with BPF_F_ALLOW_MULTI"
    )]
    NotPermitted { name: &'static str, path: PathBuf, cause: String },
    #[error("cannot attach {name} to {path}: {cause}; `observer doctor` says what is missing")]
    Attach { name: &'static str, path: PathBuf, cause: String },
    #[error("cannot open {path}: {cause}; check --cgroup-root and run as root")]
    Cgroup { path: PathBuf, cause: io::Error },
    #[error("the map {name} is not usable: {cause}; `observer doctor` says what is missing")]
    Map { name: &'static str, cause: String },
    #[error("the map or program {0} is missing from the binary: it is damaged, build it again")]
    Missing(&'static str),
    #[error("cannot map the control table: {0}; `observer doctor` says what is missing")]
    Control(io::Error),
    #[error("cannot wait for the ring: {0}; raise the limit of open files (`ulimit -n`)")]
    Alarm(io::Error),
}

/// What became of a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookState {
    Attached,
    /// Why not.
    Missing(String),
}

/// The hooks by name.
pub type Hooks = Vec<(&'static str, HookState)>;

/// The loaded programs. Dropping it detaches them.
pub struct Probe {
    // Holds the programs and their links.
    _ebpf: Ebpf,
    ring: RingBuf<MapData>,
    counters: PerCpuArray<MapData, u64>,
    conversations: HashMap<MapData, Key, Value>,
    // The kernel empties them when nobody holds them any more.
    _continuations: Vec<ProgramArray<MapData>>,
    control: ControlTable,
    repeats: RepeatTable,
    alarm: Alarm,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    pub hooks: Hooks,
}

impl Probe {
    /// Loads the programs and attaches them to `root` and all below it.
    ///
    /// sock_ops is the one that nothing works without; without a cgroup_skb program flows are still seen, their
    /// payload is not.
    ///
    /// # Errors
    /// The kernel refuses the object or sock_ops.
    pub fn load(root: &CgroupRoot, options: &Options) -> Result<Self, ProbeError> {
        raise_memlock_limit();
        let Settings { client_allowance, server_allowance, both_ends, .. } = options.settings;
        let settings = [client_allowance, server_allowance, options.ring_bytes / 8, both_ends];
        let log_level = if options.diagnostics { aya_log::Level::Debug as u8 } else { 0 };
        let mut ebpf = EbpfLoader::new()
            .override_global("SETTINGS", &settings, true)
            .override_global("HASH_KEY", &hash_key(), true)
            .override_global(aya_log::LEVEL, &log_level, false)
            .map_max_entries("EVENTS", options.ring_bytes)
            .map_max_entries("CONVERSATIONS", options.conversations)
            .load(OBJECT)
            .map_err(|error| not_loaded(one_line(&error), is_map_supported(MapType::RingBuf).ok()))?;
        let cgroup = root.open().map_err(|cause| ProbeError::Cgroup { path: root.path.clone(), cause })?;

        let (continuations, walk) = continuations(&mut ebpf)?;
        let mut hooks = Hooks::from([(WALK_HOOK, walk)]);
        for hook in &HOOKS {
            let Err(error) = attach(&mut ebpf, hook, &cgroup, root) else {
                hooks.push((hook.name, HookState::Attached));
                continue;
            };
            if hook.feature.essential {
                return Err(error);
            }
            tracing::warn!(hook = hook.name, %error, cost = hook.feature.cost, "degraded");
            hooks.push((hook.name, HookState::Missing(error.to_string())));
        }

        let logger = options.diagnostics.then(|| EbpfLogger::init(&mut ebpf).ok()).flatten();
        let controls = take_array(&mut ebpf, "CONTROLS")?;
        let control = ControlTable::map(controls.fd()).map_err(ProbeError::Control)?;
        let repeats = take_array(&mut ebpf, "REPEATS")?;
        let repeats = RepeatTable::map(repeats.fd()).map_err(ProbeError::Control)?;
        let map_error = |name| move |error: MapError| ProbeError::Map { name, cause: one_line(&error) };
        let ring = RingBuf::try_from(take(&mut ebpf, "EVENTS")?).map_err(map_error("EVENTS"))?;
        Ok(Self {
            alarm: Alarm::of(&ring).map_err(ProbeError::Alarm)?,
            ring,
            counters: PerCpuArray::try_from(take(&mut ebpf, "COUNTERS")?).map_err(map_error("COUNTERS"))?,
            conversations: HashMap::try_from(take(&mut ebpf, "CONVERSATIONS")?)
                .map_err(map_error("CONVERSATIONS"))?,
            _continuations: continuations,
            control,
            repeats,
            logger,
            hooks,
            _ebpf: ebpf,
        })
    }

    /// Hands at most `limit` waiting events to `handle`; says how many there were.
    pub fn drain(
        &mut self,
        limit: usize,
        clock: ClockOffset,
        mut handle: impl FnMut(Result<Event<'_>, DecodeError>, &mut RepeatTable),
    ) -> usize {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
        for drained in 0..limit {
            let Some(record) = self.ring.next() else { return drained };
            handle(decode::event(&record, clock), &mut self.repeats);
        }
        limit
    }

    /// Sleeps, for `timeout` or until the ring fills up.
    pub fn wait(&self, timeout: Duration) {
        self.alarm.wait(timeout);
    }

    #[must_use]
    pub fn control(&self) -> &ControlTable {
        &self.control
    }

    /// Requests that are counted instead of shipped.
    #[must_use]
    pub fn repeats(&mut self) -> &mut RepeatTable {
        &mut self.repeats
    }

    /// Counts, instead of shipping it, what this socket's client says again: the request that ended at `received`, whose
    /// answer ended at `sent`, was read.
    pub fn count(&mut self, cookie: Cookie, received: u32, sent: u32, now: Timestamp) {
        if let Some(slot) = self.repeats.assign(cookie, now) {
            self.control.count(cookie, received, sent, slot);
        }
    }

    /// What the kernel programs counted since they were loaded.
    ///
    /// # Errors
    /// As bpf(2).
    pub fn counters(&self) -> Result<[(Counter, u64); Counter::ALL.len()], MapError> {
        let mut totals = Counter::ALL.map(|counter| (counter, 0));
        for (counter, total) in &mut totals {
            *total = self.counters.get(&(*counter as u32), 0)?.iter().sum();
        }
        Ok(totals)
    }

    /// Takes the UDP conversations that `is_over` out of the kernel's table.
    pub fn reap_conversations(
        &mut self,
        clock: ClockOffset,
        is_over: impl Fn(&decode::Conversation) -> bool,
    ) -> Vec<UdpClose> {
        let over: Vec<(Key, decode::Conversation)> = self
            .conversations
            .iter()
            .filter_map(Result::ok)
            .filter_map(|(key, value)| Some((key, decode::conversation(&key, &value, clock).ok()?)))
            .filter(|(_, conversation)| is_over(conversation))
            .collect();
        over.into_iter()
            .filter_map(|(key, conversation)| {
                self.conversations.remove(&key).ok()?;
                Some(UdpClose::from(conversation))
            })
            .collect()
    }
}

/// `ring`: whether the kernel has ring buffers, if it says so.
fn not_loaded(cause: String, ring: Option<bool>) -> ProbeError {
    if ring != Some(false) {
        return ProbeError::Load(cause);
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    ProbeError::TooOld { release: release.trim().to_owned(), cause }
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, ProbeError> {
    ebpf.take_map(name).ok_or(ProbeError::Missing(name))
}

fn take_array(ebpf: &mut Ebpf, name: &'static str) -> Result<MapData, ProbeError> {
    match take(ebpf, name)? {
        aya::maps::Map::Array(map) => Ok(map),
        _ => Err(ProbeError::Missing(name)),
    }
}

/// Nobody outside can aim for two segments with the same hash.
fn hash_key() -> [u64; HASH_KEY_WORDS] {
    let random = RandomState::new();
    std::array::from_fn(|index| random.hash_one(index))
}

/// The programs that others go on in. Without one, HTTP/2 is shipped by allowance and its requests can be `unknown`.
fn continuations(ebpf: &mut Ebpf) -> Result<(Vec<ProgramArray<MapData>>, HookState), ProbeError> {
    const ARRAYS: [(&str, &[(u32, &str)]); 2] = [
        (
            "INGRESS_GOES_ON",
            &[(continuation::WALK, "observer_walk_received"), (continuation::PARKED, "observer_parked")],
        ),
        ("EGRESS_GOES_ON", &[(continuation::WALK, "observer_walk_sent")]),
    ];
    let mut arrays = Vec::new();
    let mut state = HookState::Attached;
    for (map, programs) in ARRAYS {
        let map_error = |error: MapError| ProbeError::Map { name: map, cause: one_line(&error) };
        let mut array = ProgramArray::try_from(take(ebpf, map)?).map_err(map_error)?;
        for &(index, name) in programs {
            let Some(Program::CgroupSkb(program)) = ebpf.program_mut(name) else {
                return Err(ProbeError::Missing(name));
            };
            if let Err(error) = go_on_in(&mut array, index, program) {
                let cause = refusal(name, &error);
                tracing::warn!(program = name, cause, cost = WALK.cost, "degraded");
                state = HookState::Missing(format!("the kernel refuses the program {name}: {cause}"));
            }
        }
        arrays.push(array);
    }
    Ok((arrays, state))
}

fn go_on_in(
    array: &mut ProgramArray<MapData>,
    index: u32,
    program: &mut CgroupSkb,
) -> Result<(), ProgramError> {
    program.load()?;
    Ok(array.set(index, program.fd()?, 0)?)
}

fn attach(ebpf: &mut Ebpf, hook: &Hook, cgroup: &File, root: &CgroupRoot) -> Result<(), ProbeError> {
    let name = hook.program;
    let program = ebpf.program_mut(name).ok_or(ProbeError::Missing(name))?;
    // `Single` says: no legacy flags. Links are always multi.
    let mode = CgroupAttachMode::Single;
    let loaded = match program {
        Program::SockOps(program) => program.load(),
        Program::CgroupSkb(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    loaded.map_err(|error| ProbeError::Program { name, cause: refusal(name, &error) })?;
    let attached = match program {
        Program::SockOps(program) => program.attach(cgroup, mode).map(drop),
        Program::CgroupSkb(program) => {
            let direction = *program.expected_attach_type();
            direction
                .ok_or(ProgramError::UnexpectedProgramType)
                .and_then(|direction| program.attach(cgroup, direction, mode))
                .map(drop)
        }
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    attached.map_err(|error| {
        let (path, cause) = (root.path.clone(), one_line(&error));
        match &error {
            ProgramError::SyscallError(SyscallError { io_error, .. })
                if io_error.raw_os_error() == Some(libc::EPERM) =>
            {
                ProbeError::NotPermitted { name, path, cause }
            }
            _ => ProbeError::Attach { name, path, cause },
        }
    })
}

/// The verifier gives its reason last, but for its statistics; what comes before is a trace of thousands of lines.
fn refusal(name: &str, error: &ProgramError) -> String {
    let ProgramError::LoadError { io_error, verifier_log } = error else { return one_line(error) };
    let log = verifier_log.to_string();
    tracing::debug!(program = name, log, "refused by the verifier");
    shorten(&match verifier_reason(&log) {
        Some(reason) => format!("{io_error}: {reason}"),
        None => io_error.to_string(),
    })
}

fn verifier_reason(log: &str) -> Option<&str> {
    const STATISTICS: [&str; 3] = ["processed ", "stack depth ", "verification time "];
    let is_reason = |line: &&str| !line.is_empty() && !STATISTICS.iter().any(|start| line.starts_with(start));
    log.lines().map(str::trim).rev().find(is_reason)
}

/// The message with its causes, which aya keeps apart.
pub(super) fn one_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    shorten(&text)
}

/// What fits on a screen's line or two.
fn shorten(text: &str) -> String {
    const LONGEST: usize = 300;
    text.lines().next().unwrap_or_default().chars().take(LONGEST).collect()
}

/// Before 5.11 map memory counts against RLIMIT_MEMLOCK. Failure shows when the maps are created.
fn raise_memlock_limit() {
    if let Err(error) = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None }) {
        tracing::debug!(%error, "RLIMIT_MEMLOCK stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_program_is_explained_by_the_verifiers_reason_alone() {
        // The end of what Linux 6.18 says to a process without CAP_PERFMON.
        let log = "\
2059: (0f) r5 += r4
R5 tried to add from different maps, paths or scalars, pointer arithmetic with it prohibited for !root
verification time 533 usec
stack depth 200+0
processed 122 insns (limit 1000000) max_states_per_insn 1 total_states 11 peak_states 11 mark_read 0
";
        assert_eq!(
            verifier_reason(log),
            Some(
                "R5 tried to add from different maps, paths or scalars, pointer arithmetic with it prohibited for !root"
            )
        );
        assert_eq!(verifier_reason("\n"), None);
    }

    #[test]
    fn a_kernel_without_ring_buffers_is_named_as_too_old_and_no_other_is() {
        // What 4.19 says to a type of map that it does not know: bpf(2), EINVAL.
        let cause = "failed to create map `EVENTS`: Invalid argument (os error 22)";
        let told = not_loaded(cause.to_owned(), Some(false)).to_string();
        assert!(told.contains("is too old") && told.ends_with("run Linux 5.10 or later"), "{told}");
        assert!(told.contains(cause) && told.lines().count() == 1, "{told}");
        for ring in [Some(true), None] {
            let told = not_loaded("EPERM".to_owned(), ring).to_string();
            assert!(!told.contains("too old") && told.contains("run as root"), "{told}");
        }
    }

    #[test]
    fn an_error_is_one_line_of_at_most_300_characters() {
        let error = io::Error::other(format!("{}\nmore", "x".repeat(400)));
        assert_eq!(one_line(&error), "x".repeat(300));
    }
}
