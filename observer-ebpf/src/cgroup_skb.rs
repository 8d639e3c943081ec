//! What a socket's packets carry. These two programs see every packet of the node's sockets, so the first look-up
//! decides: a socket that has nothing more to tell costs nothing else.

use aya_ebpf::bindings::bpf_sock;
use aya_ebpf::helpers::generated::bpf_sk_fullsock;
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use observer_common::tcp_state;

use crate::field::field;
use crate::packet::{IPPROTO_TCP, IPPROTO_UDP};
use crate::{datagram, segment, socket};

const PASS: i32 = 1;

#[cgroup_skb(ingress)]
pub fn observer_ingress(ctx: SkBuffContext) -> i32 {
    look::<false>(&ctx);
    PASS
}

#[cgroup_skb(egress)]
pub fn observer_egress(ctx: SkBuffContext) -> i32 {
    look::<true>(&ctx);
    PASS
}

#[inline(always)]
fn look<const SENT: bool>(ctx: &SkBuffContext) {
    let Some(sk) = full_socket(ctx) else { return };
    let socket = socket::lookup(sk);
    if !socket.is_null() {
        segment::of_known_socket::<SENT>(ctx, socket);
        return;
    }
    match field!(sk, bpf_sock, protocol) {
        IPPROTO_TCP if field!(sk, bpf_sock, state) == u32::from(tcp_state::LISTEN) => {
            if !SENT {
                segment::at_listener(ctx);
            }
        }
        IPPROTO_TCP => segment::of_old_socket::<SENT>(ctx, sk),
        IPPROTO_UDP => datagram::seen::<SENT>(ctx),
        _ => {}
    }
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
