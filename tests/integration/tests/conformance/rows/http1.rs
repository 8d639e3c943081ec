//! HTTP/1.0 and 1.1: messages, their bodies and their answers.

use anyhow::Result;
use observer_integration::servers::python;

use crate::row::{Row, http, row};
use crate::scene::At;

/// Answers each request with two interim responses (RFC 8297, RFC 9110 section 15.2) before the final one.
const HINTS: &str = r#"
import socketserver, sys
class Server(socketserver.ThreadingTCPServer): allow_reuse_address = True
class Hints(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline() not in (b"\r\n", b""): pass
        for status in b"103 Early Hints\r\nLink: </a.css>; rel=preload", b"102 Processing", b"200 OK\r\nContent-Length: 0":
            self.wfile.write(b"HTTP/1.1 " + status + b"\r\n\r\n")
Server(("", int(sys.argv[1])), Hints).serve_forever()
"#;

const SOCKET: &str = r#"
import asyncio, sys, websockets
async def echo(socket):
    async for message in socket: await socket.send(message)
async def main():
    async with websockets.serve(echo, "0.0.0.0", int(sys.argv[1])): await asyncio.Event().wait()
asyncio.run(main())
"#;

const CHAT: &str = r#"
import asyncio, sys, websockets
async def main():
    token = open(sys.argv[3]).read()
    async with websockets.connect(f"ws://{sys.argv[1]}:{sys.argv[2]}/", extra_headers={"Authorization": "Bearer " + token}) as s:
        for text in "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "bye":
            await s.send(text); assert await s.recv() == text
asyncio.run(main())
"#;

const FILES: &str = "import http.server, sys
http.server.test(http.server.SimpleHTTPRequestHandler, http.server.ThreadingHTTPServer, port=int(sys.argv[1]))";

fn upload(at: &At<'_>, more: &[&str]) -> Result<()> {
    let (file, url) = (format!("@{}", at.file("bait")), at.url("/read"));
    let request = [["--data-binary", &file].as_slice(), more, &[&url]].concat();
    at.curl(&[&request, &["-H", &at.bearer(), &url], &request])
}

pub fn rows() -> Vec<Row> {
    vec![
        http("each request of a kept connection is judged by itself", "curl")
            .does(|at| {
                let (url, bearer) = (at.url("/"), at.bearer());
                at.curl(&[
                    &[&url],
                    &["-H", &bearer, &url],
                    &["-u", "user:open sesame", &url],
                    &["-H", "Authorization: Bearer abracadabra", &url],
                    &["-H", &format!("@{}", at.file("expired")), &url],
                ])
            })
            .reads("http/1.1 plaintext, 5 requests: 1 none 2 present 1 verified 1 invalid, GET 200, invalid bearer expired")
            .finds(&["unencrypted", "unauthenticated", "credential-in-cleartext", "invalid-token"]),
        http("HTTP/1.0", "curl")
            .does(|at| at.curl(&[&["--http1.0", &at.url("/")]]))
            .reads("http/1.0 plaintext, 1 request: 1 none, GET 200, none"),
        http("HTTP/1.0 with a body", "curl")
            .does(|at| at.curl(&[&["--http1.0", "-d", "x=1", &at.url("/")]]))
            .reads("http/1.0 plaintext, 1 request: 1 none, POST 200, none"),
        row("another server", "curl", "python http.server")
            .dialect("http")
            .does(|at| {
                let _server = at.serve_python(FILES, &[])?;
                at.curl(&[&["-H", &at.bearer(), &at.url("/nothing-here")]])
            })
            .reads("http/1.1 plaintext, 1 request: 1 verified, GET 404, verified bearer"),
        http("answers to HEAD have no body", "curl")
            .does(|at| {
                let url = at.url("/large");
                at.curl(&[&["-I", &url], &["-u", "a:b", &url], &["-I", &at.url("/")]])
            })
            .reads("http/1.1 plaintext, 3 requests: 2 none 1 present, HEAD 200, none"),
        http("5 MB bodies full of requests", "curl")
            .does(|at| upload(at, &["-H", "Expect:"]))
            .reads("http/1.1 plaintext, 3 requests: 2 none 1 verified, POST 200, none"),
        http("5 MB bodies after 100 Continue", "curl")
            .does(|at| upload(at, &["-H", "Expect: 100-continue"]))
            .reads("http/1.1 plaintext, 3 requests: 2 none 1 verified, POST 200, none"),
        http("chunked bodies full of requests", "curl")
            .does(|at| {
                let (file, url) = (at.file("bait-300k"), at.url("/read"));
                let put: &[&str] = &["-T", &file, "-H", "Transfer-Encoding: chunked", &url];
                let hasty: &[&str] = &["-T", &file, "-H", "Transfer-Encoding: chunked", "-H", "Expect:", &url];
                at.curl(&[put, &["-u", "a:b", &url], hasty])
            })
            .reads("http/1.1 plaintext, 3 requests: 2 none 1 present, PUT 200, none"),
        http("an answer's body full of answers", "curl")
            .does(|at| at.curl(&[&[&at.url("/large")], &["-X", "DELETE", &at.url("/")]]))
            .reads("http/1.1 plaintext, 2 requests: 2 none, DELETE 200, none"),
        row("interim answers", "curl", "python sockets")
            .dialect("http")
            .does(|at| {
                let _server = at.serve_python(HINTS, &[])?;
                at.curl(&[&[&at.url("/")]])
            })
            .reads("http/1.1 plaintext, 1 request: 1 none, GET 200, none"),
        http("401 and 403 are counted", "curl")
            .does(|at| {
                let (refused, forbidden) = (at.url("/unauthorized"), at.url("/forbidden"));
                at.curl(&[&[&refused], &["-u", "a:b", &forbidden], &[&at.url("/")], &["-I", &refused]])
            })
            .reads("http/1.1 plaintext, 4 requests: 3 none 1 present, 3 rejected, HEAD 401, none"),
        http("2,000 requests on 4 connections", "ab")
            .connections(4)
            .does(|at| {
                let header = format!("Authorization: Bearer {}", at.token);
                at.run(&["ab", "-q", "-k", "-n", "2000", "-c", "4", "-H", &header, &at.url("/")]).map(drop)
            })
            .reads("http/1.0 plaintext, 2000 requests: 2000 verified, GET 200, verified bearer"),
        row("a WebSocket is one request", "python websockets", "python websockets")
            .dialect("http")
            .does(|at| {
                let _server = at.serve_python(SOCKET, &[])?;
                let (host, port) = (at.ip().to_string(), at.port.to_string());
                at.client.run_ok(python(CHAT, &[&host, &port, &at.file("token")])).map(drop)
            })
            .reads("websocket plaintext, 1 request: 1 verified, GET 101, verified bearer"),
        http("an upgrade that the server does not take", "curl")
            .does(|at| at.curl(&[&["--http2", &at.url("/")], &["-u", "a:b", &at.url("/")]]))
            .reads("http/1.1 plaintext, 2 requests: 1 none 1 present, GET 200, present basic"),
    ]
}
