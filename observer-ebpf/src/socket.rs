//! The state kept with each TCP socket.

use core::ptr;

use aya_ebpf::bindings::{BPF_SK_STORAGE_GET_F_CREATE, bpf_sock};
use aya_ebpf::helpers::generated::bpf_sk_storage_get;
use observer_common::{Counter, Socket, Tuple};

use crate::field::{field, ip6};
use crate::maps::{SOCKETS, count};

pub const AF_INET6: u32 = 10;

#[inline(always)]
pub fn lookup(sk: *mut bpf_sock) -> *mut Socket {
    unsafe {
        bpf_sk_storage_get(ptr::from_ref(&SOCKETS).cast_mut().cast(), sk.cast(), ptr::null_mut(), 0).cast()
    }
}

/// All zero. Null if the kernel has no memory for it: counted, and the socket stays unseen until its next event.
#[inline(always)]
pub fn create(sk: *mut bpf_sock) -> *mut Socket {
    let socket: *mut Socket = unsafe {
        bpf_sk_storage_get(
            ptr::from_ref(&SOCKETS).cast_mut().cast(),
            sk.cast(),
            ptr::null_mut(),
            u64::from(BPF_SK_STORAGE_GET_F_CREATE),
        )
        .cast()
    };
    if socket.is_null() {
        count(Counter::LostSockets);
    }
    socket
}

/// Writes the addresses as the socket has them: a client keeps the Service address that it dialled.
#[inline(always)]
pub fn write_tuple(sk: *mut bpf_sock, tuple: *mut Tuple) {
    unsafe {
        if field!(sk, bpf_sock, family) == AF_INET6 {
            write_ip6(&raw mut (*tuple).local_ip, ip6!(sk, bpf_sock, src_ip6));
            write_ip6(&raw mut (*tuple).remote_ip, ip6!(sk, bpf_sock, dst_ip6));
        } else {
            write_ip4(&raw mut (*tuple).local_ip, field!(sk, bpf_sock, src_ip4));
            write_ip4(&raw mut (*tuple).remote_ip, field!(sk, bpf_sock, dst_ip4));
        }
        (*tuple).local_port = field!(sk, bpf_sock, src_port) as u16;
        // A 32-bit load: before 5.18 the field was that wide, and newer kernels still allow it.
        (*tuple).remote_port = u16::from_be(field!(sk, bpf_sock, dst_port) as u16);
    }
}

/// `::ffff:a.b.c.d` (RFC 4291 section 2.5.5.2).
#[inline(always)]
pub fn write_ip4(target: *mut [u8; 16], word: u32) {
    write_ip6(target, [0, 0, u32::from_be(0xffff), word]);
}

#[inline(always)]
pub fn write_ip6(target: *mut [u8; 16], words: [u32; 4]) {
    let target: *mut u32 = target.cast();
    for (index, word) in words.into_iter().enumerate() {
        unsafe { target.add(index).write(word) };
    }
}
