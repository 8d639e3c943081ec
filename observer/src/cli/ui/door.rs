//! Who may see the page's data. The daemon's socket answers its owner alone, but any user of the machine, and any page
//! in a browser, can reach a port of loopback.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::rand::{GetRandomFlags, getrandom};

/// What the printed address has behind its `#`: browsers send that to nobody, the page sends it in a header.
pub(super) struct Token(String);

impl Token {
    /// 128 random bits.
    pub fn new() -> io::Result<Self> {
        let mut bytes = [0_u8; 16];
        if getrandom(&mut bytes, GetRandomFlags::empty())? != bytes.len() {
            return Err(io::Error::other("the kernel gives no random bytes"));
        }
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes the same time for every wrong one.
    pub fn is(&self, other: &[u8]) -> bool {
        let differ = self.0.bytes().zip(other).fold(0, |differ, (own, other)| differ | (own ^ other));
        other.len() == self.0.len() && differ == 0
    }
}

/// Whether a Host header names this machine. A name that somebody else's DNS led here does not. Any port will do: the
/// port may be forwarded from another.
pub(super) fn is_loopback(host: &str) -> bool {
    let ip = host.parse::<SocketAddr>().map(|address| address.ip());
    let ip = ip.or_else(|_| host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>());
    match ip {
        Ok(ip) => ip.is_loopback(),
        Err(_) => {
            let (name, port) = host.split_once(':').unwrap_or((host, "0"));
            name.eq_ignore_ascii_case("localhost") && port.parse::<u16>().is_ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_answered() {
        for host in ["127.0.0.1:8080", "127.0.0.1", "[::1]:8080", "[::1]", "localhost:1", "LocalHost"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "example.org",
            "example.org:80",
            "localhost.example.org",
            "192.0.2.1:80",
            "127.0.0.1.nip.io",
            "localhost:x",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_token_is_its_own_and_nobody_elses() {
        let (one, other) = (Token::new().unwrap(), Token::new().unwrap());
        assert!(one.is(one.as_str().as_bytes()) && !one.is(other.as_str().as_bytes()));
        assert_eq!(one.as_str().len(), 32);
        for wrong in ["", &one.as_str()[..31], &format!("{}0", one.as_str())] {
            assert!(!one.is(wrong.as_bytes()), "{wrong}");
        }
    }
}
