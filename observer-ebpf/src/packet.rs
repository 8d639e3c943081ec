//! Reading a packet's headers. Those of TCP lie in the packet's linear part, where the stack has just read or written
//! them, and are read in place; the others, and what they carry, come from `bpf_skb_load_bytes`.

use core::arch::asm;
use core::mem::offset_of;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::programs::SkBuffContext;
use observer_common::Tuple;

use crate::socket::{write_ip4, write_ip6};

pub const IPPROTO_TCP: u32 = 6;
pub const IPPROTO_UDP: u32 = 17;

pub struct Tcp {
    pub sequence: u32,
    /// What the sender of this segment expects next.
    pub acknowledged: u32,
    pub flags: u8,
    pub source_port: u16,
    pub destination_port: u16,
    pub payload_at: u32,
    pub payload_len: u32,
}

pub const TCP_FIN: u8 = 0x01;
pub const TCP_SYN: u8 = 0x02;
pub const TCP_RST: u8 = 0x04;

pub struct Udp {
    pub source_port: u16,
    pub destination_port: u16,
    pub payload_at: u32,
    pub payload_len: u32,
}

/// Offset of the transport header, without reading the addresses.
#[inline(always)]
pub fn transport_at(ctx: &SkBuffContext) -> Option<u32> {
    let first: u8 = ctx.load(0).ok()?;
    match first >> 4 {
        4 => Some(u32::from(first & 0xf) * 4),
        6 => after_extensions(ctx, ctx.load(6).ok()?),
        _ => None,
    }
}

/// IPv6 extension headers before TCP or UDP are rare, and at most two are followed (RFC 8200 section 4.1).
#[inline(always)]
fn after_extensions(ctx: &SkBuffContext, next: u8) -> Option<u32> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const DESTINATION: u8 = 60;
    let mut next = next;
    let mut at = 40u32;
    for _ in 0..2 {
        if !matches!(next, HOP_BY_HOP | ROUTING | DESTINATION) {
            return Some(at);
        }
        let [following, length]: [u8; 2] = ctx.load(at as usize).ok()?;
        next = following;
        at += (u32::from(length) + 1) * 8;
    }
    Some(at)
}

/// Fills in both addresses, and says where the transport header starts. `sent`: the source is the local end.
#[inline(always)]
pub fn addresses(ctx: &SkBuffContext, sent: bool, tuple: &mut Tuple) -> Option<u32> {
    let first: u8 = ctx.load(0).ok()?;
    let at = transport_at(ctx)?;
    let (source, destination) = if sent {
        (&raw mut tuple.local_ip, &raw mut tuple.remote_ip)
    } else {
        (&raw mut tuple.remote_ip, &raw mut tuple.local_ip)
    };
    if first >> 4 == 4 {
        write_ip4(source, ctx.load(12).ok()?);
        write_ip4(destination, ctx.load(16).ok()?);
    } else {
        write_ip6(source, ctx.load(8).ok()?);
        write_ip6(destination, ctx.load(24).ok()?);
    }
    Some(at)
}

/// Fills in both ports.
#[inline(always)]
pub fn ports(source: u16, destination: u16, sent: bool, tuple: &mut Tuple) {
    (tuple.local_port, tuple.remote_port) = if sent { (source, destination) } else { (destination, source) };
}

/// The TCP header of a packet that carries one.
#[inline(always)]
pub fn tcp_header(ctx: &SkBuffContext) -> Option<Tcp> {
    match in_place(ctx) {
        Some(tcp) => Some(tcp),
        None => tcp(ctx, transport_at(ctx)?),
    }
}

/// `None` where the header is not in the linear part, or comes after IPv6 extension headers.
#[inline(always)]
fn in_place(ctx: &SkBuffContext) -> Option<Tcp> {
    const SHORTEST: usize = 20;
    const IPV6: usize = 40;
    let skb = ctx.skb.skb;
    let start = pointer::<{ offset_of!(__sk_buff, data) }>(skb);
    let end = pointer::<{ offset_of!(__sk_buff, data_end) }>(skb);
    if start + SHORTEST > end {
        return None;
    }
    let first = byte::<0>(start);
    let at = if first >> 4 == 4 {
        usize::from(first & 0xf) * 4
    } else if u32::from(byte::<6>(start)) == IPPROTO_TCP {
        IPV6
    } else {
        return None;
    };
    let header = start + at;
    if header + SHORTEST > end {
        return None;
    }
    let payload_at = at as u32 + u32::from(byte::<12>(header) >> 4) * 4;
    Some(Tcp {
        source_port: u16::from_be(word::<0>(header) as u16),
        destination_port: u16::from_be((word::<0>(header) >> 16) as u16),
        sequence: u32::from_be(word::<4>(header)),
        acknowledged: u32::from_be(word::<8>(header)),
        flags: byte::<13>(header),
        payload_at,
        payload_len: ctx.len().saturating_sub(payload_at),
    })
}

/// A field of the context that the verifier takes for a pointer, if it is loaded like this.
#[inline(always)]
fn pointer<const OFFSET: usize>(skb: *const __sk_buff) -> usize {
    let value: usize;
    unsafe {
        asm!("{value} = *(u32 *)({skb} + {offset})", skb = in(reg) skb, offset = const OFFSET,
             value = out(reg) value, options(pure, readonly, nostack, preserves_flags));
    }
    value
}

// Headers are not aligned, and bytes that are put together cost more than a load.

#[inline(always)]
fn word<const OFFSET: usize>(at: usize) -> u32 {
    let value: u64;
    unsafe {
        asm!("{value} = *(u32 *)({at} + {offset})", at = in(reg) at, offset = const OFFSET,
             value = out(reg) value, options(pure, readonly, nostack, preserves_flags));
    }
    value as u32
}

#[inline(always)]
fn byte<const OFFSET: usize>(at: usize) -> u8 {
    let value: u64;
    unsafe {
        asm!("{value} = *(u8 *)({at} + {offset})", at = in(reg) at, offset = const OFFSET,
             value = out(reg) value, options(pure, readonly, nostack, preserves_flags));
    }
    value as u8
}

#[inline(always)]
pub fn tcp(ctx: &SkBuffContext, at: u32) -> Option<Tcp> {
    let header: [u8; 14] = ctx.load(at as usize).ok()?;
    let payload_at = at + u32::from(header[12] >> 4) * 4;
    Some(Tcp {
        source_port: u16::from_be_bytes([header[0], header[1]]),
        destination_port: u16::from_be_bytes([header[2], header[3]]),
        sequence: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        acknowledged: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
        flags: header[13],
        payload_at,
        payload_len: ctx.len().saturating_sub(payload_at),
    })
}

#[inline(always)]
pub fn udp(ctx: &SkBuffContext, at: u32) -> Option<Udp> {
    let header: [u8; 4] = ctx.load(at as usize).ok()?;
    let payload_at = at + 8;
    Some(Udp {
        source_port: u16::from_be_bytes([header[0], header[1]]),
        destination_port: u16::from_be_bytes([header[2], header[3]]),
        payload_at,
        payload_len: ctx.len().saturating_sub(payload_at),
    })
}
