//! Traffic of every kind, and pods that come and go.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;
use observer_harness::{Pod, Process, SimNode};
use observer_integration::Directory;
use observer_integration::downloads::{Downloads, FileServer};
use observer_integration::servers::{Certificate, python, s_server, start};
use observer_integration::wire::{self, Manners, Step};

const FILES: u16 = 8080;
const HTTP2: u16 = 8081;
const TLS: u16 = 8443;
const GARBAGE: u16 = 9001;
const UDP: u16 = 9053;
/// Pods that come and go in a run: the node has addresses for little more.
const PASSING: u32 = 200;
/// Between two rounds of a kind: a load that leaves the machine some time.
const PAUSE: Duration = Duration::from_millis(500);

/// Each from a socket of its own: a conversation each.
const DATAGRAMS: &str = r#"
import socket, sys
for n in range(100):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(b"soak %d" % n, (sys.argv[1], int(sys.argv[2])))
    s.close()
"#;

const DATAGRAM_SERVER: &str = r#"
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", int(sys.argv[1])))
while True:
    data, peer = s.recvfrom(2048)
    s.sendto(data, peer)
"#;

pub struct Load<'a> {
    node: &'a SimNode,
    server: Pod,
    client: Pod,
    files: FileServer,
    _certificate: Certificate,
    _pages: Directory,
    _running: Vec<Process>,
}

type Handles<'scope> = Vec<ScopedJoinHandle<'scope, Result<()>>>;

impl<'a> Load<'a> {
    pub fn new(node: &'a SimNode) -> Result<Self> {
        let server = node.pod("shop", "server").start()?;
        let client = node.pod("shop", "client").start()?;
        let files = FileServer::start(&server, FILES)?;
        let pages = Directory::new()?;
        pages.write("index.html", "hello\n")?;
        let certificate = Certificate::new("shop")?;
        let root = pages.path().display().to_string();
        let nghttpd = ["nghttpd", "--no-tls", "-d", &root, &HTTP2.to_string()].map(str::to_owned);
        let mut running = vec![
            start(&server, &nghttpd)?,
            start(&server, &python(DATAGRAM_SERVER, &[&UDP.to_string()]))?,
            wire::listen(&server, &[(GARBAGE, Manners::Sink)])?,
        ];
        running.extend(s_server(&server, TLS, &certificate, &["-www"])?);
        server.wait_listening(HTTP2)?;
        server.wait_listening(UDP)?;
        Ok(Self { node, server, client, files, _certificate: certificate, _pages: pages, _running: running })
    }

    pub fn client(&self) -> &Pod {
        &self.client
    }

    pub fn downloads(&self) -> Result<Downloads> {
        self.files.downloads(&self.client, &self.server.ip4.to_string())
    }

    /// Each kind goes round in a thread of its own until it is stopped.
    pub fn start<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        stop: &'scope AtomicBool,
        header: &'scope Path,
        length: Duration,
    ) -> Handles<'scope> {
        let mut handles = Vec::new();
        let mut go_round = |what: Box<dyn Fn() -> Result<()> + Send + 'scope>| {
            handles.push(scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    what()?;
                    thread::sleep(PAUSE);
                }
                Ok(())
            }));
        };
        let ip = self.server.ip4.to_string();
        let client = &self.client;
        let run = move |line: Vec<String>| client.run_ok(line).map(drop);
        let words = |line: String| line.split(' ').map(str::to_owned).collect::<Vec<_>>();

        let kept = words(format!("ab -q -k -n 300 -c 4 http://{ip}:{FILES}/small"));
        let fresh = words(format!("ab -q -n 100 -c 4 http://{ip}:{FILES}/small"));
        let bearer =
            words(format!("curl -sS -o /dev/null -H @{} http://{ip}:{FILES}/small", header.display()));
        go_round(Box::new(move || {
            [&kept, &fresh, &bearer].into_iter().try_for_each(|line| run(line.clone()))
        }));
        let http2 = words(format!("h2load -n 300 -c 2 -m 20 http://{ip}:{HTTP2}/index.html"));
        go_round(Box::new(move || run(http2.clone())));
        let tls = words(format!("curl -sSk -o /dev/null https://{ip}:{TLS}/"));
        go_round(Box::new(move || run(tls.clone())));
        let datagrams = python(DATAGRAMS, &[&ip, &UDP.to_string()]);
        go_round(Box::new(move || run(datagrams.clone())));
        let host = ip.clone();
        go_round(Box::new(move || {
            let noise = wire::noise(3_000);
            let half = b"GET / HTTP/1.1\r\nAuthoriz".as_slice();
            wire::talk(client, &host, GARBAGE, &[Step::Send(&noise)])?;
            wire::talk(client, &host, GARBAGE, &[Step::Send(half), Step::Pause(50), Step::Reset])?;
            wire::flood(client, &host, GARBAGE, 50)
        }));
        let url = format!("http://{ip}:{FILES}/small");
        let lives = (length / PASSING).max(Duration::from_millis(500));
        go_round(Box::new(move || {
            let pod = self.node.pod("shop", "passing").start()?;
            pod.run_ok(["curl", "-sS", "-o", "/dev/null", &url])?;
            let over = Instant::now() + lives;
            while Instant::now() < over && !stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(100));
            }
            pod.delete()
        }));
        handles
    }
}
