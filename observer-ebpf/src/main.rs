//! The kernel programs: one file per hook, and what the hooks share.
//!
//! They only look: every path of every program returns "pass". They read sockets and packets through helpers and
//! UAPI contexts alone, so the same object loads on every kernel from 5.10 on.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![cfg(any(target_arch = "bpf", test))]
#![allow(clippy::undocumented_unsafe_blocks, reason = "every access is checked by the kernel's verifier")]

mod cgroup_skb;
mod datagram;
mod field;
mod maps;
mod packet;
mod ring;
mod segment;
mod sock_ops;
mod socket;

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
