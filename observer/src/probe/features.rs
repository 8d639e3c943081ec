//! What the probe needs of a kernel and of its own process: the one table that loading, attaching and the report of
//! `observer doctor` go by.

use std::fmt;

use serde::Serialize;

/// One thing that may be missing.
#[derive(Debug, PartialEq, Eq)]
pub struct Feature {
    pub name: &'static str,
    /// Without it nothing is observed. Otherwise its absence costs something and the rest goes on.
    pub essential: bool,
    /// What it is needed for.
    pub purpose: &'static str,
    /// What its user loses without it.
    pub cost: &'static str,
    /// The way out.
    pub remedy: &'static str,
}

/// How much of a feature there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureState {
    Ok,
    Degraded,
    Missing,
}

impl FeatureState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Missing => "missing",
        }
    }
}

impl fmt::Display for FeatureState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

pub static KERNEL: Feature = Feature {
    name: "kernel",
    essential: false,
    purpose: "the oldest kernel that the programs are made for is 5.10",
    cost: "untested: the kernel may refuse the programs; the checks below say what it really does",
    remedy: "run Linux 5.10 or later",
};

pub static BTF: Feature = Feature {
    name: "btf",
    essential: false,
    purpose: "/sys/kernel/btf/vmlinux: the kernel's type information, for per-socket storage",
    cost: "the kernel may refuse per-socket storage; the check sk_storage says whether it does",
    remedy: "run a kernel with CONFIG_DEBUG_INFO_BTF=y, as every current distribution's is",
};

pub static CAPABILITIES: Feature = Feature {
    name: "capabilities",
    essential: true,
    purpose: "CAP_BPF to load the programs, CAP_NET_ADMIN to attach them; before 5.8 CAP_SYS_ADMIN instead of CAP_BPF",
    cost: "nothing is observed: the kernel programs cannot be loaded",
    remedy: "run as root, or in a container with capabilities add: [BPF, PERFMON, NET_ADMIN]",
};

pub static PERFMON: Feature = Feature {
    name: "perfmon",
    essential: true,
    purpose: "CAP_PERFMON (since 5.8): the verifier lets programs compute with pointers",
    cost: "nothing is observed: the kernel refuses the programs that compute with pointers, and those are all",
    remedy: "run as root, or in a container with capabilities add: [BPF, PERFMON, NET_ADMIN]",
};

pub static SECCOMP: Feature = Feature {
    name: "seccomp",
    essential: true,
    purpose: "a container runtime's filter of system calls lets bpf(2) pass",
    cost: "nothing is observed: the filter refuses bpf(2) before the kernel sees it",
    remedy: "give the pod another seccompProfile (Unconfined, or one that allows bpf), or a runtime whose default allows bpf with CAP_BPF: containerd 1.6.9, Docker 23",
};

pub static MEMLOCK: Feature = Feature {
    name: "memlock",
    essential: false,
    purpose: "before 5.11 the maps' memory counts against RLIMIT_MEMLOCK",
    cost: "the maps may not fit: creating them fails",
    remedy: "raise the limit (`ulimit -l unlimited`, systemd LimitMEMLOCK=infinity), or add CAP_SYS_RESOURCE",
};

pub static CGROUP2: Feature = Feature {
    name: "cgroup2",
    essential: true,
    purpose: "the directory that the programs are attached to",
    cost: "nothing is observed: there is nothing to attach the programs to",
    remedy: "mount one (`mount -t cgroup2 none /sys/fs/cgroup/unified`), or name it with --cgroup-root",
};

pub static CGROUP_SCOPE: Feature = Feature {
    name: "cgroup-scope",
    essential: false,
    purpose: "attached to the root of the whole hierarchy, the programs see every socket of the node",
    cost: "sockets outside of this subtree are not seen, and nothing else tells of them",
    remedy: "mount the host's /sys/fs/cgroup into the container, or name it with --cgroup-root",
};

pub static RING_BUFFER: Feature = Feature {
    name: "ring-buffer",
    essential: true,
    purpose: "the map through which every event comes (Linux 5.8)",
    cost: "nothing is observed: events have no way to the daemon",
    remedy: "run Linux 5.10 or later",
};

pub static SK_STORAGE: Feature = Feature {
    name: "sk_storage",
    essential: true,
    purpose: "what is remembered of each socket (Linux 5.2)",
    cost: "nothing is observed: sockets cannot be told apart",
    remedy: "run Linux 5.10 or later with CONFIG_BPF_SYSCALL=y and CONFIG_DEBUG_INFO_BTF=y",
};

pub static MMAPABLE_ARRAY: Feature = Feature {
    name: "mmapable-array",
    essential: true,
    purpose: "the table through which the daemon mutes a socket (Linux 5.5)",
    cost: "nothing is observed: without it every byte of every connection would be copied",
    remedy: "run Linux 5.10 or later",
};

pub static SOCK_OPS: Feature = Feature {
    name: "sock_ops",
    essential: true,
    purpose: "connections: opened, refused, reset, timed out, closed, with their bytes",
    cost: "nothing is observed: no connection is seen to open or to close",
    remedy: "run a kernel with CONFIG_CGROUP_BPF=y; if somebody else is attached exclusively, `bpftool cgroup tree` shows it",
};

pub static INGRESS: Feature = Feature {
    name: "cgroup_skb/ingress",
    essential: false,
    purpose: "what arrives at sockets: requests, hellos, datagrams, and RSTs",
    cost: "encryption, requests and credentials of servers on this node are unknown; refused and reset look aborted",
    remedy: "run a kernel with CONFIG_CGROUP_BPF=y; if somebody else is attached exclusively, `bpftool cgroup tree` shows it",
};

pub static EGRESS: Feature = Feature {
    name: "cgroup_skb/egress",
    essential: false,
    purpose: "what sockets send: responses, and requests to servers outside of the cluster",
    cost: "answers (status, rejected requests) and what this node sends out of the cluster are unknown",
    remedy: "run a kernel with CONFIG_CGROUP_BPF=y; if somebody else is attached exclusively, `bpftool cgroup tree` shows it",
};

pub static WALK: Feature = Feature {
    name: "cgroup_skb/walk",
    essential: false,
    purpose: "programs that the others go on in: they walk over the frames of HTTP/2, and put segments in order",
    cost: "requests of HTTP/2 can be unknown: what it carries is shipped by allowance alone",
    remedy: "run Linux 5.10 or later with CONFIG_CGROUP_BPF=y",
};

pub static JIT: Feature = Feature {
    name: "jit",
    essential: false,
    purpose: "the kernel compiles the programs",
    cost: "the programs are interpreted: each packet of the node costs several times more",
    remedy: "sysctl -w net.core.bpf_jit_enable=1",
};

pub static SELF_TEST: Feature = Feature {
    name: "self-test",
    essential: true,
    purpose: "a loopback connection of our own comes out of the ring",
    cost: "unproven: the programs may be blind, and a silent node cannot be told from a quiet one",
    remedy: "attach at the host's root (--cgroup-root) and in the host's cgroup namespace; the detail says what failed",
};

pub static KEPT: Feature = Feature {
    name: "kept-capabilities",
    essential: false,
    purpose: "what a running daemon still may do: as little as the kernel lets it",
    cost: "unknown what a running daemon would keep",
    remedy: "see the checks above",
};

pub static OWN_FILTER: Feature = Feature {
    name: "own-filter",
    essential: false,
    purpose: "seccomp(2): a running daemon makes no system call but those that it needs",
    cost: "whoever takes the daemon over can make every system call that its user may",
    remedy: "run a kernel with CONFIG_SECCOMP_FILTER=y, and a seccompProfile that allows seccomp(2)",
};

/// A kernel program and where it goes.
pub struct Hook {
    /// The hook's name in `probe_info` and in logs.
    pub name: &'static str,
    /// The program's name in the object.
    pub program: &'static str,
    pub feature: &'static Feature,
}

/// In the order of attaching: packets first. A connection that is told as new then had every byte pass by us; one
/// that opens in between is told as older than us, which is honest.
pub static HOOKS: [Hook; 3] = [
    Hook { name: "ingress", program: "observer_ingress", feature: &INGRESS },
    Hook { name: "egress", program: "observer_egress", feature: &EGRESS },
    Hook { name: "sock_ops", program: "observer_sock_ops", feature: &SOCK_OPS },
];

/// The name of [`WALK`] in `probe_info` and in logs. These programs are attached to none of the kernel's hooks.
pub const WALK_HOOK: &str = "walk";

/// One line of the report.
#[derive(Clone, Debug)]
pub struct Check {
    pub feature: &'static Feature,
    pub state: FeatureState,
    /// What was found.
    pub detail: String,
    /// The way out: the feature's own, or that of another whose want is the cause.
    pub remedy: &'static str,
}

/// What all checks together say: `Missing` if the main job cannot be done.
#[must_use]
pub fn verdict(checks: &[Check]) -> FeatureState {
    let worst = |check: &Check| match check.state {
        FeatureState::Missing if !check.feature.essential => FeatureState::Degraded,
        state => state,
    };
    checks.iter().map(worst).max().unwrap_or(FeatureState::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(feature: &'static Feature, state: FeatureState) -> Check {
        Check { feature, state, detail: String::new(), remedy: "" }
    }

    #[test]
    fn the_main_job_fails_only_for_want_of_what_it_needs() {
        use FeatureState::{Degraded, Missing, Ok};
        assert_eq!(verdict(&[check(&SOCK_OPS, Ok), check(&INGRESS, Ok)]), Ok);
        assert_eq!(verdict(&[check(&SOCK_OPS, Ok), check(&INGRESS, Missing)]), Degraded);
        assert_eq!(verdict(&[check(&SELF_TEST, Degraded)]), Degraded);
        assert_eq!(verdict(&[check(&SOCK_OPS, Missing), check(&INGRESS, Ok)]), Missing);
    }
}
