//! Loading and attaching. By link only: the kernel detaches everything when this process ends, however it ends.

use std::io;
use std::path::PathBuf;

use aya::maps::{HashMap, MapData, MapError, PerCpuArray, RingBuf};
use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, ProgramError, SockOps};
use aya::{Ebpf, EbpfError, EbpfLoader, include_bytes_aligned};
use aya_log::EbpfLogger;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use observer_common::{Counter, Settings, UdpConversation, UdpKey};
use thiserror::Error;

use super::CgroupRoot;
use super::control::ControlTable;
use crate::decode::{self, ClockOffset, DecodeError};
use crate::model::{Cookie, Direction, Event, UdpClose};

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
        Self { settings: Settings::default(), ring_bytes: 4 << 20, conversations: 16_384, diagnostics: false }
    }
}

#[derive(Debug, Error)]
pub enum ProbeError {
    #[error(
        "cannot load the kernel programs: {0}; run as root (or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN) on Linux 5.10 or later; `observer doctor` says what is missing"
    )]
    Load(#[from] EbpfError),
    #[error("the kernel refuses the program {name}: {source}; `observer doctor` says what is missing")]
    Program { name: &'static str, source: ProgramError },
    #[error(
        "cannot attach {name} to {path}: {source}; somebody else holds an exclusive attachment there (`bpftool cgroup tree` shows it), or this process lacks CAP_NET_ADMIN"
    )]
    Attach { name: &'static str, path: PathBuf, source: ProgramError },
    #[error("cannot open {path}: {source}; check --cgroup-root and run as root")]
    Cgroup { path: PathBuf, source: io::Error },
    #[error("the map {name} is not usable: {source}")]
    Map { name: &'static str, source: MapError },
    #[error("the map {0} is missing from the kernel programs: the binary is damaged, build it again")]
    Missing(&'static str),
    #[error("cannot map the control table: {0}")]
    Control(io::Error),
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
    control: ControlTable,
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
        let allowances = [options.settings.client_allowance, options.settings.server_allowance];
        let log_level = if options.diagnostics { aya_log::Level::Debug as u8 } else { 0 };
        let mut ebpf = EbpfLoader::new()
            .override_global("SETTINGS", &allowances, true)
            .override_global(aya_log::LEVEL, &log_level, false)
            .map_max_entries("EVENTS", options.ring_bytes)
            .map_max_entries("CONVERSATIONS", options.conversations)
            .load(OBJECT)?;
        let cgroup = root.open().map_err(|source| ProbeError::Cgroup { path: root.path.clone(), source })?;
        let attach = |name, source| ProbeError::Attach { name, path: root.path.clone(), source };

        // Packets first: a connection that opens in between is then one we saw from its start.
        let mut hooks = Hooks::new();
        for (name, direction) in [
            ("observer_ingress", CgroupSkbAttachType::Ingress),
            ("observer_egress", CgroupSkbAttachType::Egress),
        ] {
            let program: &mut CgroupSkb = program(&mut ebpf, name)?;
            let attached =
                program.load().map_err(|source| ProbeError::Program { name, source }).and_then(|()| {
                    // `Single` says: no legacy flags. Links are always multi.
                    program
                        .attach(&cgroup, direction, CgroupAttachMode::Single)
                        .map_err(|source| attach(name, source))
                });
            let hook = name.trim_start_matches("observer_");
            match attached {
                Ok(_) => hooks.push((hook, HookState::Attached)),
                Err(error) => {
                    tracing::warn!(hook, error = error_chain(&error), "payload will not be seen");
                    hooks.push((hook, HookState::Missing(error_chain(&error))));
                }
            }
        }
        let name = "observer_sock_ops";
        let program: &mut SockOps = program(&mut ebpf, name)?;
        program.load().map_err(|source| ProbeError::Program { name, source })?;
        program.attach(&cgroup, CgroupAttachMode::Single).map_err(|source| attach(name, source))?;
        hooks.push(("sock_ops", HookState::Attached));

        let logger = options.diagnostics.then(|| EbpfLogger::init(&mut ebpf).ok()).flatten();
        let control_map = take(&mut ebpf, "CONTROLS")?;
        let aya::maps::Map::Array(control_map) = control_map else {
            return Err(ProbeError::Missing("CONTROLS"));
        };
        let control = ControlTable::map(control_map.fd()).map_err(ProbeError::Control)?;
        let map_error = |name| move |source| ProbeError::Map { name, source };
        Ok(Self {
            ring: RingBuf::try_from(take(&mut ebpf, "EVENTS")?).map_err(map_error("EVENTS"))?,
            counters: PerCpuArray::try_from(take(&mut ebpf, "COUNTERS")?).map_err(map_error("COUNTERS"))?,
            conversations: HashMap::try_from(take(&mut ebpf, "CONVERSATIONS")?)
                .map_err(map_error("CONVERSATIONS"))?,
            control,
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
        mut handle: impl FnMut(Result<Event<'_>, DecodeError>, &ControlTable),
    ) -> usize {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
        for drained in 0..limit {
            let Some(record) = self.ring.next() else { return drained };
            handle(decode::event(&record, clock), &self.control);
        }
        limit
    }

    #[must_use]
    pub fn control(&self) -> &ControlTable {
        &self.control
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

impl ControlTable {
    /// See [`Self::stop`]; for a stream position that is a sequence number already.
    pub fn tell(&self, cookie: Cookie, resume: Option<(Direction, u32)>) {
        match resume {
            None => self.stop(cookie),
            Some((direction, sequence)) => self.resume_at(cookie, direction, sequence),
        }
    }
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, ProbeError> {
    ebpf.take_map(name).ok_or(ProbeError::Missing(name))
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, ProbeError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or(ProbeError::Missing(name))?;
    program.try_into().map_err(|source| ProbeError::Program { name, source })
}

/// One line: aya keeps the cause apart from the message.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text // .lines().next().unwrap_or_default().to_owned()
}

/// Before 5.11 map memory counts against RLIMIT_MEMLOCK. Failure shows when the maps are created.
fn raise_memlock_limit() {
    if let Err(error) = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY) {
        tracing::debug!(%error, "RLIMIT_MEMLOCK stays as it is");
    }
}
