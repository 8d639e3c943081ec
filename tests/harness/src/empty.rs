//! Empty kernel programs on a cgroup: what any program there costs, whatever it does.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};

/// `enum bpf_cmd` of linux/bpf.h.
const PROG_LOAD: i32 = 5;
const LINK_CREATE: i32 = 28;

/// `enum bpf_prog_type` and `enum bpf_attach_type`.
const CGROUP_SKB: u32 = 8;
const SOCK_OPS: u32 = 13;
const CGROUP_INET_INGRESS: u32 = 0;
const CGROUP_INET_EGRESS: u32 = 1;
const CGROUP_SOCK_OPS: u32 = 3;

/// `struct bpf_insn`.
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// `r0 = 1; exit`: a packet passes, a callback gets no answer.
static PASS: [Instruction; 2] = [
    Instruction { code: 0xb7, registers: 0, offset: 0, immediate: 1 },
    Instruction { code: 0x95, registers: 0, offset: 0, immediate: 0 },
];

/// For every packet that sockets below a cgroup receive or send, and for every callback of their TCP, a program that
/// does nothing. They go when this is dropped.
#[derive(Debug)]
pub struct EmptyPrograms {
    /// The programs, so that /proc/self/fdinfo shows their run time; and what ties each to the cgroup.
    _descriptors: Vec<OwnedFd>,
}

impl EmptyPrograms {
    /// Attaches one to each hook.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn attach(cgroup: &Path) -> Result<Self> {
        let directory = File::open(cgroup).with_context(|| format!("open {}", cgroup.display()))?;
        let mut descriptors = Vec::new();
        for (kind, hook) in
            [(CGROUP_SKB, CGROUP_INET_INGRESS), (CGROUP_SKB, CGROUP_INET_EGRESS), (SOCK_OPS, CGROUP_SOCK_OPS)]
        {
            let program = load(kind, hook).context("load an empty program")?;
            let link = link(&program, &directory, hook)
                .with_context(|| format!("attach an empty program to {}", cgroup.display()))?;
            descriptors.extend([program, link]);
        }
        Ok(Self { _descriptors: descriptors })
    }
}

/// The part of `union bpf_attr` that BPF_PROG_LOAD of Linux 4.17 reads.
#[repr(C)]
struct Load {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    hook: u32,
}

/// The part that BPF_LINK_CREATE of Linux 5.7 reads.
#[repr(C)]
struct Link {
    program: u32,
    target: u32,
    hook: u32,
    flags: u32,
}

fn load(kind: u32, hook: u32) -> io::Result<OwnedFd> {
    let attributes = Load {
        kind,
        instruction_count: PASS.len() as u32,
        instructions: PASS.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: *b"empty\0\0\0\0\0\0\0\0\0\0\0",
        interface: 0,
        hook,
    };
    bpf(PROG_LOAD, &attributes)
}

fn link(program: &OwnedFd, cgroup: &File, hook: u32) -> io::Result<OwnedFd> {
    let attributes =
        Link { program: program.as_raw_fd() as u32, target: cgroup.as_raw_fd() as u32, hook, flags: 0 };
    bpf(LINK_CREATE, &attributes)
}

/// bpf(2), for commands that answer with a descriptor.
fn bpf<T>(command: i32, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads as many bytes as it is told that there are. What they point to are constants.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    let descriptor = i32::try_from(answer).map_err(io::Error::other)?;
    // SAFETY: a new descriptor, which nothing else knows of.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
