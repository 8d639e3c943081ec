//! What a node has taken from the machine, on record before it is made, so that it can be given back by somebody else.
//!
//! Each node has a directory below `/run/observer-harness`, named by its random id:
//!
//! | file | holds |
//! |---|---|
//! | `owner` | pid, its start time, its PID namespace and the boot id: a reused pid is another owner |
//! | `slot` | the number that the node's subnets are made of |
//! | `names` | `netns NAME` and `cgroup PATH`, one a line, each written before the thing is made |
//!
//! A guardian process (`guardian.sh`) waits for the owner's end and removes all of it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, PipeWriter, Write};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::entropy;
use crate::subnets::{SLOTS, Subnets};

const REGISTRY: &str = "/run/observer-harness";
const SCRIPT: &str = include_str!("guardian.sh");
/// How long a node's removal may take, with its processes still to be killed.
const RELEASE_DEADLINE: Duration = Duration::from_secs(15);

/// One node's entry in the registry, with its guardian. Dropping it gives everything back.
#[derive(Debug)]
pub struct Claim {
    id: String,
    directory: PathBuf,
    slot: u16,
    guardian: Child,
    /// The guardian's stdin. Its last copy closes when the owner and its set-up commands are gone.
    alive: Option<PipeWriter>,
}

impl Claim {
    /// Clears up after dead owners, then takes an id and a free slot.
    pub fn take() -> Result<Self> {
        // SAFETY: geteuid has no preconditions and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            bail!(
                "a simulated node makes network namespaces and cgroups, which needs root: run this with `sudo -E`"
            );
        }
        let registry = Path::new(REGISTRY);
        fs::create_dir_all(registry).with_context(|| format!("create {REGISTRY}"))?;
        // Held until this function returns: two nodes that start at once take different slots.
        let lock = File::create(registry.join("lock")).with_context(|| format!("create {REGISTRY}/lock"))?;
        lock.lock().with_context(|| format!("lock {REGISTRY}/lock"))?;

        let mut taken = BTreeSet::new();
        for entry in fs::read_dir(registry).with_context(|| format!("list {REGISTRY}"))?.flatten() {
            let directory = entry.path();
            if !directory.is_dir() {
                continue;
            }
            if !directory.join("owner").exists() {
                // Its owner died before it made anything: the lock is ours, so nobody is just about to write it.
                let _ = fs::remove_dir_all(&directory);
            } else if is_stale(&directory) {
                // A failure leaves the entry, and so its slot, taken: it is not this node's to report.
                let _ = script(&directory).status();
            }
            taken.extend(
                fs::read_to_string(directory.join("slot"))
                    .ok()
                    .and_then(|slot| slot.trim().parse::<u16>().ok()),
            );
        }
        let routes = host_routes()?;
        let slot = (0..SLOTS)
            .find(|slot| {
                !taken.contains(slot) && Subnets::ipv4_of(*slot).iter().all(|net| !overlaps(&routes, *net))
            })
            .with_context(|| {
                format!("all {SLOTS} subnets for simulated nodes are in use, see {REGISTRY} and `ip route`")
            })?;

        let id = entropy::hex::<3>()?;
        let directory = registry.join(&id);
        fs::create_dir(&directory).with_context(|| format!("create {}", directory.display()))?;
        write(&directory, "owner", &owner()?)?;
        write(&directory, "slot", &slot.to_string())?;
        fs::write(directory.join("names"), "").context("write names")?;
        let (guardian, alive) = start_guardian(&directory)?;
        Ok(Self { id, directory, slot, guardian, alive: Some(alive) })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub const fn slot(&self) -> u16 {
        self.slot
    }

    /// A pipe end to be kept open while something is being made: the guardian waits for it.
    pub fn alive(&self) -> Result<PipeWriter> {
        let pipe = self.alive.as_ref().context("the simulated node has been shut down")?;
        pipe.try_clone().context("duplicate the guardian's pipe")
    }

    /// Puts the network namespace `name` on record; to be called before it is made.
    pub fn record_netns(&self, name: &str) -> Result<()> {
        if Path::new("/run/netns").join(name).exists() {
            bail!("the network namespace {name} exists already and is not this node's");
        }
        self.record("netns", name)
    }

    /// Puts the cgroup directory `path`, and all below it, on record; to be called before it is made.
    pub fn record_cgroup(&self, path: &Path) -> Result<()> {
        if path.exists() {
            bail!("the cgroup {} exists already and is not this node's", path.display());
        }
        self.record("cgroup", path.to_str().context("the cgroup2 mount point is not UTF-8")?)
    }

    fn record(&self, kind: &str, name: &str) -> Result<()> {
        let path = self.directory.join("names");
        OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(format!("{kind} {name}\n").as_bytes()))
            .with_context(|| format!("append to {}", path.display()))
    }

    /// Has the guardian remove everything, and waits for it. Later calls do nothing.
    pub fn release(&mut self) -> Result<()> {
        if self.alive.take().is_none() {
            return Ok(());
        }
        let deadline = Instant::now() + RELEASE_DEADLINE;
        while self.guardian.try_wait().context("wait for the guardian")?.is_none() {
            if Instant::now() > deadline {
                bail!(
                    "node {} was not removed within {RELEASE_DEADLINE:?}, see {}",
                    self.id,
                    self.directory.display()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.directory.exists() {
            bail!("node {} could not be removed completely, see {}/names", self.id, self.directory.display());
        }
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            eprintln!("observer-harness: {error:#}");
        }
    }
}

fn write(directory: &Path, file: &str, text: &str) -> Result<()> {
    let path = directory.join(file);
    fs::write(&path, format!("{text}\n")).with_context(|| format!("write {}", path.display()))
}

fn script(directory: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SCRIPT, "observer-harness-guardian"]).arg(directory).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn start_guardian(directory: &Path) -> Result<(Child, PipeWriter)> {
    let (reader, writer) = std::io::pipe().context("make the guardian's pipe")?;
    let mut command = script(directory);
    command.arg("wait").stdin(reader);
    // SAFETY: setsid and close_range are async-signal-safe and touch only the new process.
    unsafe {
        command.pre_exec(|| {
            // Its own session: the terminal's Ctrl-C and hang-up are for the owner alone.
            libc::setsid();
            // Nothing of the owner's stays open, or `cargo test | tee` would wait for the guardian. Kernels before
            // 5.11 do not know the flag; there, what the owner itself inherited stays open a little longer.
            libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            Ok(())
        });
    }
    let guardian = command.spawn().context("start the guardian (/bin/sh)")?;
    Ok((guardian, writer))
}

/// What `owner` holds for this process.
fn owner() -> Result<String> {
    let pid = std::process::id();
    identify(pid)?.with_context(|| format!("/proc/{pid} does not exist"))
}

/// Pid, start time, PID namespace and boot id; `None` if there is no such process.
fn identify(pid: u32) -> Result<Option<String>> {
    let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound) || error.raw_os_error() == Some(libc::ESRCH) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| format!("read /proc/{pid}/stat")),
    };
    // proc_pid_stat(5): the command, in parentheses, may hold anything; start time is the 20th field after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let mut fields = fields.split_whitespace();
    let state = fields.next().unwrap_or_default();
    if matches!(state, "Z" | "X") {
        return Ok(None);
    }
    let start = fields.nth(18).with_context(|| format!("/proc/{pid}/stat has no start time"))?;
    Ok(Some(format!("{pid} {start} {} {}", pid_namespace()?, boot_id()?)))
}

fn pid_namespace() -> Result<String> {
    Ok(fs::read_link("/proc/self/ns/pid").context("read /proc/self/ns/pid")?.display().to_string())
}

fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    Ok(fs::read_to_string(path).with_context(|| format!("read {path}"))?.trim().to_owned())
}

/// Whether an entry's owner is certainly gone. An owner in another PID namespace of this boot cannot be judged.
fn is_stale(directory: &Path) -> bool {
    let Ok(recorded) = fs::read_to_string(directory.join("owner")) else { return false };
    let fields: Vec<&str> = recorded.split_whitespace().collect();
    let &[pid, _, namespace, boot] = fields.as_slice() else { return false };
    let (Ok(pid), Ok(here), Ok(now)) = (pid.parse(), pid_namespace(), boot_id()) else { return false };
    if boot != now {
        return true;
    }
    namespace == here && matches!(identify(pid), Ok(current) if current.as_deref() != Some(recorded.trim()))
}

/// Destination and mask of each IPv4 route but the default one.
fn host_routes() -> Result<Vec<(u32, u32)>> {
    let table = fs::read_to_string("/proc/net/route").context("read /proc/net/route")?;
    Ok(parse_routes(&table))
}

/// proc_pid_net(5): addresses are the in-memory words of a network-order value, in hexadecimal.
fn parse_routes(table: &str) -> Vec<(u32, u32)> {
    let word = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::to_ne_bytes).map(u32::from_be_bytes);
    let parse = |line: &str| {
        let mut fields = line.split_whitespace();
        Some((word(fields.nth(1)?)?, word(fields.nth(5)?)?))
    };
    table.lines().skip(1).filter_map(parse).filter(|(_, mask)| *mask != 0).collect()
}

/// Whether a route shares an address with the /24 at `net`.
fn overlaps(routes: &[(u32, u32)], net: Ipv4Addr) -> bool {
    routes.iter().any(|(destination, mask)| {
        let common = mask & 0xffff_ff00;
        destination & common == net.to_bits() & common
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_that_the_host_routes_is_not_free() {
        // `ip route`: default via 192.0.2.1; 10.200.0.0/16; 192.0.2.0/24.
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                     eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                     wg0\t0000C80A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                     eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let routes = parse_routes(table);
        assert_eq!(routes.len(), 2);
        assert!(overlaps(&routes, Ipv4Addr::new(10, 200, 7, 0)));
        assert!(!overlaps(&routes, Ipv4Addr::new(10, 201, 7, 0)));
        assert!(overlaps(&routes, Ipv4Addr::new(192, 0, 2, 0)));
    }
}
