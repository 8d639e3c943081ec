//! Reading a packet's headers. The bytes come from `bpf_skb_load_bytes`: what TCP carries is never linear here.

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
