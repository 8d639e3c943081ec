//! HTTP/2 in clear.

use anyhow::Result;
use observer_harness::Process;

use crate::row::{Row, http, row};
use crate::scene::At;

fn h2(case: &str, client: &str, server: &str) -> Row {
    row(case, client, server).dialect("http2")
}

fn go(at: &At<'_>) -> Result<Process> {
    at.serve(&[&at.go("go-h2c")?, "-listen", &format!(":{}", at.port)])
}

/// nghttp and nghttpd, with options of both.
fn nghttp(
    case: &str,
    client: &'static [&'static str],
    server: &'static [&'static str],
    expected: &str,
) -> Row {
    let (of_client, of_server) = (client.join(" "), server.join(" "));
    let ends = (format!("nghttp {of_client}"), format!("nghttpd {of_server}"));
    h2(case, ends.0.trim(), ends.1.trim())
        .does(move |at| {
            let (directory, port) = (at.files.path().display().to_string(), at.port.to_string());
            let start = ["nghttpd", "--no-tls", "-d", &directory];
            let _server = at.serve(&[&start, server, &[port.as_str()]].concat())?;
            let url = at.url("/index.html");
            let header = format!("authorization: Bearer {}", at.token);
            at.run(&[["nghttp", "-n", "-H", &header].as_slice(), client, &[&url]].concat()).map(drop)
        })
        .reads(expected)
}

pub fn rows() -> Vec<Row> {
    let verified = |count: u32| {
        let plural = if count == 1 { "" } else { "s" };
        format!("http/2 plaintext, {count} request{plural}: {count} verified, GET 200, verified bearer")
    };
    let curl = |case: &str, how: &'static str| {
        h2(case, "curl", "Go x/net").does(move |at| {
            let _server = go(at)?;
            at.curl(&[&[how, "-H", &at.bearer(), &at.url("/forbidden")]])
        })
    };
    let ask = |case: &str, path: &'static str, more: &'static [&'static str]| {
        h2(case, "Go x/net", "Go x/net").does(move |at| {
            let _server = go(at)?;
            let (program, token, url) = (at.go("go-h2c")?, at.file("token"), at.url(path));
            let line = [program.as_str(), "-url", &url, "-token-file", &token];
            at.run(&[&line, more].concat()).map(drop)
        })
    };
    vec![
        curl("prior knowledge", "--http2-prior-knowledge")
            .reads("http/2 plaintext, 1 request: 1 verified, 1 rejected, GET 403, verified bearer"),
        // tshark comes to an upgrade by way of HTTP.
        curl("Upgrade: h2c", "--http2")
            .dialect("http")
            .reads("http/2 plaintext, 1 request: 1 verified, 1 rejected, GET 403, verified bearer"),
        http("several requests", "nghttp")
            .listens("http2")
            .dialect("http2")
            .does(|at| {
                let (url, forbidden) = (at.url("/"), at.url("/forbidden"));
                at.run(&["nghttp", "-n", "-H", "authorization: Basic eDp5", &url, &forbidden]).map(drop)
            })
            .reads("http/2 plaintext, 2 requests: 2 present, 1 rejected, GET 403, present basic"),
        ask("a repeated token is one byte", "/", &["-n", "100"]).reads(verified(100)),
        ask("100 streams at once", "/", &["-n", "1000", "-parallel", "100"]).reads(verified(1000)),
        h2("100 streams at once", "h2load", "nghttpd")
            .connections(4)
            .does(|at| {
                let (directory, port) = (at.files.path().display().to_string(), at.port.to_string());
                let _server = at.serve(&["nghttpd", "--no-tls", "-d", &directory, &port])?;
                let header = format!("authorization: Bearer {}", at.token);
                let line =
                    ["h2load", "-n", "2000", "-c", "4", "-m", "100", "-H", &header, &at.url("/index.html")];
                at.run(&line).map(drop)
            })
            .reads(verified(2000)),
        ask("5 MB bodies full of requests", "/", &["-n", "3", "-upload", "5000000"])
            .reads("http/2 plaintext, 3 requests: 3 verified, POST 200, verified bearer"),
        nghttp("requests with priorities", &["-m", "10"], &[], &verified(10)),
        nghttp("padded frames", &["-m", "10", "-b", "200"], &["-b", "200"], &verified(10)),
        nghttp("CONTINUATION", &["-m", "10", "--continuation"], &[], &verified(10)),
        nghttp(
            "no dynamic table",
            &["-m", "10", "-c", "0", "--encoder-header-table-size", "0"],
            &["-c", "0"],
            &verified(10),
        ),
        nghttp(
            "a large dynamic table",
            &["-m", "10", "-c", "65536", "--encoder-header-table-size", "65536"],
            &["-c", "65536"],
            &verified(10),
        ),
        h2("Upgrade: h2c, several requests", "nghttp -u", "Go x/net")
            .dialect("http")
            .does(|at| {
                let _server = go(at)?;
                let header = format!("authorization: Bearer {}", at.token);
                at.run(&["nghttp", "-n", "-u", "-m", "3", "-H", &header, &at.url("/")]).map(drop)
            })
            .reads(verified(3)),
        nghttp("pushed answers are no requests", &["-m", "2"], &["-p", "/index.html=/bearer"], &verified(2)),
        nghttp(
            "trailers",
            &["-d", "/etc/hostname", "--trailer", "authorization: Basic eDp5"],
            &[],
            "http/2 plaintext, 1 request: 1 verified, POST 200, verified bearer",
        )
        .otherwise("Credentials", "counts trailers"),
        h2("a header that the settings name", "curl", "Go x/net")
            .does(|at| {
                let _server = go(at)?;
                at.curl(&[&["--http2-prior-knowledge", "-H", "X-API-Key: abracadabra", &at.url("/")]])
            })
            .reads("http/2 plaintext, 1 request: 1 present, GET 200, present")
            .otherwise("Credentials", "knows no such setting"),
    ]
}
