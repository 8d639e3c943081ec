//! Connections that are there and say nothing.

use std::io::{BufRead as _, BufReader};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use observer_harness::Process;
use serde::Serialize;

use super::load::IDLE;
use super::meter::Meter;
use super::stage::{HTTP, Stage};
use crate::process;

/// Opens them, has one request answered on each, says so and waits to be told to end. It resets them then: ports that wait for
/// stragglers would make the next run's connections slow to begin.
const CLIENT: &str = "
import resource, socket, struct, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (16384, 16384))
held = []
for _ in range(int(sys.argv[3])):
    connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    connection.sendall(b'GET / HTTP/1.1\\r\\nHost: server\\r\\n\\r\\n')
    while not connection.recv(4096).endswith(b'world\\n'):
        pass
    held.append(connection)
print('held', flush=True)
sys.stdin.read()
";

/// How long processor time is measured, without the connections and with them.
const WATCH: Duration = Duration::from_secs(4);
const SETTLE: Duration = Duration::from_millis(1_500);

/// What idle connections cost a process.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Idle {
    pub connections: u32,
    pub rss_anon_before: u64,
    pub rss_anon_with: u64,
    /// Processor seconds in a second.
    pub cpu_before: f64,
    pub cpu_with: f64,
}

impl Idle {
    pub fn bytes_per_connection(&self) -> f64 {
        self.rss_anon_with.saturating_sub(self.rss_anon_before) as f64 / f64::from(self.connections)
    }
}

/// The connections, as long as they are held.
pub struct Held {
    client: Process,
    idle: Option<Idle>,
}

impl Held {
    /// Opens them and measures what they cost the process; without one, only opens them.
    ///
    /// # Errors
    /// If they cannot all be opened.
    pub fn open(stage: &Stage, meter: Option<Meter>) -> Result<Self> {
        let used = |meter: &Meter| {
            let (before, start) = (meter.fine_cpu(), Instant::now());
            thread::sleep(WATCH);
            (meter.fine_cpu() - before) / start.elapsed().as_secs_f64()
        };
        let before = meter.map(|meter| (used(&meter), meter.rss_anon()));
        let mut command = process::command("python3");
        command.args(["-c", CLIENT, &stage.server.ip4.to_string(), &HTTP.to_string(), &IDLE.to_string()]);
        let mut client = stage.spawn(command)?;
        let mut line = String::new();
        let output = client.child().stdout.take().context("no output")?;
        BufReader::new(output).read_line(&mut line).context("the idle client")?;
        if line.trim() != "held" {
            bail!("the client cannot open {IDLE} connections");
        }
        let idle = match (meter, before) {
            (Some(meter), Some((cpu_before, rss_anon_before))) => {
                thread::sleep(SETTLE);
                let (rss_anon_with, cpu_with) = (meter.rss_anon(), used(&meter));
                Some(Idle { connections: IDLE, rss_anon_before, rss_anon_with, cpu_before, cpu_with })
            }
            _ => None,
        };
        Ok(Self { client, idle })
    }

    /// Ends them and tells what they cost while they were alone.
    pub fn release(mut self) -> Option<Idle> {
        drop(self.client.child().stdin.take());
        let _ = self.client.wait(Duration::from_secs(10));
        self.idle
    }
}
