//! The loads: programs that everybody can install, and what they are asked to do.

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;

use super::output::{Work, h2load, iperf3, sockperf, wrk};
use super::stage::{BULK, H2C, HTTP, HTTPS, Stage, UDP};
use crate::scratch::{Scratch, utf8};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Load {
    /// HTTP/1 over 16 kept connections: wrk
    KeepAlive,
    /// HTTP/1, a connection for each request: wrk
    Connections,
    /// HTTP/2 in clear, 16 connections with 10 requests at a time: h2load
    H2c,
    /// HTTPS (TLS 1.3) over 16 kept connections: wrk
    Tls,
    /// As many bytes as go over one connection: iperf3
    Bulk,
    /// 10,000 connections that are idle and 1,000 that are not: wrk
    Many,
    /// UDP, one answer for each datagram: sockperf
    Udp,
    /// HTTP/1 over 16 kept connections, each request with a path of its own and a credential as long as a token: wrk
    Differing,
}

/// For wrk: no request says what the last one said.
const DIFFERING: &str = "
local count = 0
request = function()
    count = count + 1
    return wrk.format('GET', '/items/' .. count)
end
";
/// As many as a ServiceAccount's token has.
const CREDENTIAL_BYTES: usize = 1_000;

/// Connections of the loads that keep them.
const KEPT: u32 = 16;
/// Of `Many`.
pub const BUSY: u32 = 1_000;
pub const IDLE: u32 = 10_000;

impl Load {
    pub const ALL: [Self; 8] = [
        Self::KeepAlive,
        Self::Connections,
        Self::H2c,
        Self::Tls,
        Self::Bulk,
        Self::Many,
        Self::Udp,
        Self::Differing,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "a, keep-alive",
            Self::Connections => "b, connection per request",
            Self::H2c => "c, h2c",
            Self::Tls => "d, TLS",
            Self::Bulk => "e, bulk",
            Self::Many => "f, many connections",
            Self::Udp => "g, UDP",
            Self::Differing => "h, requests that differ",
        }
    }

    /// What processor time is told for, and how many of the load's units that is.
    pub fn unit(self) -> (&'static str, f64) {
        if self == Self::Bulk { ("GB", 1e9) } else { ("million", 1e6) }
    }

    /// What its rate is told in, and how many of its units that is.
    pub fn rate(self) -> (&'static str, f64) {
        if self == Self::Bulk { ("Gbit/s", 1.25e8) } else { ("/s", 1.0) }
    }

    /// Whether its units are requests that can be seen, and that nginx counts.
    pub fn has_visible_requests(self) -> bool {
        matches!(self, Self::KeepAlive | Self::Connections | Self::H2c | Self::Many | Self::Differing)
    }

    /// Requests that can be under way when it ends: nginx has seen them or not, and so has the observer.
    pub fn under_way(self) -> u64 {
        match self {
            Self::KeepAlive | Self::Connections | Self::Tls | Self::Differing => KEPT.into(),
            Self::H2c => u64::from(KEPT) * 10,
            Self::Many => BUSY.into(),
            Self::Bulk | Self::Udp => 1,
        }
    }

    /// Makes the load for so many seconds.
    ///
    /// # Errors
    /// If its program fails, or some of what it asked for did.
    pub fn run(self, stage: &Stage, scratch: &Scratch, seconds: u32) -> Result<Work> {
        let time = seconds.to_string();
        let duration = format!("{seconds}s");
        let address = stage.server.ip4.to_string();
        let url = |scheme: &str, port: u16| format!("{scheme}://{address}:{port}/");
        let wrk = |connections: u32, url: &str, more: &[&str]| -> Result<Work> {
            let connections = connections.to_string();
            let arguments = ["-t1", "-c", &connections, "-d", &duration, "--latency"];
            wrk::read(&stage.run("wrk", &[&arguments[..], more, &[url]].concat())?)
        };
        match self {
            Self::KeepAlive => wrk(KEPT, &url("http", HTTP), &[]),
            Self::Connections => wrk(KEPT, &url("http", HTTP), &["-H", "Connection: close"]),
            Self::Tls => wrk(KEPT, &url("https", HTTPS), &[]),
            Self::Many => wrk(BUSY, &url("http", HTTP), &[]),
            Self::Differing => {
                let script = scratch.write("differing.lua", DIFFERING)?;
                let credential = format!("Authorization: Bearer {}", "x".repeat(CREDENTIAL_BYTES));
                wrk(KEPT, &url("http", HTTP), &["-H", &credential, "-s", utf8(&script)?])
            }
            Self::H2c => {
                let log = scratch.file("h2load.log");
                let option = format!("--log-file={}", utf8(&log)?);
                let clients = KEPT.to_string();
                let arguments =
                    ["-t", "1", "-c", &clients, "-m", "10", "-D", &time, &option, &url("http", H2C)];
                // It appends to what is there.
                let _ = std::fs::remove_file(&log);
                let report = stage.run("h2load", &arguments)?;
                let log = std::fs::read_to_string(&log).context("h2load's log")?;
                h2load::read(&report, &log, f64::from(seconds))
            }
            Self::Bulk => {
                let port = BULK.to_string();
                iperf3::read(&stage.run("iperf3", &["-c", &address, "-p", &port, "-t", &time, "-J"])?)
            }
            Self::Udp => {
                let port = UDP.to_string();
                let arguments = ["ping-pong", "-i", &address, "-p", &port, "-t", &time, "-m", "64"];
                sockperf::read(&stage.run("sockperf", &arguments)?)
            }
        }
    }
}
