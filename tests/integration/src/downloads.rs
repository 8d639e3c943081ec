//! A file that is downloaded again and again, each time compared byte for byte: whatever happens to the daemon, no
//! traffic may be harmed.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use observer_harness::{Place, Process};

use crate::servers::{Nginx, nginx, python};

const FILE_BYTES: usize = 300_000;
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection that is kept and, beside it, a new one for each download. Says the kept one's port, then at its end
/// how many downloads were the same byte for byte; another byte or a broken connection is its failure.
const DOWNLOADS: &str = r#"
import hashlib, http.client, signal, sys, time
host, port, digest = sys.argv[1:]
stop = False
def end(*_):
    global stop
    stop = True
signal.signal(signal.SIGTERM, end)
def fetch(connection):
    connection.request("GET", "/file")
    body = connection.getresponse().read()
    assert hashlib.sha256(body).hexdigest() == digest, "another file"
kept = http.client.HTTPConnection(host, int(port), timeout=20)
fetch(kept)
print(kept.sock.getsockname()[1], flush=True)
count = 1
while not stop:
    fresh = http.client.HTTPConnection(host, int(port), timeout=20)
    fetch(fresh)
    fresh.close()
    fetch(kept)
    count += 2
    time.sleep(0.05)
print(count, flush=True)
"#;

/// nginx with `/file`, which is bytes by chance, and `/small`.
pub struct FileServer {
    _nginx: Nginx,
    digest: String,
    port: u16,
}

impl FileServer {
    /// # Errors
    /// It does not listen.
    pub fn start(place: &Place, port: u16) -> Result<Self> {
        let block = format!(
            "listen {port} backlog=4096; listen [::]:{port}; root DIRECTORY; keepalive_requests 1000000;"
        );
        let nginx = nginx(place, port, &block)?;
        let mut bytes = vec![0; FILE_BYTES];
        fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let path = nginx.directory.write("file", &bytes)?;
        nginx.directory.write("small", "hello\n")?;
        let sum = String::from_utf8(Command::new("sha256sum").arg(path).output()?.stdout)?;
        let digest = sum.split_whitespace().next().context("a digest")?.to_owned();
        Ok(Self { _nginx: nginx, digest, port })
    }

    /// Downloads go on until they are ended.
    ///
    /// # Errors
    /// The first one fails.
    pub fn downloads(&self, client: &Place, host: &str) -> Result<Downloads> {
        let line = python(DOWNLOADS, &[host, &self.port.to_string(), &self.digest]);
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = client.spawn(command)?;
        let mut said = BufReader::new(process.child().stdout.take().context("a pipe")?);
        let mut first = String::new();
        said.read_line(&mut first)?;
        let kept_port = first.trim().parse().context("the first download failed")?;
        Ok(Downloads { process, said, kept_port })
    }
}

/// See [`FileServer::downloads`].
pub struct Downloads {
    process: Process,
    said: BufReader<ChildStdout>,
    /// Where the kept connection comes from.
    pub kept_port: u64,
}

impl Downloads {
    /// How many there were.
    ///
    /// # Errors
    /// One was not the same byte for byte, or broke off.
    pub fn end(mut self) -> Result<u64> {
        self.process.signal(libc::SIGTERM)?;
        let mut last = String::new();
        self.said.read_to_string(&mut last)?;
        let status = self.process.wait(PATIENCE)?;
        ensure!(status.success(), "the downloads: {status}");
        let count = last.trim().parse()?;
        ensure!(count > 5, "only {count} downloads");
        Ok(count)
    }
}
