//! System calls that an attacker would want, made so that they can do no harm: the kernel refuses their arguments, and by
//! the error it is seen who refused.

use std::io;

use libc::c_long;

/// One call.
pub struct Attempt {
    pub name: &'static str,
    call: c_long,
    arguments: [c_long; 4],
}

/// No process has this number (proc_sys_kernel(5), pid_max).
const NOBODY: c_long = i32::MAX as c_long;
const NULL: c_long = 0;
const EXECUTABLE: c_long = libc::PROT_EXEC as c_long;

const fn attempt(name: &'static str, call: c_long, arguments: [c_long; 4]) -> Attempt {
    Attempt { name, call, arguments }
}

/// Commands of bpf(2) by their numbers in `linux/bpf.h`; what they ask for is nothing.
pub static ATTEMPTS: [Attempt; 30] = [
    attempt("execve", libc::SYS_execve, [NULL; 4]),
    attempt("execveat", libc::SYS_execveat, [-1, NULL, NULL, NULL]),
    // CLONE_SIGHAND without CLONE_VM is no process.
    attempt("clone of a process", libc::SYS_clone, [libc::CLONE_SIGHAND as c_long, NULL, NULL, NULL]),
    attempt("unshare", libc::SYS_unshare, [1 << 31, 0, 0, 0]),
    attempt("setns", libc::SYS_setns, [-1, 0, 0, 0]),
    attempt("kill", libc::SYS_kill, [NOBODY, 0, 0, 0]),
    attempt("tgkill of others", libc::SYS_tgkill, [NOBODY, NOBODY, 0, 0]),
    attempt("ptrace", libc::SYS_ptrace, [libc::PTRACE_ATTACH as c_long, NOBODY, NULL, NULL]),
    attempt("process_vm_readv", libc::SYS_process_vm_readv, [NOBODY, NULL, 1, NULL]),
    attempt("pidfd_open", libc::SYS_pidfd_open, [NOBODY, 0, 0, 0]),
    attempt("mount", libc::SYS_mount, [NULL; 4]),
    attempt("umount2", libc::SYS_umount2, [NULL; 4]),
    attempt("chroot", libc::SYS_chroot, [NULL; 4]),
    attempt("pivot_root", libc::SYS_pivot_root, [NULL; 4]),
    attempt("bpf(BPF_MAP_CREATE)", libc::SYS_bpf, [0, NULL, 0, 0]),
    attempt("bpf(BPF_PROG_LOAD)", libc::SYS_bpf, [5, NULL, 0, 0]),
    attempt("bpf(BPF_PROG_ATTACH)", libc::SYS_bpf, [8, NULL, 0, 0]),
    attempt("bpf(BPF_MAP_GET_FD_BY_ID)", libc::SYS_bpf, [14, NULL, 0, 0]),
    attempt("bpf(BPF_LINK_CREATE)", libc::SYS_bpf, [28, NULL, 0, 0]),
    attempt("socket(AF_INET, SOCK_RAW)", libc::SYS_socket, [2, libc::SOCK_RAW as c_long, -1, 0]),
    attempt("socket(AF_PACKET)", libc::SYS_socket, [libc::AF_PACKET as c_long, 0xe, 0, 0]),
    attempt("listen", libc::SYS_listen, [-1, 0, 0, 0]),
    attempt("mmap(PROT_EXEC)", libc::SYS_mmap, [NULL, 0, EXECUTABLE, 0]),
    attempt("mprotect(PROT_EXEC)", libc::SYS_mprotect, [1, 1, EXECUTABLE, 0]),
    attempt("setuid", libc::SYS_setuid, [-1, 0, 0, 0]),
    attempt("prctl(PR_SET_DUMPABLE)", libc::SYS_prctl, [libc::PR_SET_DUMPABLE as c_long, 99, 0, 0]),
    attempt("prlimit64 with a limit", libc::SYS_prlimit64, [0, 0, 1, NULL]),
    attempt("open_by_handle_at", libc::SYS_open_by_handle_at, [-1, NULL, 0, 0]),
    attempt("finit_module", libc::SYS_finit_module, [-1, NULL, 0, 0]),
    attempt("memfd_create", libc::SYS_memfd_create, [NULL, 0, 0, 0]),
];

impl Attempt {
    /// The error that the call gives.
    ///
    /// # Panics
    /// It succeeded, which its arguments do not allow.
    #[must_use]
    pub fn make(&self) -> io::Error {
        let [first, second, third, fourth] = self.arguments;
        // SAFETY: only calls of the table above are made, whose pointers are null or point nowhere: they fail before
        // they touch memory or change anything.
        let answer = unsafe { libc::syscall(self.call, first, second, third, fourth, 0, 0) };
        let error = io::Error::last_os_error();
        assert_eq!(answer, -1, "{} succeeded", self.name);
        error
    }
}
