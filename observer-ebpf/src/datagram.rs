//! UDP by conversation: one socket and one peer. Its first datagram is shipped, the rest is counted in a table that
//! the daemon reaps.

use core::arch::asm;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_skb_cgroup_id};
use aya_ebpf::programs::SkBuffContext;
use observer_common::{Counter, Direction, Tuple, UdpConversation, UdpKey, UdpOpen, flag, kind};

use crate::maps::{CONVERSATIONS, count};
use crate::packet;
use crate::ring::{About, LARGE_ROOM, emit, emit_bytes, now, write_header};

/// A QUIC Initial fills 1200 bytes (RFC 9000 section 14.1).
const FIRST_DATAGRAM: u32 = 1500;
const _: () = assert!(FIRST_DATAGRAM as usize <= LARGE_ROOM);

#[inline(always)]
pub fn seen<const SENT: bool>(ctx: &SkBuffContext) {
    let mut tuple = Tuple::default();
    let Some(at) = packet::addresses(ctx, SENT, &mut tuple) else { return };
    let Some(udp) = packet::udp(ctx, at) else { return };
    packet::ports(udp.source_port, udp.destination_port, SENT, &mut tuple);
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    let key = UdpKey { cookie, remote_ip: tuple.remote_ip, remote_port: tuple.remote_port, padding: [0; 6] };
    let time = now();
    if let Some(conversation) = CONVERSATIONS.get_ptr_mut(&key) {
        add::<SENT>(conversation, time, udp.payload_len);
        return;
    }
    let cgroup = unsafe { bpf_skb_cgroup_id(ctx.skb.skb) };
    let mut conversation = UdpConversation {
        cgroup,
        first: time,
        last: time,
        local_ip: tuple.local_ip,
        local_port: tuple.local_port,
        first_speaker: if SENT { Direction::Sent } else { Direction::Received } as u16,
        ..UdpConversation::default()
    };
    add::<SENT>(&raw mut conversation, time, udp.payload_len);
    if CONVERSATIONS.insert(&key, &conversation, u64::from(BPF_NOEXIST)).is_err() {
        // Full, or another CPU was faster: then its datagram stands for the conversation.
        match CONVERSATIONS.get_ptr_mut(&key) {
            Some(conversation) => add::<SENT>(conversation, time, udp.payload_len),
            None => count(Counter::LostConversations),
        }
        return;
    }
    let flags = if SENT { flag::SENT } else { 0 };
    let told = emit::<UdpOpen>(|open| unsafe {
        write_header(&raw mut (*open).header, kind::UDP_OPEN, flags, cookie, cgroup);
        (*open).tuple = tuple;
    });
    if !told {
        // Forget it, so that the next datagram tries again.
        let _ = CONVERSATIONS.remove(&key);
        return;
    }
    if udp.payload_len > 0 {
        let take = if udp.payload_len < FIRST_DATAGRAM { udp.payload_len } else { FIRST_DATAGRAM };
        let left_out = udp.payload_len - take;
        let about = About {
            kind: kind::UDP_DATA,
            flags,
            cookie,
            cgroup,
            sequence: 0,
            left_out,
            first: true,
            tuple: Some(&tuple),
        };
        emit_bytes(ctx.skb.skb, &about, udp.payload_at, take);
    }
}

#[inline(always)]
fn add<const SENT: bool>(conversation: *mut UdpConversation, time: u64, bytes: u32) {
    unsafe {
        (*conversation).last = time;
        let (total, datagrams) = if SENT {
            (&raw mut (*conversation).bytes_sent, &raw mut (*conversation).datagrams_sent)
        } else {
            (&raw mut (*conversation).bytes_received, &raw mut (*conversation).datagrams_received)
        };
        atomic_add(total, u64::from(bytes));
        atomic_add(datagrams, 1);
    }
}

/// A socket's datagrams may arrive on several CPUs at once. `core` has no atomic addition for this target, which
/// cannot compare and swap on old kernels; the plain instruction is as old as eBPF.
#[inline(always)]
unsafe fn atomic_add(target: *mut u64, value: u64) {
    unsafe { asm!("lock *(u64 *)({target} + 0) += {value}", target = in(reg) target, value = in(reg) value) };
}
