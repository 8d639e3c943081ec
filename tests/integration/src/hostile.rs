//! What a pod can send that has root in its own network namespace: packets made by hand, under any address.

use std::net::Ipv4Addr;

use anyhow::Result;
use observer_harness::Place;

use crate::Directory;
use crate::servers::python;

/// Layouts: RFC 791 section 3.1 (the kernel fills in what is zero here, raw(7)), RFC 768, RFC 9293 section 3.1.
const BY_HAND: &str = r#"
import random, socket, struct, sys
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
def ip(source, destination, protocol, rest):
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, protocol, 0, source, destination) + rest
def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
def tcp(source, destination, ports, sequence, acknowledged, flags, data=b""):
    head = struct.pack("!HHIIBBHHH", *ports, sequence, acknowledged, 5 << 4, flags, 65535, 0, 0)
    pseudo = source + destination + struct.pack("!BBH", 0, 6, len(head) + len(data))
    head = head[:16] + struct.pack("!H", checksum(pseudo + head + data)) + head[18:]
    return ip(source, destination, 6, head + data)
def udp(source, destination, ports, data):
    return ip(source, destination, 17, struct.pack("!HHHH", *ports, 8 + len(data), 0) + data)
what, source, destination, source_port, port, count, file = sys.argv[1:]
a, b = socket.inet_aton(source), socket.inet_aton(destination)
ports = (int(source_port), int(port))
with open(file, "rb") as f:
    data = f.read()
sent = 0
for n in range(int(count)):
    if what == "udp":
        packet = udp(a, b, ports, data)
    elif what == "data":
        # PSH and ACK, as the segment of a connection that never was.
        packet = tcp(a, b, ports, random.getrandbits(32), random.getrandbits(32), 0x18, data)
    else:
        # SYN from addresses all over 10.0.0.0/8.
        other = struct.pack("!I", 0x0a000000 | random.getrandbits(24))
        packet = tcp(other, b, (random.randrange(1024, 65536), ports[1]), random.getrandbits(32), 0, 0x02)
    try:
        raw.sendto(packet, (destination, 0))
        sent += 1
    except OSError:
        pass
print(sent)
"#;

/// One socket, as many peers as there are ports.
const UDP_SCAN: &str = r#"
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sent = 0
for port in range(1, int(sys.argv[2]) + 1):
    for _ in range(3):
        try:
            s.sendto(b"?", (sys.argv[1], port))
            sent += 1
            break
        except OSError:
            pass
print(sent)
"#;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub enum Packet<'a> {
    Udp(&'a [u8]),
    /// A TCP segment with data, of no connection.
    Data(&'a [u8]),
    /// TCP SYNs under addresses by chance.
    Syn,
}

/// Sends `count` packets from `place`; `from` and `to`: address and port. Says how many the kernel took.
///
/// # Errors
/// Raw sockets are not permitted there.
pub fn by_hand(
    place: &Place,
    packet: Packet<'_>,
    from: (Ipv4Addr, u16),
    to: (Ipv4Addr, u16),
    count: usize,
) -> Result<usize> {
    let directory = Directory::new()?;
    let (what, data) = match packet {
        Packet::Udp(data) => ("udp", data),
        Packet::Data(data) => ("data", data),
        Packet::Syn => ("syn", &b""[..]),
    };
    let file = directory.write("data", data)?.display().to_string();
    let words = [
        what,
        &from.0.to_string(),
        &to.0.to_string(),
        &from.1.to_string(),
        &to.1.to_string(),
        &count.to_string(),
        &file,
    ];
    Ok(place.run_ok(python(BY_HAND, &words))?.trim().parse()?)
}

/// Sends a datagram to each of the first `ports` ports of `to`; says how many the kernel took.
///
/// # Errors
/// The script fails.
pub fn udp_scan(place: &Place, to: Ipv4Addr, ports: u16) -> Result<usize> {
    Ok(place.run_ok(python(UDP_SCAN, &[&to.to_string(), &ports.to_string()]))?.trim().parse()?)
}
