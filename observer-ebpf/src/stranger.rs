//! TCP segments of sockets of which nothing is remembered: the listener's, and those of connections from before our
//! time.

use core::mem;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{bpf_sock, bpf_sock_tuple};
use aya_ebpf::helpers::generated::{
    bpf_get_socket_cookie, bpf_sk_lookup_tcp, bpf_sk_release, bpf_skb_cgroup_id,
};
use aya_ebpf::programs::SkBuffContext;
use observer_common::{TcpOpen, Tuple, flag, kind, tcp_state};

use crate::field::{field, ip6};
use crate::maps::settings;
use crate::packet::{self, TCP_FIN, TCP_RST, TCP_SYN};
use crate::ring::{About, emit, now, write_header};
use crate::segment::{note_loopback, payload, ship};
use crate::socket;

/// The handshake's last segment and a Fast Open SYN may carry data, and meet the listener: the connection's own
/// socket does not exist yet. The daemon files them by address.
#[inline(always)]
pub fn at_listener(ctx: &SkBuffContext) {
    let mut tuple = Tuple::default();
    let Some(at) = packet::addresses(ctx, false, &mut tuple) else { return };
    let Some(tcp) = packet::tcp(ctx, at) else { return };
    if tcp.payload_len == 0 {
        return;
    }
    packet::ports(tcp.source_port, tcp.destination_port, false, &mut tuple);
    let about = About {
        kind: kind::TCP_DATA,
        flags: flag::SERVER | flag::LISTENER | flag::TURN,
        cookie: unsafe { bpf_get_socket_cookie(ctx.as_ptr()) },
        cgroup: unsafe { bpf_skb_cgroup_id(ctx.skb.skb) },
        // A SYN takes one sequence number before its data (RFC 7413 section 4.2).
        sequence: tcp.sequence.wrapping_add(u32::from(tcp.flags & TCP_SYN != 0)),
        left_out: 0,
        first: true,
        tuple: Some(&tuple),
    };
    ship(ctx, about, tcp.payload_at, tcp.payload_len, settings().client_allowance);
}

/// A connection that was there before us: its first segment with data makes it known. Answers whether that is to be
/// walked over.
#[inline(always)]
pub fn of_old_socket<const SENT: bool>(ctx: &SkBuffContext, sk: *mut bpf_sock) -> bool {
    let Some(tcp) = packet::tcp_header(ctx) else { return false };
    if tcp.payload_len == 0 || tcp.flags & (TCP_SYN | TCP_RST | TCP_FIN) != 0 {
        return false;
    }
    let role = if listener_owns(ctx, sk) { flag::SERVER } else { flag::CLIENT };
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    let cgroup = unsafe { bpf_skb_cgroup_id(ctx.skb.skb) };
    // Known only once it was told: otherwise it would stay hidden for good.
    let told = emit::<TcpOpen>(|open| unsafe {
        write_header(&raw mut (*open).header, kind::TCP_OPEN, role | flag::MIDSTREAM, cookie, cgroup);
        socket::write_tuple(sk, &raw mut (*open).tuple);
        (*open).sent_start = 0;
        (*open).received_start = 0;
    });
    if !told {
        return false;
    }
    let socket = socket::create(sk);
    if socket.is_null() {
        return false;
    }
    let known = unsafe { &mut *socket };
    known.flags = u32::from(role | flag::MIDSTREAM);
    known.cookie = cookie;
    known.cgroup = cgroup;
    known.opened = now();
    let (ours, theirs) =
        if SENT { (&mut known.sent, &mut known.received) } else { (&mut known.received, &mut known.sent) };
    ours.next = tcp.sequence;
    // Zero would make half of all sequence numbers look like retransmissions.
    theirs.next = tcp.acknowledged;
    note_loopback(ctx, known);
    payload::<SENT>(ctx, known, &tcp)
}

/// Whether somebody listens on the local port: no connection has port 0 for its peer, so only a listener answers.
#[inline(always)]
fn listener_owns(ctx: &SkBuffContext, sk: *mut bpf_sock) -> bool {
    const CURRENT_NETNS: u64 = u64::MAX;
    let port = (field!(sk, bpf_sock, src_port) as u16).to_be();
    let mut tuple: bpf_sock_tuple = unsafe { mem::zeroed() };
    let first: u8 = ctx.load(0).unwrap_or(0);
    // By the packet's family: a dual-stack listener answers for both.
    let size = unsafe {
        if first >> 4 == 4 {
            let ipv4 = &mut tuple.__bindgen_anon_1.ipv4;
            ipv4.daddr = field!(sk, bpf_sock, src_ip4);
            ipv4.dport = port;
            size_of_val(ipv4)
        } else {
            let ipv6 = &mut tuple.__bindgen_anon_1.ipv6;
            ipv6.daddr = ip6!(sk, bpf_sock, src_ip6);
            ipv6.dport = port;
            size_of_val(ipv6)
        }
    };
    unsafe {
        let listener = bpf_sk_lookup_tcp(ctx.as_ptr(), &raw mut tuple, size as u32, CURRENT_NETNS, 0);
        if listener.is_null() {
            return false;
        }
        let listening = field!(listener, bpf_sock, state) == u32::from(tcp_state::LISTEN);
        bpf_sk_release(listener.cast());
        listening
    }
}
