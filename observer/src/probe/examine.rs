//! What this kernel and this process allow, found by trying: the programs are really loaded and attached for a
//! moment, and a connection of our own has to come out of the ring.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use aya::maps::MapType;
use aya::programs::ProgramType;
use aya::sys::{is_map_supported, is_program_supported};

use super::features::{
    BTF, CAPABILITIES, CGROUP_SCOPE, CGROUP2, Check, Feature, FeatureState, HOOKS, JIT, KEPT, KERNEL,
    MEMLOCK, MMAPABLE_ARRAY, OWN_FILTER, PERFMON, RING_BUFFER, SECCOMP, SELF_TEST, SK_STORAGE, SOCK_OPS,
    WALK, WALK_HOOK,
};
use super::load::one_line;
use super::{Canary, CgroupRoot, HookState, Options, Probe, ProbeError};
use crate::confine::{self, Kept};
use crate::decode::ClockOffset;

/// How long the canary's events may take: they are in the ring before `fly` returns.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);
/// Events looked at between two looks at the clock: a busy node cannot keep the self-test from ending.
const BATCH: usize = 4096;

/// Oldest kernel that the programs are made for, and the first that charges maps to the memory cgroup.
const OLDEST_KERNEL: (u32, u32) = (5, 10);
const NO_MEMLOCK_SINCE: (u32, u32) = (5, 11);
const CAP_BPF_SINCE: (u32, u32) = (5, 8);

/// Numbers of `linux/capability.h`.
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_RESOURCE: u32 = 24;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Checks all that the probe needs; `cgroup_root` as `--cgroup-root`, found if absent. Takes some 5 s at most, leaves
/// nothing attached, and never fails: what cannot be checked is `Missing` with its reason.
#[must_use]
pub fn examine(cgroup_root: Option<&Path>) -> Vec<Check> {
    let process = Process::look();
    let root = cgroup_root.map_or_else(CgroupRoot::find, CgroupRoot::at);
    let mut checks = vec![
        process.kernel(),
        btf(),
        process.capabilities(),
        process.perfmon(),
        process.seccomp(refused()),
        process.memlock(),
        jit(),
    ];
    match &root {
        Ok(root) => checks.extend([ok(&CGROUP2, root.path.display().to_string()), scope(root)]),
        Err(error) => checks.push(missing(&CGROUP2, error.to_string())),
    }
    let mut probe = root.as_ref().ok().map(|root| Probe::load(root, &Options::default()));
    let kept = kept(probe.as_mut());
    let tried = [maps(probe.as_ref()).into(), hooks(probe.as_ref())].concat();
    // What fails because of something above has the way out of that.
    let cause = checks.iter().find(|check| check.feature.essential && check.state == FeatureState::Missing);
    let remedy = cause.map(|check| check.remedy);
    let self_test = match (&root, probe) {
        (Ok(root), Some(Ok(mut probe))) => self_test(root, &mut probe),
        _ => missing(&SELF_TEST, "not tried: the programs are not attached".to_owned()),
    };
    let tried = tried.into_iter().chain([self_test, kept, own_filter()]);
    checks.extend(tried.map(|check| Check { remedy: remedy.unwrap_or(check.remedy), ..check }));
    checks
}

fn ok(feature: &'static Feature, detail: String) -> Check {
    Check { feature, state: FeatureState::Ok, detail, remedy: feature.remedy }
}

fn degraded(feature: &'static Feature, detail: String) -> Check {
    Check { feature, state: FeatureState::Degraded, detail, remedy: feature.remedy }
}

fn missing(feature: &'static Feature, detail: String) -> Check {
    Check { feature, state: FeatureState::Missing, detail, remedy: feature.remedy }
}

/// This process and its kernel, as /proc shows them.
struct Process {
    release: String,
    /// `None` if the release is not two numbers: then nothing is said about its age.
    version: Option<(u32, u32)>,
    uid: String,
    /// proc_pid_status(5), CapEff.
    capabilities: u64,
    memlock: String,
    /// A filter of system calls is in force (proc_pid_status(5), Seccomp).
    filtered: bool,
}

impl Process {
    fn look() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let release = read("/proc/sys/kernel/osrelease").trim().to_owned();
        let (status, limits) = (read("/proc/self/status"), read("/proc/self/limits"));
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let memlock = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"));
        Self {
            version: version(&release),
            release,
            uid: field("Uid:").split_whitespace().nth(1).unwrap_or("unknown").to_owned(),
            capabilities: u64::from_str_radix(field("CapEff:").trim(), 16).unwrap_or(0),
            memlock: memlock
                .and_then(|limit| limit.split_whitespace().next())
                .unwrap_or("unknown")
                .to_owned(),
            filtered: field("Seccomp:").trim() == "2",
        }
    }

    fn kernel(&self) -> Check {
        match self.version {
            Some(version) if version < OLDEST_KERNEL => degraded(&KERNEL, self.release.clone()),
            _ => ok(&KERNEL, self.release.clone()),
        }
    }

    fn is_before(&self, version: (u32, u32)) -> bool {
        self.version.is_some_and(|own| own < version)
    }

    fn has(&self, capability: u32) -> bool {
        self.capabilities & (1 << capability) != 0
    }

    /// CAP_SYS_ADMIN stands in for what was split off it in 5.8 (capabilities(7)).
    fn has_split(&self, capability: u32) -> bool {
        self.has(CAP_SYS_ADMIN) || !self.is_before(CAP_BPF_SINCE) && self.has(capability)
    }

    fn capabilities(&self) -> Check {
        let bpf = (!self.has_split(CAP_BPF)).then_some(if self.is_before(CAP_BPF_SINCE) {
            "CAP_SYS_ADMIN"
        } else {
            "CAP_BPF"
        });
        let net_admin = (!self.has(CAP_NET_ADMIN)).then_some("CAP_NET_ADMIN");
        let lacking: Vec<&str> = bpf.into_iter().chain(net_admin).collect();
        let uid = &self.uid;
        if lacking.is_empty() {
            let which = if self.has(CAP_SYS_ADMIN) { "CAP_SYS_ADMIN" } else { "CAP_BPF" };
            return ok(&CAPABILITIES, format!("uid {uid} with {which}, CAP_NET_ADMIN"));
        }
        let who = if uid == "0" { "root without" } else { "not root, and without" };
        missing(&CAPABILITIES, format!("uid {uid}: {who} {}", lacking.join(", ")))
    }

    fn perfmon(&self) -> Check {
        if self.has_split(CAP_PERFMON) {
            let which = if self.has(CAP_SYS_ADMIN) { "CAP_SYS_ADMIN" } else { "CAP_PERFMON" };
            return ok(&PERFMON, which.to_owned());
        }
        missing(&PERFMON, "without CAP_PERFMON".to_owned())
    }

    /// `refused`: bpf(2) gave EPERM, for which the kernel itself has no reason if the capability is there.
    fn seccomp(&self, refused: bool) -> Check {
        match (self.filtered, self.has_split(CAP_BPF)) {
            (false, _) => ok(&SECCOMP, "no filter".to_owned()),
            (true, true) if refused => {
                missing(&SECCOMP, "a filter; bpf(2) is not permitted in spite of CAP_BPF".to_owned())
            }
            (true, true) => ok(&SECCOMP, "a filter that lets bpf(2) pass".to_owned()),
            (true, false) => ok(&SECCOMP, "a filter; not tried without CAP_BPF".to_owned()),
        }
    }

    fn memlock(&self) -> Check {
        if !self.is_before(NO_MEMLOCK_SINCE) {
            return ok(&MEMLOCK, "not needed: the maps count against the memory cgroup".to_owned());
        }
        if self.memlock == "unlimited" || self.has(CAP_SYS_RESOURCE) {
            return ok(&MEMLOCK, "unlimited, or CAP_SYS_RESOURCE to make it so".to_owned());
        }
        degraded(&MEMLOCK, format!("{} bytes and no CAP_SYS_RESOURCE", self.memlock))
    }
}

fn refused() -> bool {
    is_map_supported(MapType::Array).is_err_and(|error| error.io_error.raw_os_error() == Some(libc::EPERM))
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn btf() -> Check {
    let path = "/sys/kernel/btf/vmlinux";
    match fs::metadata(path) {
        Ok(_) => ok(&BTF, path.to_owned()),
        Err(error) => missing(&BTF, format!("{path}: {error}")),
    }
}

fn jit() -> Check {
    let path = "/proc/sys/net/core/bpf_jit_enable";
    match fs::read_to_string(path).as_deref().map(str::trim) {
        Ok("0") => degraded(&JIT, "net.core.bpf_jit_enable = 0".to_owned()),
        Ok(value) => ok(&JIT, format!("net.core.bpf_jit_enable = {value}")),
        // Only the host's network namespace shows it.
        Err(error) => ok(&JIT, format!("not told here ({path}: {error})")),
    }
}

fn scope(root: &CgroupRoot) -> Check {
    /// PROC_CGROUP_INIT_INO of `include/linux/proc_ns.h`: the host's own namespace.
    const HOST_NAMESPACE: &str = "cgroup:[4026531835]";
    if root.whole {
        return ok(&CGROUP_SCOPE, "the whole hierarchy".to_owned());
    }
    let namespace = fs::read_link("/proc/self/ns/cgroup").unwrap_or_else(|_| PathBuf::from("unknown"));
    let why = if namespace.as_os_str() == HOST_NAMESPACE { "" } else { "; this cgroup namespace is private" };
    degraded(&CGROUP_SCOPE, format!("only the subtree {}{why}", root.path.display()))
}

type Loaded<'a> = Option<&'a Result<Probe, ProbeError>>;

fn maps(probe: Loaded<'_>) -> [Check; 3] {
    let loaded = matches!(probe, Some(Ok(_)));
    let map = |feature, map_type| match is_map_supported(map_type) {
        _ if loaded => ok(feature, "created".to_owned()),
        Ok(true) => ok(feature, "the kernel has the map type".to_owned()),
        Ok(false) => missing(feature, "the kernel does not have the map type".to_owned()),
        Err(error) => missing(feature, format!("cannot be tried: {}", one_line(&error))),
    };
    let control = match probe {
        Some(Err(error @ ProbeError::Control(_))) => missing(&MMAPABLE_ARRAY, error.to_string()),
        _ => map(&MMAPABLE_ARRAY, MapType::Array),
    };
    [map(&RING_BUFFER, MapType::RingBuf), map(&SK_STORAGE, MapType::SkStorage), control]
}

fn hooks(probe: Loaded<'_>) -> Vec<Check> {
    let hooks = HOOKS.iter().map(|hook| (hook.name, hook.feature)).chain([(WALK_HOOK, &WALK)]);
    hooks.map(|(name, feature)| hook_state(name, feature, probe)).collect()
}

fn hook_state(name: &'static str, feature: &'static Feature, probe: Loaded<'_>) -> Check {
    let error = match probe {
        Some(Ok(probe)) => match probe.hooks.iter().find(|(hook, _)| *hook == name) {
            Some((_, HookState::Attached)) => return ok(feature, "loaded and attached".to_owned()),
            Some((_, HookState::Missing(cause))) => return missing(feature, cause.clone()),
            None => None,
        },
        Some(Err(error)) => Some(error),
        None => None,
    };
    // Nothing is attached, so the kernel is asked about the type of program alone.
    let program_type = if feature == &SOCK_OPS { ProgramType::SockOps } else { ProgramType::CgroupSkb };
    match is_program_supported(program_type) {
        Ok(true) if feature.essential && error.is_some() => {
            missing(feature, error.map(ToString::to_string).unwrap_or_default())
        }
        Ok(true) => degraded(feature, "the kernel has the program type; not attached".to_owned()),
        Ok(false) => missing(feature, "the kernel does not have the program type".to_owned()),
        Err(error) => missing(feature, format!("cannot be tried: {}", one_line(&error))),
    }
}

/// As a daemon finds it out when it starts.
fn kept(probe: Option<&mut Result<Probe, ProbeError>>) -> Check {
    let Some(Ok(probe)) = probe else {
        return degraded(&KEPT, "not tried: the programs are not attached".to_owned());
    };
    let detail = match confine::needs_capability(move || probe.counters().is_ok()) {
        Kept::None => "none: once attached, all are given up",
        Kept::Bpf => {
            "CAP_BPF, in the observing thread: this kernel (before 5.19) wants it to read maps that are open"
        }
    };
    ok(&KEPT, detail.to_owned())
}

fn own_filter() -> Check {
    match confine::probe_filter() {
        Ok(()) => ok(&OWN_FILTER, "the kernel takes it".to_owned()),
        Err(error) => degraded(&OWN_FILTER, error.to_string()),
    }
}

fn self_test(root: &CgroupRoot, probe: &mut Probe) -> Check {
    let mut canary = match Canary::fly(root) {
        Ok(canary) => canary,
        Err(error) => return degraded(&SELF_TEST, error.to_string()),
    };
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        let drained = probe.drain(BATCH, ClockOffset::default(), |event, _| {
            if let Ok(event) = event {
                canary.claims(&event);
            }
        });
        if canary.seen() {
            return ok(&SELF_TEST, "connection seen".to_owned());
        }
        if drained < BATCH {
            sleep(PAUSE);
        }
    }
    missing(&SELF_TEST, format!("connection not seen within {} s", PATIENCE.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(release: &str, capabilities: u64) -> Process {
        Process {
            release: release.to_owned(),
            version: version(release),
            uid: "0".to_owned(),
            capabilities,
            memlock: "65536".to_owned(),
            filtered: true,
        }
    }

    #[test]
    fn kernel_releases_of_distributions_are_read() {
        assert_eq!(version("6.1.0-18-cloud-amd64"), Some((6, 1)));
        assert_eq!(version("5.10.0-28-amd64"), Some((5, 10)));
        assert_eq!(version("6.18-rc1+"), Some((6, 18)));
        assert_eq!(version("unknown"), None);
    }

    #[test]
    fn a_kernel_before_5_10_is_named_as_untested() {
        assert_eq!(process("5.9.16", 0).kernel().state, FeatureState::Degraded);
        assert_eq!(process("5.10.0", 0).kernel().state, FeatureState::Ok);
    }

    #[test]
    fn cap_sys_admin_stands_in_for_the_capabilities_that_were_split_off_it() {
        // capabilities(7): CAP_BPF and CAP_PERFMON were separated out of CAP_SYS_ADMIN in 5.8.
        let (net, admin) = (1 << CAP_NET_ADMIN, 1 << CAP_SYS_ADMIN);
        let split = 1 << CAP_BPF | 1 << CAP_PERFMON;
        for (release, capabilities, state) in [
            ("6.1.0", net | admin, FeatureState::Ok),
            ("6.1.0", net | split, FeatureState::Ok),
            ("6.1.0", split, FeatureState::Missing),
            ("6.1.0", 0, FeatureState::Missing),
            ("5.4.0", net | split, FeatureState::Missing),
            ("5.4.0", net | admin, FeatureState::Ok),
        ] {
            let check = process(release, capabilities).capabilities();
            assert_eq!(check.state, state, "{release} {capabilities:x}: {}", check.detail);
        }
        assert_eq!(process("6.1.0", admin).perfmon().state, FeatureState::Ok);
        assert_eq!(process("6.1.0", split).perfmon().state, FeatureState::Ok);
        assert_eq!(process("6.1.0", 1 << CAP_BPF).perfmon().state, FeatureState::Missing);
    }

    #[test]
    fn a_filter_is_blamed_only_where_the_capability_is_there() {
        let bpf = 1 << CAP_BPF;
        assert_eq!(process("6.1.0", bpf).seccomp(true).state, FeatureState::Missing);
        assert_eq!(process("6.1.0", bpf).seccomp(false).state, FeatureState::Ok);
        assert_eq!(process("6.1.0", 0).seccomp(true).state, FeatureState::Ok);
        let free = Process { filtered: false, ..process("6.1.0", bpf) };
        assert_eq!(free.seccomp(true).state, FeatureState::Ok);
    }

    #[test]
    fn the_memlock_limit_matters_before_5_11_alone() {
        assert_eq!(process("5.10.0", 0).memlock().state, FeatureState::Degraded);
        assert_eq!(process("5.10.0", 1 << CAP_SYS_RESOURCE).memlock().state, FeatureState::Ok);
        assert_eq!(process("5.11.0", 0).memlock().state, FeatureState::Ok);
    }
}
