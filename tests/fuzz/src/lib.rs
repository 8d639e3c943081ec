//! The bodies of the fuzz targets: each takes any bytes, drives a stage through its public door, and checks what must
//! hold whatever they are. `cargo xtask fuzz` runs them under libFuzzer; `tests/replay.rs` runs the corpora.
#![forbid(unsafe_code)]

pub mod http1;
pub mod http2;
pub mod jwt;
pub mod proxy;
pub mod replay;
pub mod ring;
pub mod script;
pub mod seeds;
pub mod talk;
pub mod tls;
pub mod witness;

/// A target: its name, and what it does with an input.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
}

pub const TARGETS: [Target; 6] = [
    Target { name: "ring", run: ring::run },
    Target { name: "http1", run: http1::run },
    Target { name: "http2", run: http2::run },
    Target { name: "tls", run: tls::run },
    Target { name: "jwt", run: jwt::run },
    Target { name: "proxy", run: proxy::run },
];
