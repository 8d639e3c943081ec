//! The kernel programs: one file per hook, and what the hooks share.
//!
//! They only look: every path of every program returns "pass". They read sockets and packets through helpers and
//! UAPI contexts alone, so the same object loads on every kernel from 5.10 on.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![allow(clippy::undocumented_unsafe_blocks, reason = "every access is checked by the kernel's verifier")]

#[cfg(target_arch = "bpf")]
mod cgroup_skb;
#[cfg(target_arch = "bpf")]
mod datagram;
#[cfg(target_arch = "bpf")]
mod field;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod packet;
#[cfg(target_arch = "bpf")]
mod parking;
#[cfg(target_arch = "bpf")]
mod repeats;
#[cfg(target_arch = "bpf")]
mod ring;
#[cfg(target_arch = "bpf")]
mod segment;
#[cfg(target_arch = "bpf")]
mod sock_ops;
#[cfg(target_arch = "bpf")]
mod socket;
#[cfg(target_arch = "bpf")]
mod stranger;
#[cfg(target_arch = "bpf")]
mod twins;
#[cfg(target_arch = "bpf")]
mod walk;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses a program in which this can be reached.
    unsafe { core::hint::unreachable_unchecked() }
}

/// The kernel lets only GPL-compatible programs call some helpers.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// For tools that look at the whole workspace on the host.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
