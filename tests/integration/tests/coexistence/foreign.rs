//! Somebody else's kernel programs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

const SCRIPT: &str = include_str!("foreign.py");

/// How they are attached: flags of BPF_PROG_ATTACH in `linux/bpf.h`.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// Nobody else at this cgroup, nor below it.
    Exclusive = 0,
    Multi = 2,
}

/// What was counted, both ends of connections apart.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    pub ingress: u64,
    pub egress: u64,
    pub established: u64,
    pub round_trips: u64,
}

/// They stay attached for as long as their cgroup exists.
pub struct Foreign {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Foreign {
    /// Attaches `programs` (`skb`, `sock_ops`, or `skb,sock_ops`) to `cgroup`.
    pub fn attach(cgroup: &Path, mode: Mode, programs: &str) -> Result<Self> {
        let (foreign, said) = Self::try_attach(cgroup, mode, programs)?;
        ensure!(said == "attached", "{said}");
        Ok(foreign)
    }

    /// As [`Foreign::attach`]; with what the kernel said: `attached`, or the error's name.
    pub fn try_attach(cgroup: &Path, mode: Mode, programs: &str) -> Result<(Self, String)> {
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", SCRIPT]).arg(cgroup).args([&(mode as u32).to_string(), programs]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take().context("stdin")?;
        let stdout = BufReader::new(child.stdout.take().context("stdout")?);
        let mut foreign = Self { child, stdin, stdout };
        let said = foreign.line()?;
        Ok((foreign, said))
    }

    pub fn counts(&mut self) -> Result<Counts> {
        writeln!(self.stdin)?;
        let line = self.line()?;
        let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let &[ingress, egress, established, round_trips] = &numbers[..] else {
            anyhow::bail!("{line}");
        };
        Ok(Counts { ingress, egress, established, round_trips })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many programs are attached to a cgroup, by whatever way: bpftool's reading, not ours.
pub fn attached(cgroup: &Path) -> Result<usize> {
    let output = Command::new("bpftool").args(["-j", "cgroup", "show"]).arg(cgroup).output()?;
    ensure!(output.status.success(), "bpftool: {output:?}");
    let text = String::from_utf8(output.stdout)?;
    // Without any it prints nothing at all.
    if text.trim().is_empty() {
        return Ok(0);
    }
    Ok(serde_json::from_str::<Vec<serde_json::Value>>(&text)?.len())
}
