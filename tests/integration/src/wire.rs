//! Bytes on the wire as a test wants them: python's sockets at both ends, so that nothing tidies them up.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::Result;
use observer_harness::{Place, Process};

use crate::Directory;

/// What a listening port does with a connection.
#[derive(Clone, Copy)]
pub enum Manners {
    /// Reads to the end, says nothing, closes.
    Sink,
    /// Greets before it is spoken to; then like `Sink`.
    First,
    /// Answers each segment that holds the end of a head with an empty 200; closes when the client does.
    Answer,
    /// As `Answer`, with 401.
    Reject,
}

/// One thing that a client does after it has connected.
pub enum Step<'a> {
    /// In one write.
    Send(&'a [u8]),
    /// So that what follows is a segment of its own; in milliseconds.
    Pause(u64),
    /// Waits for some bytes of the server.
    Hear,
    /// Cuts the connection with an RST.
    Reset,
}

const LISTENER: &str = r#"
import asyncio, socket, sys
async def serve(port, manners):
    async def talk(reader, writer):
        try:
            if manners == "first":
                writer.write(b"220 hello\r\n")
            while data := await reader.read(1 << 16):
                if manners in ("answer", "reject") and b"\r\n\r\n" in data:
                    status = b"200 OK" if manners == "answer" else b"401 Unauthorized"
                    writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
                    await writer.drain()
        except OSError:
            pass
        writer.close()
    bound = socket.socket(socket.AF_INET6)
    bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("::", port))
    await asyncio.start_server(talk, sock=bound, backlog=4096)
async def main():
    for word in sys.argv[1:]:
        port, manners = word.split("=")
        await serve(int(port), manners)
    await asyncio.Event().wait()
asyncio.run(main())
"#;

const TALKER: &str = r#"
import socket, struct, sys, time
host, port, *steps = sys.argv[1:]
s = socket.create_connection((host, int(port)), timeout=20)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for step in steps:
    what, _, value = step.partition(":")
    if what == "send":
        with open(value, "rb") as f:
            s.sendall(f.read())
    elif what == "pause":
        time.sleep(int(value) / 1000)
    elif what == "hear":
        assert s.recv(1 << 16)
    elif what == "reset":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
        sys.exit()
s.shutdown(socket.SHUT_WR)
try:
    while s.recv(1 << 16):
        pass
except ConnectionResetError:
    pass
"#;

const FLOOD: &str = r#"
import socket, sys
host, port, count = sys.argv[1:]
for _ in range(int(count)):
    s = socket.create_connection((host, int(port)), timeout=20)
    s.sendall(b"\x80ping")
    s.close()
"#;

/// Listens on all of `ports`, over IPv4 and IPv6.
///
/// # Errors
/// It does not come to listen.
pub fn listen(place: &Place, ports: &[(u16, Manners)]) -> Result<Process> {
    let mut command = Command::new("python3");
    command.args(["-c", LISTENER]);
    for (port, manners) in ports {
        let manners = match manners {
            Manners::Sink => "sink",
            Manners::First => "first",
            Manners::Answer => "answer",
            Manners::Reject => "reject",
        };
        command.arg(format!("{port}={manners}"));
    }
    let process = place.spawn(command)?;
    for (port, _) in ports {
        place.wait_listening(*port)?;
    }
    Ok(process)
}

/// Connects, does `steps`, ends its half and waits for the server's end.
///
/// # Errors
/// It cannot connect, or is not heard.
pub fn talk(place: &Place, host: &str, port: u16, steps: &[Step<'_>]) -> Result<()> {
    // Bytes go through files: a command line is there for everybody to read.
    let directory = Directory::new()?;
    let mut words = vec!["python3".to_owned(), "-c".into(), TALKER.into(), host.into(), port.to_string()];
    for (n, step) in steps.iter().enumerate() {
        words.push(match step {
            Step::Send(bytes) => format!("send:{}", directory.write(&n.to_string(), bytes)?.display()),
            Step::Pause(milliseconds) => format!("pause:{milliseconds}"),
            Step::Hear => "hear".into(),
            Step::Reset => "reset".into(),
        });
    }
    place.run_ok(words).map(drop)
}

/// Opens `count` connections one after the other, each with five bytes that are no protocol.
///
/// # Errors
/// One cannot be opened.
pub fn flood(place: &Place, host: &str, port: u16, count: usize) -> Result<()> {
    let words = ["python3", "-c", FLOOD, host, &port.to_string(), &count.to_string()];
    place.run_ok(words).map(drop)
}

/// Bytes that look like chance and are the same each time. The first of them begins no protocol.
#[must_use]
pub fn noise(length: usize) -> Vec<u8> {
    // xorshift64 (Marsaglia, 2003).
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    })
    .take(length)
    .collect();
    if let Some(first) = bytes.first_mut() {
        *first = 0xf5;
    }
    bytes
}

/// A GET with more header lines, without a body.
#[must_use]
pub fn get(headers: &[(&str, &str)]) -> String {
    let mut head = "GET /secret?query=1 HTTP/1.1\r\nHost: test\r\n".to_owned();
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head + "\r\n"
}
