//! The two ends of the UDP scenario: programs of their own, so that their sockets are in the pods' cgroups.

use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Result, ensure};

/// Bytes of each question; the answer to each is as long.
pub const SIZES: [usize; 3] = [5, 100, 1000];

/// Sends back what it receives.
pub fn echo(port: &str) -> Result<()> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port.parse()?))?;
    let mut buffer = [0; 2048];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..length], peer)?;
    }
}

/// Asks, and waits for each answer.
pub fn talk(address: &str, port: &str) -> Result<()> {
    let address: IpAddr = address.parse()?;
    let own: IpAddr = if address.is_ipv4() { [0, 0, 0, 0].into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((own, 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    socket.connect((address, port.parse()?))?;
    for size in SIZES {
        socket.send(&vec![b'q'; size])?;
        let length = socket.recv(&mut [0; 2048])?;
        ensure!(length == size, "{length} bytes came back, not {size}");
    }
    Ok(())
}
