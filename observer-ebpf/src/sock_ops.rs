//! The life of a TCP connection: connect(), established on either side, closed.

use core::ptr;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_RTO_CB,
    BPF_SOCK_OPS_RTO_CB_FLAG, BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB,
    bpf_sock, bpf_sock_ops,
};
use aya_ebpf::helpers::generated::bpf_get_socket_cookie;
use aya_ebpf::macros::sock_ops;
use aya_ebpf::programs::SockOpsContext;
use aya_log_ebpf::debug;
use observer_common::{Socket, TcpClose, TcpOpen, Tuple, flag, kind, tcp_state};

use crate::field::{field, ip6};
use crate::ring::{emit, now, write_header};
use crate::socket::{AF_INET6, create, lookup, write_ip4, write_ip6};
use crate::twins;

/// sock_ops programs answer some callbacks through the return value; ours never do.
const PASS: u32 = 1;

#[sock_ops]
pub fn observer_sock_ops(ctx: SockOpsContext) -> u32 {
    match ctx.op() {
        BPF_SOCK_OPS_TCP_CONNECT_CB => connecting(&ctx),
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => established(&ctx, flag::CLIENT),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => established(&ctx, flag::SERVER),
        BPF_SOCK_OPS_STATE_CB => state_changed(&ctx),
        BPF_SOCK_OPS_RTO_CB => retransmission_timer(&ctx),
        _ => {}
    }
    PASS
}

#[inline(always)]
fn sock(ctx: &SockOpsContext) -> *mut bpf_sock {
    unsafe { ptr::read_volatile(&raw const (*ctx.ops).__bindgen_anon_2.sk) }
}

#[inline(always)]
fn cookie(ctx: &SockOpsContext) -> u64 {
    unsafe { bpf_get_socket_cookie(ctx.as_ptr()) }
}

#[inline(always)]
fn fresh(ctx: &SockOpsContext, role: u16) -> *mut Socket {
    let sk = sock(ctx);
    if sk.is_null() {
        return ptr::null_mut();
    }
    let socket = create(sk);
    if !socket.is_null() {
        // All of it: connect() may dissolve a connection and make another of the same socket.
        unsafe {
            *socket =
                Socket { flags: u32::from(role), cookie: cookie(ctx), opened: now(), ..Socket::default() };
        }
        // `set` replaces the flags: another program may have its own on this socket.
        let wanted = BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RTO_CB_FLAG;
        if ctx.set_cb_flags((ctx.cb_flags() | wanted) as i32).is_err() {
            debug!(ctx, "no callbacks on socket {}", cookie(ctx));
        }
    }
    socket
}

/// Only the attempt is noted: what becomes of it is told when it is established or given up.
#[inline(always)]
fn connecting(ctx: &SockOpsContext) {
    fresh(ctx, flag::CLIENT);
}

#[inline(always)]
fn established(ctx: &SockOpsContext, role: u16) {
    let sk = sock(ctx);
    if sk.is_null() {
        return;
    }
    let mut socket = lookup(sk);
    if socket.is_null() {
        socket = fresh(ctx, role);
    }
    if socket.is_null() {
        return;
    }
    let syn_seen = unsafe { (*socket).sent.next };
    let sent_start = if role == flag::CLIENT && syn_seen != 0 {
        syn_seen
    } else if role == flag::CLIENT {
        // The same, but for data that went with the SYN.
        field!(ctx.ops, bpf_sock_ops, snd_una)
    } else {
        field!(ctx.ops, bpf_sock_ops, snd_nxt)
    };
    let received_start = field!(ctx.ops, bpf_sock_ops, rcv_nxt);
    unsafe {
        (*socket).sent.next = sent_start;
        (*socket).received.next = received_start;
        let emitted = emit::<TcpOpen>(|open| {
            write_header(&raw mut (*open).header, kind::TCP_OPEN, role, (*socket).cookie, (*socket).cgroup);
            write_tuple(ctx.ops, &raw mut (*open).tuple);
            (*open).sent_start = sent_start;
            (*open).received_start = received_start;
        });
        if !emitted {
            (*socket).flags |= u32::from(flag::LOSSY);
        } else if role == flag::SERVER {
            twins::announce(&*socket);
        }
    }
}

#[inline(always)]
fn retransmission_timer(ctx: &SockOpsContext) {
    // args[2]: the kernel gives up.
    if ctx.arg(2) == 0 {
        return;
    }
    let sk = sock(ctx);
    if sk.is_null() {
        return;
    }
    let socket = lookup(sk);
    if !socket.is_null() {
        unsafe { (*socket).flags |= u32::from(flag::TIMED_OUT) };
    }
}

#[inline(always)]
fn state_changed(ctx: &SockOpsContext) {
    let (old, new) = (ctx.arg(0) as u8, ctx.arg(1) as u8);
    if new != tcp_state::FIN_WAIT2 && new != tcp_state::CLOSE {
        return;
    }
    let sk = sock(ctx);
    if sk.is_null() {
        return;
    }
    let socket = lookup(sk);
    if socket.is_null() {
        return;
    }
    if new == tcp_state::FIN_WAIT2 {
        unsafe { (*socket).received_before_fin = (*ctx.ops).bytes_received };
    } else {
        closed(ctx, socket, old);
    }
}

#[inline(always)]
fn closed(ctx: &SockOpsContext, socket: *mut Socket, old_state: u8) {
    unsafe {
        let role = (*socket).flags as u16;
        if role & flag::MUTED != 0 {
            return;
        }
        // The kernel's counts include SYN and FIN as a byte each, where they were acknowledged or arrived.
        let all_acknowledged =
            field!(ctx.ops, bpf_sock_ops, snd_una) == field!(ctx.ops, bpf_sock_ops, snd_nxt);
        let our_fin = match old_state {
            tcp_state::FIN_WAIT2 | tcp_state::TIME_WAIT => true,
            tcp_state::CLOSING | tcp_state::LAST_ACK => all_acknowledged,
            _ => false,
        };
        let acknowledged = u64::from(role & flag::CLIENT != 0) + u64::from(our_fin);
        let received = (*ctx.ops).bytes_received;
        let their_fin = match old_state {
            tcp_state::CLOSE_WAIT | tcp_state::LAST_ACK | tcp_state::CLOSING => true,
            // What came after ours was acknowledged ends with theirs, unless an RST cut it off.
            tcp_state::FIN_WAIT2 => {
                received != (*socket).received_before_fin && role & flag::RESET_RECEIVED == 0
            }
            _ => false,
        };
        let sent = (*ctx.ops).bytes_acked;
        emit::<TcpClose>(|close| {
            write_header(&raw mut (*close).header, kind::TCP_CLOSE, role, (*socket).cookie, (*socket).cgroup);
            write_tuple(ctx.ops, &raw mut (*close).tuple);
            (*close).opened = (*socket).opened;
            (*close).bytes_sent = sent.saturating_sub(acknowledged);
            (*close).bytes_received = received.saturating_sub(u64::from(their_fin));
            (*close).old_state = old_state;
        });
    }
}

#[inline(always)]
fn write_tuple(ops: *mut bpf_sock_ops, tuple: *mut Tuple) {
    unsafe {
        if field!(ops, bpf_sock_ops, family) == AF_INET6 {
            write_ip6(&raw mut (*tuple).local_ip, ip6!(ops, bpf_sock_ops, local_ip6));
            write_ip6(&raw mut (*tuple).remote_ip, ip6!(ops, bpf_sock_ops, remote_ip6));
        } else {
            write_ip4(&raw mut (*tuple).local_ip, field!(ops, bpf_sock_ops, local_ip4));
            write_ip4(&raw mut (*tuple).remote_ip, field!(ops, bpf_sock_ops, remote_ip4));
        }
        (*tuple).local_port = field!(ops, bpf_sock_ops, local_port) as u16;
        // Network byte order, in the upper half of the word on little-endian machines.
        (*tuple).remote_port = u32::from_be(field!(ops, bpf_sock_ops, remote_port)) as u16;
    }
}
