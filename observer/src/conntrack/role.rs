//! Which end of a flow a socket is.

use crate::model::{Endpoint, Open, Transport};

/// What a socket is to its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Client,
    Server,
}

/// Ports below this are given out by the administrator (RFC 6335 section 6: System Ports).
const FIRST_USER_PORT: u16 = 1024;
/// Where Linux starts to pick a client's port (net.ipv4.ip_local_port_range).
const FIRST_EPHEMERAL_PORT: u16 = 32_768;

/// Who opened it. UDP does not say: the first sender, unless it speaks from a well-known port to an ephemeral one.
pub fn role(open: &Open) -> Role {
    if open.transport == Transport::Udp {
        let answers =
            |from: Endpoint, to: Endpoint| from.port < FIRST_USER_PORT && to.port >= FIRST_EPHEMERAL_PORT;
        if answers(open.local, open.remote) {
            return Role::Server;
        }
        if answers(open.remote, open.local) {
            return Role::Client;
        }
    }
    if open.client == Some(true) { Role::Client } else { Role::Server }
}
