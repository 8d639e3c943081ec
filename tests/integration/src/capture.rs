//! An independent witness: dumpcap takes down what passes a pod's interface, tshark says what it was.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use observer_harness::{Place, Process};

use crate::Directory;

const STARTS_WITHIN: Duration = Duration::from_secs(10);
/// dumpcap looks every 250 ms for what the kernel holds for it.
const SETTLES_WITHIN: Duration = Duration::from_millis(400);

/// A capture that runs.
pub struct Capture {
    process: Process,
    directory: Directory,
}

impl Capture {
    /// Captures all that passes `eth0` of `place` from now on.
    ///
    /// # Errors
    /// dumpcap does not start.
    pub fn start(place: &Place) -> Result<Self> {
        Self::on(place, "eth0")
    }

    /// As [`Capture::start`], on another interface.
    ///
    /// # Errors
    /// dumpcap does not start.
    pub fn on(place: &Place, interface: &str) -> Result<Self> {
        let directory = Directory::new()?;
        let said = directory.path().join("stderr");
        let mut command = Command::new("dumpcap");
        // In MiB: room for all that any test sends, so that a busy machine drops nothing.
        command.args(["-q", "-i", interface, "-B", "64", "-w"]).arg(directory.path().join("capture.pcapng"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&said)?);
        let mut process = place.spawn(command)?;
        let deadline = Instant::now() + STARTS_WITHIN;
        // The file's name is printed once the interface is open.
        while !fs::read_to_string(&said)?.contains("File:") {
            if Instant::now() > deadline || !process.is_running()? {
                bail!("dumpcap did not start in {place}: {}", fs::read_to_string(&said)?);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(Self { process, directory })
    }

    /// Ends the capture.
    ///
    /// # Errors
    /// dumpcap fails, or lost packets: then it is no witness.
    pub fn stop(self) -> Result<Reading> {
        thread::sleep(SETTLES_WITHIN);
        let status = self.process.stop(Duration::from_secs(5))?;
        let said = fs::read_to_string(self.directory.path().join("stderr"))?;
        if !status.success() {
            bail!("dumpcap: {status}: {said}");
        }
        // `Packets received/dropped on interface 'eth0': 20/0 (pcap:0/...)`
        let counts =
            said.lines().find_map(|line| line.strip_prefix("Packets received/dropped on interface "));
        let dropped = counts
            .and_then(|line| line.split(": ").nth(1)?.split(' ').next()?.split('/').nth(1))
            .with_context(|| format!("dumpcap said {said:?}"))?;
        if dropped != "0" {
            bail!("dumpcap dropped {dropped} packets");
        }
        Ok(Reading { directory: self.directory })
    }
}

/// What was captured.
pub struct Reading {
    directory: Directory,
}

/// The values of one frame, by field; those of a field that occurs more than once in a frame are apart.
pub type Row = Vec<Vec<String>>;

impl Reading {
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("capture.pcapng")
    }

    /// One row for each frame that the display filter passes, with the values of `fields`.
    ///
    /// # Errors
    /// tshark refuses the filter or a field.
    pub fn rows(&self, filter: &str, fields: &[&str]) -> Result<Vec<Row>> {
        self.rows_as(filter, fields, &[])
    }

    /// As [`Reading::rows`], with dissectors that tshark would not choose by itself, each as `tcp.port==8000,http`.
    ///
    /// # Errors
    /// As [`Reading::rows`].
    pub fn rows_as(&self, filter: &str, fields: &[&str], dissectors: &[String]) -> Result<Vec<Row>> {
        let mut command = Command::new("tshark");
        command.arg("-n").arg("-r").arg(self.file()).args(["-Y", filter, "-T", "fields"]);
        // Nothing in what is tested holds a bell or a unit separator.
        command.args(["-E", "separator=\u{7}", "-E", "occurrence=a", "-E", "aggregator=\u{1f}"]);
        for dissector in dissectors {
            command.args(["-d", dissector]);
        }
        for field in fields {
            command.args(["-e", field]);
        }
        let output = command.stdin(Stdio::null()).output().context("tshark")?;
        if !output.status.success() {
            bail!("tshark -Y {filter:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let text = String::from_utf8(output.stdout).context("tshark")?;
        let value = |text: &str| match text {
            "" => Vec::new(),
            text => text.split('\u{1f}').map(str::to_owned).collect(),
        };
        Ok(text.lines().map(|line| line.split('\u{7}').map(value).collect()).collect())
    }

    /// All values of one field, in order.
    ///
    /// # Errors
    /// As [`Reading::rows`].
    pub fn values(&self, filter: &str, field: &str) -> Result<Vec<String>> {
        Ok(self.rows(filter, &[field])?.into_iter().flatten().flatten().collect())
    }

    /// Bytes that the client on `port` sent and was sent, each counted once however often it was retransmitted: where
    /// the last of them ends, in tshark's relative sequence numbers, of which the SYN has number 0.
    ///
    /// # Errors
    /// As [`Reading::rows`].
    pub fn payload(&self, port: u64) -> Result<(u64, u64)> {
        let filter = format!("tcp.port == {port} && tcp.len > 0");
        let (mut sent, mut received) = (0, 0);
        for row in self.rows(&filter, &["tcp.srcport", "tcp.seq", "tcp.len"])? {
            let numbers: Vec<u64> =
                row.iter().flatten().map(|value| value.parse().context("a number")).collect::<Result<_>>()?;
            let [source, sequence, length] = numbers[..] else { bail!("tshark gave {row:?}") };
            let bytes = if source == port { &mut sent } else { &mut received };
            *bytes = (*bytes).max(sequence + length - 1);
        }
        Ok((sent, received))
    }
}
