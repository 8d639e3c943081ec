//! The API server is gone, slow, or answers garbage: observation goes on with what was known, says so, and recovers.

use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use observer_harness::Pod;
use observer_integration::servers::{nginx, python};
use observer_integration::{Daemon, Directory, proven};
use observer_kubernetes::Scene;

/// Long enough for a watch to come back after its longest wait.
const BACK_WITHIN: Duration = Duration::from_secs(60);
const BYTES: usize = 100_000;

/// Stands between the daemon and the API server. A file says what it does; when that changes, every connection is cut.
const MEDDLER: &str = r#"
import os, random, select, socket, ssl, sys, threading, time
port, upstream, ca, file = sys.argv[1:]
host, _, upstream_port = upstream.partition("://")[2].partition(":")
context = ssl.create_default_context(cafile=ca)
def mode():
    with open(file) as f:
        return f.read().strip()
def answer(body, status=b"200 OK"):
    return b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)
GARBAGE = [
    lambda: os.urandom(5000),
    lambda: answer(os.urandom(3000)),
    lambda: answer(b"<html>the gateway is confused</html>"),
    lambda: answer(b'{"kind": "Banana", "items": [17, null, {"metadata": "?"}]}'),
    lambda: answer(b'{"type": "ADDED", "object": {"metadata": 7}}\n' * 3),
    lambda: answer(b'{"kind": "PodList", "items": [{"metadata": {"name": "x'),
    lambda: answer(b"[" * 100000),
    lambda: answer(b"it hurts", b"500 Internal Server Error"),
    lambda: b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{",
]
def serve(client):
    now = mode()
    try:
        if now == "gone":
            return
        if now == "garbage":
            client.recv(65536)
            client.sendall(random.choice(GARBAGE)())
            return
        server = context.wrap_socket(socket.create_connection((host, int(upstream_port))), server_hostname=host)
        while mode() == now:
            ready = [server] if server.pending() else select.select([client, server], [], [], 0.1)[0]
            for one in ready:
                # TLS has records of its own: that there is something to read does not mean that there are bytes.
                one.settimeout(0.05)
                try:
                    data = one.recv(20 if now == "slow" and one is server else 65536)
                except TimeoutError:
                    continue
                finally:
                    one.settimeout(20)
                if not data:
                    return
                if now == "slow":
                    time.sleep(1)
                (server if one is client else client).sendall(data)
        server.close()
    except OSError:
        pass
    finally:
        client.close()
def end_with_the_test():
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=end_with_the_test, daemon=True).start()
listener = socket.create_server(("127.0.0.1", int(port)), backlog=100)
while True:
    threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()
"#;

struct Meddler {
    directory: Directory,
    port: u16,
    process: Child,
}

impl Drop for Meddler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Meddler {
    fn start(scene: &Scene) -> Result<Self> {
        let directory = Directory::new()?;
        let file = directory.write("mode", "pass")?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (url, ca) = (scene.control_plane.url(), scene.control_plane.ca().display().to_string());
        let line = python(MEDDLER, &[&port.to_string(), &url, &ca, &file.display().to_string()]);
        let process = Command::new(&line[0]).args(&line[1..]).stdin(Stdio::piped()).spawn()?;
        let meddler = Self { directory, port, process };
        let deadline = Instant::now() + BACK_WITHIN;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(Instant::now() < deadline, "it does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(meddler)
    }

    fn set(&self, mode: &str) -> Result<()> {
        self.directory.write("new", mode)?;
        Ok(fs::rename(self.directory.path().join("new"), self.directory.path().join("mode"))?)
    }
}

fn wait_until(daemon: &Daemon, what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<Duration> {
    let begun = Instant::now();
    while !holds()? {
        ensure!(begun.elapsed() < BACK_WITHIN, "not within {BACK_WITHIN:?}: {what}\n{}", daemon.log());
        thread::sleep(Duration::from_millis(50));
    }
    Ok(begun.elapsed())
}

fn watches_up(daemon: &Daemon) -> Result<f64> {
    let mut up = 0.0;
    for resource in ["pods", "services", "endpointslices", "nodes", "namespaces", "serviceaccounts"] {
        up += daemon.metric("observer_watch_up", &[&format!("resource=\"{resource}\"")])?;
    }
    Ok(up)
}

fn port_of_call(from: &Pod, url: &str) -> Result<u64> {
    Ok(from.run_ok(["curl", "-sS", "-o", "/dev/null", "-w", "%{local_port}", url])?.trim().parse()?)
}

#[test]
fn an_api_server_that_is_gone_slow_or_answers_garbage_stops_no_observation_and_is_heard_again() -> Result<()>
{
    let scene = Scene::start()?;
    let server = scene.pod("shop", "orders", "orders-0")?;
    let client = scene.pod("shop", "frontend", "frontend-0")?;
    let nginx = nginx(&server, 8080, "listen 8080; root DIRECTORY;")?;
    let mut bytes = vec![0; BYTES];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let file = nginx.directory.write("file", &bytes)?;
    let sum = Command::new("sha256sum").arg(file).output()?.stdout;
    let digest = String::from_utf8(sum)?.split_whitespace().next().unwrap_or_default().to_owned();
    let url = format!("http://{}:8080/file", server.ip4);

    let meddler = Meddler::start(&scene)?;
    // The scene's own, through the one that meddles.
    let kubeconfig = fs::read_to_string(scene.kubeconfig()?)?;
    let through = format!("http://127.0.0.1:{}", meddler.port);
    let kubeconfig = kubeconfig.replace(&scene.control_plane.url(), &through);
    let kubeconfig = meddler.directory.write("kubeconfig", kubeconfig)?;
    let daemon = Daemon::builder().kubeconfig(&kubeconfig).start(&scene.node)?;
    wait_until(&daemon, "every watch is up", || Ok(watches_up(&daemon)? == 6.0))?;

    let stop = AtomicBool::new(false);
    let told = thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let mut downloads = 0;
            while !stop.load(Ordering::Relaxed) {
                let line = format!("curl -sS {url} | sha256sum");
                let sum = client.run_ok(["sh", "-c", &line])?;
                ensure!(sum.starts_with(&digest), "another file: {sum}");
                downloads += 1;
                thread::sleep(Duration::from_millis(100));
            }
            anyhow::Ok(downloads)
        });
        let faults = (|| {
            let mut told = Vec::new();
            for (mode, for_) in [("gone", 12), ("slow", 8), ("garbage", 10)] {
                meddler.set(mode)?;
                wait_until(&daemon, "no watch is up", || Ok(watches_up(&daemon)? == 0.0))?;
                let until = Instant::now() + Duration::from_secs(for_);
                while Instant::now() < until {
                    let record = daemon.wait_final_from(port_of_call(&client, &url)?)?;
                    ensure!(record["client"]["principal"] == "shop/frontend", "{mode}: {record:#}");
                    ensure!(record["server"]["principal"] == "shop/orders", "{mode}: {record:#}");
                    ensure!(daemon.get("/healthz")?.starts_with("HTTP/1.1 200"), "{mode}: not healthy");
                    thread::sleep(Duration::from_millis(500));
                }
                let lag = daemon.metric("observer_identity_lag_seconds", &[])?;
                ensure!(lag > 3.0, "{mode}: a lag of {lag} s");
                meddler.set("pass")?;
                let back = wait_until(&daemon, "every watch is up", || Ok(watches_up(&daemon)? == 6.0))?;
                let late = scene.pod("shop", "late", &format!("late-{mode}"))?;
                thread::sleep(Duration::from_millis(500));
                let record = daemon.wait_final_from(port_of_call(&late, &url)?)?;
                ensure!(record["client"]["pod"] == format!("late-{mode}"), "{mode}: {record:#}");
                told.push(format!(
                    "{mode}: a lag of {lag:.0} s told, heard again after {:.0} s",
                    back.as_secs_f64()
                ));
            }
            Ok(told)
        })();
        stop.store(true, Ordering::Relaxed);
        let downloads = traffic.join().map_err(|_| anyhow!("the traffic's thread died"))?;
        faults.and_then(|told| Ok((downloads?, told)))
    });
    let (downloads, told): (u32, Vec<String>) = told?;
    ensure!(!daemon.log().contains("panicked"), "{}", daemon.log());
    proven!(
        Fault,
        "the API server is gone, slow (20 bytes a second), answers garbage",
        "{downloads} downloads byte for byte, all told by name; {}",
        told.join("; ")
    );
    Ok(())
}
