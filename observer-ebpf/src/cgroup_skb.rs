//! What a socket's packets carry. These two programs see every packet of the node's sockets, so the first look-up
//! decides: a socket that has nothing more to tell costs nothing else.

use aya_ebpf::bindings::bpf_sock;
use aya_ebpf::helpers::generated::bpf_sk_fullsock;
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::maps::ProgramArray;
use aya_ebpf::programs::SkBuffContext;
use observer_common::{Socket, continuation, tcp_state};

use crate::field::field;
use crate::maps::{EGRESS_GOES_ON, INGRESS_GOES_ON};
use crate::packet::{IPPROTO_TCP, IPPROTO_UDP};
use crate::{datagram, segment, socket, stranger};

const PASS: i32 = 1;

#[cgroup_skb(ingress)]
pub fn observer_ingress(ctx: SkBuffContext) -> i32 {
    start::<false>(&ctx, &INGRESS_GOES_ON);
    PASS
}

#[cgroup_skb(egress)]
pub fn observer_egress(ctx: SkBuffContext) -> i32 {
    start::<true>(&ctx, &EGRESS_GOES_ON);
    PASS
}

// Where they go on. A walk costs the verifier more than half of what it has for a program.

#[cgroup_skb(ingress)]
pub fn observer_walk_received(ctx: SkBuffContext) -> i32 {
    if of_socket(&ctx, |socket| segment::of_walked::<false>(&ctx, socket)) {
        unsafe { INGRESS_GOES_ON.tail_call(&ctx, continuation::PARKED) };
    }
    PASS
}

#[cgroup_skb(egress)]
pub fn observer_walk_sent(ctx: SkBuffContext) -> i32 {
    of_socket(&ctx, |socket| segment::of_walked::<true>(&ctx, socket));
    PASS
}

#[cgroup_skb(ingress)]
pub fn observer_parked(ctx: SkBuffContext) -> i32 {
    of_socket(&ctx, |socket| {
        segment::of_parked(socket);
        false
    });
    PASS
}

#[inline(always)]
fn start<const SENT: bool>(ctx: &SkBuffContext, goes_on: &ProgramArray) {
    if look::<SENT>(ctx) {
        // Comes back only if that program is missing.
        unsafe { goes_on.tail_call(ctx, continuation::WALK) };
        of_socket(ctx, |socket| {
            segment::of_unwalked::<SENT>(socket);
            false
        });
    }
}

#[inline(always)]
fn of_socket(ctx: &SkBuffContext, then: impl FnOnce(*mut Socket) -> bool) -> bool {
    let Some(sk) = full_socket(ctx) else { return false };
    let socket = socket::lookup(sk);
    !socket.is_null() && then(socket)
}

/// Answers whether the segment is to be walked over.
#[inline(always)]
fn look<const SENT: bool>(ctx: &SkBuffContext) -> bool {
    let Some(sk) = full_socket(ctx) else { return false };
    let socket = socket::lookup(sk);
    if !socket.is_null() {
        return segment::of_known_socket::<SENT>(ctx, socket);
    }
    match field!(sk, bpf_sock, protocol) {
        IPPROTO_TCP if field!(sk, bpf_sock, state) == u32::from(tcp_state::LISTEN) => {
            if !SENT {
                stranger::at_listener(ctx);
            }
        }
        IPPROTO_TCP => return stranger::of_old_socket::<SENT>(ctx, sk),
        IPPROTO_UDP => datagram::seen::<SENT>(ctx),
        _ => {}
    }
    false
}

#[inline(always)]
pub fn full_socket(ctx: &SkBuffContext) -> Option<*mut bpf_sock> {
    unsafe {
        let sk = core::ptr::read_volatile(&raw const (*ctx.skb.skb).__bindgen_anon_2.sk);
        if sk.is_null() {
            return None;
        }
        let sk = bpf_sk_fullsock(sk);
        (!sk.is_null()).then_some(sk)
    }
}
