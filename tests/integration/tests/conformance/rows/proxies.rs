//! Proxies: headers before a connection's own bytes, tunnels, and what is asked of a proxy itself.

use anyhow::Result;
use observer_harness::Process;

use crate::row::{Row, http, row};
use crate::scene::{At, CLEAR, ENCRYPTED, path};

const IN_TUNNEL: &str = "reads no requests in a tunnel";

fn balanced(case: &str, listens: &str, scheme: &'static str, how: &'static str, expected: &str) -> Row {
    let mut row = http(case, "haproxy").listens(listens).reads(expected);
    row.server = format!("nginx {listens}");
    row.does(move |at| {
        let target = format!("{} {how}", at.to());
        let _haproxy = at.haproxy("tcp", &target)?;
        let url = format!("{scheme}://{}:{}/", at.middle.ip4, at.port);
        at.curl(&[&["--http1.1", "-H", "Authorization: Basic bm86b25l", &url]])
    })
}

fn tinyproxy(at: &At<'_>, port: u16) -> Result<Process> {
    let ports = [ENCRYPTED, CLEAR].map(|port| format!("ConnectPort {port}\n")).concat();
    let config = at.write("tinyproxy.conf", format!("Port {port}\nBasicAuth who what\n{ports}"))?;
    at.serve_in(&at.middle, port, &["tinyproxy", "-d", "-c", path(&config)?])
}

fn tunnel(case: &str, credential: &'static str, more: &'static [&'static str], port: u16) -> Row {
    row(case, "curl", "tinyproxy").proxied().dialect("http").does(move |at| {
        let _proxy = tinyproxy(at, at.port)?;
        let proxy = format!("http://{credential}{}", at.to());
        let scheme = if port == ENCRYPTED { "https" } else { "http" };
        let url = format!("{scheme}://{}:{port}/", at.server.ip4);
        at.talk(&[["curl", "-sSk", "-o", "/dev/null", "-x", &proxy].as_slice(), more, &[&url]].concat())
    })
}

pub fn rows() -> Vec<Row> {
    let request = "http/1.1 plaintext, 1 request: 1 present, GET 200, present basic";
    let tls = "tls tls 1.3, alpn http/1.1";
    vec![
        balanced("PROXY v1 before HTTP", "proxy_protocol", "http", "send-proxy", request),
        balanced("PROXY v2 before HTTP", "proxy_protocol", "http", "send-proxy-v2", request),
        balanced("PROXY v1 before TLS", "ssl proxy_protocol", "https", "send-proxy", tls),
        balanced("PROXY v2 before TLS", "ssl proxy_protocol", "https", "send-proxy-v2", tls),
        http("requests that a proxy passes on", "haproxy")
            .does(|at| {
                let _haproxy = at.haproxy("http", &at.to())?;
                let url = format!("http://{}:{}/", at.middle.ip4, at.port);
                at.curl(&[&[&url], &["-H", &at.bearer(), &url], &[&url]])
            })
            .reads("http/1.1 plaintext, 3 requests: 2 none 1 verified, GET 200, none"),
        tunnel("CONNECT, then TLS", "who:what@", &[], ENCRYPTED)
            .reads("tls tls 1.3, alpn h2 http/1.1, 1 request: 1 present, CONNECT 200, present basic proxy-authorization")
            .finds(&["credential-in-cleartext"]),
        tunnel("CONNECT, then requests", "who:what@", &["-p"], CLEAR)
            .reads("http/1.1 plaintext, 2 requests: 1 none 1 present, GET 200, none")
            .otherwise("Requests", IN_TUNNEL)
            .otherwise("LastRequest", IN_TUNNEL),
        tunnel("CONNECT that is refused", "", &[], ENCRYPTED)
            .reads("http/1.1 plaintext, 1 request: 1 none, CONNECT 407, none")
            .otherwise("LastRequest", "takes the answer for a tunnel"),
        tunnel("a request to a proxy", "who:what@", &[], CLEAR)
            .reads("http/1.1 plaintext, 1 request: 1 present, GET 200, present basic proxy-authorization")
            .finds(&["unencrypted", "credential-in-cleartext"]),
        row("CONNECT through one proxy to the next", "curl", "haproxy")
            .proxied()
            .dialect("http")
            .does(|at| {
                let next = at.port + 1000;
                let _proxies = (tinyproxy(at, next)?, at.haproxy("http", &format!("127.0.0.1:{next}"))?);
                let proxy = format!("http://who:what@{}", at.to());
                let url = format!("https://{}:{ENCRYPTED}/", at.server.ip4);
                at.curl(&[&["-x", &proxy, &url]])
            })
            .reads("tls tls 1.3, alpn h2 http/1.1, 1 request: 1 present, CONNECT 200, present basic proxy-authorization"),
    ]
}
