//! The system calls that a running daemon makes, and a filter (seccomp(2)) that refuses all others.
//!
//! Left out on purpose, among others: starting programs, new processes, listening, raw and packet sockets, memory that
//! can be run, other processes' memory, mounts and namespaces, and of bpf(2) all but the elements of maps that are open.

use std::collections::BTreeMap;
use std::thread;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter, apply_filter_all_threads,
};

use super::ConfineError;

/// What becomes of a call that is not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// It fails (EPERM).
    Refuse,
    /// The process is killed by SIGSYS.
    Kill,
    /// It is made: there is no filter.
    Allow,
}

impl Forbidden {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Kill => "kill",
            Self::Allow => "allow",
        }
    }
}

/// Of `linux/bpf.h`: what is done with the elements of a map that is open.
const BPF_ELEMENTS: [u64; 4] = [1, 2, 3, 4];
/// Of `linux/prctl.h`: PR_SET_NAME of a thread, PR_SET_VMA's name of memory, PR_GET_AUXV.
const PRCTLS: [u64; 3] = [15, 0x5356_4d41, 0x4155_5856];
/// Of `linux/net.h`: the kind of socket, without the flags that can be or'ed to it.
const SOCK_TYPE_MASK: u64 = 0xf;
/// Of `asm-generic/ioctls.h`: not to block, not to be inherited, whether this is a terminal.
const IOCTLS: [u64; 3] = [libc::FIONBIO, libc::FIOCLEX, libc::TCGETS];
/// Of `linux/sched.h`: all that makes a namespace (NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET).
const NEW_NAMESPACE: u64 = 0x7e02_0000;

/// Whatever the arguments are.
const ALWAYS: &[c_long] = &[
    // Files that are open, and files of the host: what may be opened is up to the mounts.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_openat,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_fcntl,
    libc::SYS_unlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    // Waiting.
    libc::SYS_ppoll,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_futex,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    // Connections that are there or are made: answers, the API server, issuers, names.
    libc::SYS_connect,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_shutdown,
    // Memory; see below for what may be mapped.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_munlock,
    libc::SYS_membarrier,
    // Threads and signals; see below for what may be started.
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_capget,
    libc::SYS_capset,
    // What this process is, and when.
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
];

/// By their older names, which the C library still uses where the kernel has them.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_unlink,
    libc::SYS_poll,
    libc::SYS_epoll_wait,
    libc::SYS_accept,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

/// Applies the filter to every thread.
pub(super) fn forbid(forbidden: Forbidden) -> Result<(), ConfineError> {
    for program in programs(forbidden)? {
        apply_filter_all_threads(&program).map_err(told)?;
    }
    Ok(())
}

/// Applies the filter to this thread and those that it starts, for as long as they live.
///
/// # Errors
/// The kernel does not take it.
pub fn forbid_to_this_thread(forbidden: Forbidden) -> Result<(), ConfineError> {
    for program in programs(forbidden)? {
        apply_filter(&program).map_err(told)?;
    }
    Ok(())
}

/// Whether the kernel takes the filter: tried in a thread that ends thereafter.
///
/// # Errors
/// It does not.
pub fn probe_filter() -> Result<(), ConfineError> {
    let tried = thread::spawn(|| forbid_to_this_thread(Forbidden::Refuse)).join();
    tried.unwrap_or_else(|_| Err(ConfineError::Filter("the thread that tried died".to_owned())))
}

fn told(error: impl std::fmt::Display) -> ConfineError {
    ConfineError::Filter(error.to_string())
}

/// In the order in which they have to be applied.
fn programs(forbidden: Forbidden) -> Result<Vec<BpfProgram>, ConfineError> {
    let action = match forbidden {
        Forbidden::Allow => return Ok(Vec::new()),
        Forbidden::Refuse => SeccompAction::Errno(libc::EPERM as u32),
        Forbidden::Kill => SeccompAction::KillProcess,
    };
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(told)?;
    let compile = |rules, otherwise, matched| -> Result<BpfProgram, ConfineError> {
        SeccompFilter::new(rules, otherwise, matched, arch).and_then(BpfProgram::try_from).map_err(told)
    };
    // What clone3(2) is to do stands in memory, where no filter can look: without it the C library uses clone(2).
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let enosys = SeccompAction::Errno(libc::ENOSYS as u32);
    Ok(vec![compile(clone3, SeccompAction::Allow, enosys)?, compile(rules()?, action, SeccompAction::Allow)?])
}

fn rules() -> Result<BTreeMap<c_long, Vec<SeccompRule>>, ConfineError> {
    use SeccompCmpOp::{Eq, MaskedEq};

    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        ALWAYS.iter().chain(OLDER).map(|&call| (call, Vec::new())).collect();
    // The filter above decides.
    rules.insert(libc::SYS_clone3, Vec::new());

    let own = u64::from(std::process::id());
    let not_executable = |argument| when(&[(argument, MaskedEq(libc::PROT_EXEC as u64), 0)]);
    let socket =
        |family: i32, kind: i32| when(&[(0, Eq, family as u64), (1, MaskedEq(SOCK_TYPE_MASK), kind as u64)]);
    let mut some = |call, allowed: Vec<Result<SeccompRule, ConfineError>>| {
        allowed.into_iter().collect::<Result<Vec<_>, _>>().map(|allowed| rules.insert(call, allowed))
    };
    some(libc::SYS_mmap, vec![not_executable(2)])?;
    some(libc::SYS_mprotect, vec![not_executable(2)])?;
    let thread = libc::CLONE_THREAD as u64;
    some(libc::SYS_clone, vec![when(&[(0, MaskedEq(thread | NEW_NAMESPACE), thread)])])?;
    some(libc::SYS_tgkill, vec![when(&[(0, Eq, own)])])?;
    // Limits may be asked, not set: then the third argument, a pointer, is null.
    let null = SeccompCondition::new(2, SeccompCmpArgLen::Qword, Eq, 0).map_err(told)?;
    some(libc::SYS_prlimit64, vec![SeccompRule::new(vec![null]).map_err(told)])?;
    some(libc::SYS_ioctl, IOCTLS.map(|request| when(&[(1, Eq, request)])).into())?;
    some(libc::SYS_prctl, PRCTLS.map(|option| when(&[(0, Eq, option)])).into())?;
    some(libc::SYS_bpf, BPF_ELEMENTS.map(|command| when(&[(0, Eq, command)])).into())?;
    some(
        libc::SYS_socket,
        vec![
            socket(libc::AF_INET, libc::SOCK_STREAM),
            socket(libc::AF_INET6, libc::SOCK_STREAM),
            // Name servers.
            socket(libc::AF_INET, libc::SOCK_DGRAM),
            socket(libc::AF_INET6, libc::SOCK_DGRAM),
            socket(libc::AF_UNIX, libc::SOCK_STREAM),
            socket(libc::AF_UNIX, libc::SOCK_DGRAM),
            // The C library asks which kinds of addresses this host has.
            when(&[(0, Eq, libc::AF_NETLINK as u64), (2, Eq, libc::NETLINK_ROUTE as u64)]),
        ],
    )?;
    some(libc::SYS_socketpair, vec![when(&[(0, Eq, libc::AF_UNIX as u64)])])?;
    Ok(rules)
}

/// All of these: the argument with this number, so compared.
fn when(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, ConfineError> {
    // The kernel looks at no more of an int either.
    let length = SeccompCmpArgLen::Dword;
    let conditions = conditions.iter().map(|(argument, operator, value)| {
        SeccompCondition::new(*argument, length.clone(), operator.clone(), *value)
    });
    let conditions = conditions.collect::<Result<Vec<_>, _>>().map_err(told)?;
    SeccompRule::new(conditions).map_err(told)
}
