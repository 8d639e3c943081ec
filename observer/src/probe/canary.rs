//! The self-test: one loopback connection whose events must come out of the ring.
//!
//! Programs attached to the wrong place report nothing and no error, for instance in a private cgroup namespace. So a
//! silent node is believed only after a connection of our own was seen. A socket belongs to the cgroup of the process
//! that creates it: where this process stands outside the observed hierarchy, a short-lived copy of it goes inside.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::CgroupRoot;
use crate::model::{Cookie, Event};

/// The hidden subcommand that [`Canary::fly`] starts of this same program; `--cgroup DIR` follows it. Whoever
/// dispatches commands calls [`canary_main`] for it.
pub const CANARY_COMMAND: &str = "canary";

/// Loopback answers in microseconds, and a process starts in milliseconds; on a starved machine it may take seconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// An ended process leaves its cgroup a moment after it was waited for.
const CGROUP_BUSY: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(2);

/// Why there was no self-test. It says nothing about the programs.
#[derive(Debug, Error)]
pub enum CanaryError {
    #[error(
        "self-test skipped: no connection on 127.0.0.1 ({0}); bring loopback up in this network namespace: `ip link set lo up`"
    )]
    Loopback(io::Error),
    #[error(
        "self-test skipped: cannot create {path} ({source}); this process is outside of --cgroup-root, so it needs write access there: mount the hierarchy read-write"
    )]
    Cgroup { path: PathBuf, source: io::Error },
    #[error("self-test skipped: the process that was to connect inside of {path} failed ({cause})")]
    Child { path: PathBuf, cause: String },
}

/// One loopback connection of our own, known by the cookies of its two sockets: unique on the host, so that nobody
/// else's connection is ever taken for it.
#[derive(Debug)]
pub struct Canary {
    cookies: [Cookie; 2],
    seen: bool,
}

impl Canary {
    /// Opens and closes one loopback connection from inside `root`; sends no data. Takes at most some 3 s. Its events
    /// wait in the ring.
    ///
    /// # Errors
    /// The connection could not be made: the self-test is skipped.
    pub fn fly(root: &CgroupRoot) -> Result<Self, CanaryError> {
        let cookies =
            if root.contains_us() { connect().map_err(CanaryError::Loopback)? } else { send(root)? };
        Ok(Self { cookies, seen: false })
    }

    /// Whether this event is the canary's own; remembers that it was seen.
    pub fn claims(&mut self, event: &Event<'_>) -> bool {
        let cookie = match event {
            Event::Open(open) => open.cookie,
            Event::Close(close) => close.cookie,
            Event::Payload(payload) => payload.cookie,
            Event::UdpClose(close) => close.cookie,
            Event::Repeats(repeats) => repeats.cookie,
        };
        let own = self.cookies.contains(&cookie);
        self.seen |= own;
        own
    }

    #[must_use]
    pub fn seen(&self) -> bool {
        self.seen
    }
}

/// What the copy of this program does: enters the cgroup `dir`, makes the connection, prints the cookies.
#[must_use]
pub fn canary_main(dir: &Path) -> ExitCode {
    // 0 is the writer itself, whatever its pid namespace calls it (Documentation/admin-guide/cgroup-v2.rst).
    let entered = fs::write(dir.join("cgroup.procs"), "0");
    match entered.and_then(|()| connect()) {
        Ok([client, server]) if writeln!(io::stdout(), "{} {}", client.0, server.0).is_ok() => {
            ExitCode::SUCCESS
        }
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn connect() -> io::Result<[Cookie; 2]> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let client = TcpStream::connect_timeout(&listener.local_addr()?, PATIENCE)?;
    let client_address = client.local_addr()?;
    let server = accept(&listener, client_address)?;
    Ok([cookie(&client)?, cookie(&server)?])
}

/// Anybody may connect to a listening port: only our own peer counts.
fn accept(listener: &TcpListener, peer: SocketAddr) -> io::Result<TcpStream> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        match listener.accept() {
            Ok((stream, address)) if address == peer => return Ok(stream),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// SO_COOKIE (Linux 4.12): the number under which the kernel programs report the socket.
#[expect(unsafe_code, reason = "getsockopt(2)")]
fn cookie(socket: &impl AsFd) -> io::Result<Cookie> {
    let mut cookie = 0u64;
    let mut len = size_of::<u64>() as libc::socklen_t;
    // SAFETY: `cookie` has room for the `len` bytes that the kernel may write, and both outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut len,
        )
    };
    if result == 0 { Ok(Cookie(cookie)) } else { Err(io::Error::last_os_error()) }
}

/// Sends a copy of this program into a cgroup below `root`, which exists as long as the copy runs.
fn send(root: &CgroupRoot) -> Result<[Cookie; 2], CanaryError> {
    let cgroup = ShortLivedCgroup::create(root)?;
    let failed = |cause: String| CanaryError::Child { path: cgroup.0.clone(), cause };
    let mut child = Command::new("/proc/self/exe")
        .arg(CANARY_COMMAND)
        .arg("--cgroup")
        .arg(&cgroup.0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let outcome = wait(&mut child);
    // A no-op on one that has ended; otherwise nothing may be left behind.
    let _ = child.kill();
    let _ = child.wait();
    if !outcome.map_err(|error| failed(error.to_string()))? {
        return Err(failed(text(child.stderr.take())));
    }
    let answer = text(child.stdout.take());
    let cookies: Option<Vec<u64>> = answer.split_whitespace().map(|word| word.parse().ok()).collect();
    match cookies.as_deref() {
        Some(&[client, server]) => Ok([Cookie(client), Cookie(server)]),
        _ => Err(failed(format!("it did not answer with two numbers but: {answer}"))),
    }
}

/// Whether it ended well.
fn wait(child: &mut Child) -> io::Result<bool> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        sleep(PAUSE);
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// The first line, which is short: the child has ended, and a pipe holds 64 KiB.
fn text(pipe: Option<impl io::Read>) -> String {
    let mut text = String::new();
    if let Some(pipe) = pipe {
        let _ = pipe.take(1024).read_to_string(&mut text);
    }
    text.lines().next().unwrap_or("no answer").to_owned()
}

struct ShortLivedCgroup(PathBuf);

impl ShortLivedCgroup {
    fn create(root: &CgroupRoot) -> Result<Self, CanaryError> {
        let path = root.path.join(format!("observer-canary-{}", std::process::id()));
        match fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            // Of an earlier process with our number that was killed here; it is ours to use and to remove.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Self(path)),
            Err(source) => Err(CanaryError::Cgroup { path, source }),
        }
    }
}

impl Drop for ShortLivedCgroup {
    fn drop(&mut self) {
        let started = Instant::now();
        while let Err(error) = fs::remove_dir(&self.0) {
            if error.kind() != io::ErrorKind::ResourceBusy || started.elapsed() > CGROUP_BUSY {
                tracing::warn!(path = %self.0.display(), %error, "cannot remove the self-test's cgroup");
                return;
            }
            sleep(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Endpoint, Open, Timestamp, Transport};

    fn open(cookie: Cookie) -> Event<'static> {
        let end = |port| Endpoint { ip: Ipv4Addr::LOCALHOST.into(), port };
        Event::Open(Open {
            cookie,
            time: Timestamp(0),
            transport: Transport::Tcp,
            local: end(1),
            remote: end(2),
            cgroup: None,
            client: Some(true),
            midstream: false,
            start: None,
        })
    }

    #[test]
    fn only_events_of_its_own_two_sockets_are_the_canarys() {
        let mut canary = Canary { cookies: connect().unwrap(), seen: false };
        let [client, server] = canary.cookies;
        assert_ne!(client, server);
        let stranger = Cookie(client.0.max(server.0) + 1);
        assert!(!canary.claims(&open(stranger)) && !canary.seen());
        assert!(canary.claims(&open(server)) && canary.seen());
        assert!(canary.claims(&open(client)));
        assert!(!canary.claims(&open(stranger)) && canary.seen());
    }

    #[test]
    fn a_cgroup_that_cannot_be_made_skips_the_self_test_and_says_why() {
        let root = CgroupRoot { path: PathBuf::from("/proc/self"), whole: false };
        let error = send(&root).unwrap_err().to_string();
        assert!(error.starts_with("self-test skipped: cannot create /proc/self/observer-canary-"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}
