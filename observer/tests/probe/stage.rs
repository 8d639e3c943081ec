//! A private cgroup with the kernel programs attached to it, and Python as the foreign program that talks in it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use observer::decode::ClockOffset;
use observer::model::{Close, Cookie, Direction, Endpoint, Event, Open};
use observer::probe::{CgroupRoot, Options, Probe};
use observer_common::Settings;

const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// Every script starts with this. `enter()` enters the cgroup named by the first argument.
const PRELUDE: &str = r"
import ctypes, os, socket, struct, sys, threading, time
def enter(): open(sys.argv[1] + '/cgroup.procs', 'w').write('0')
def say(*words): print(*words, flush=True)
def hear(): return sys.stdin.readline()
def listen(host='127.0.0.1', family=socket.AF_INET):
    l = socket.socket(family); l.bind((host, 0)); l.listen(); return l
def connect(l, host=None):
    address = l.getsockname()
    c = socket.socket(l.family if host is None else socket.AF_INET)
    c.connect((host or address[0], address[1]))
    return c
def pair(host='127.0.0.1', family=socket.AF_INET):
    l = listen(host, family); c = connect(l); s, _ = l.accept(); l.close(); return c, s
def read(s, n):
    while n: n -= len(s.recv(min(n, 65536)))
def read_all(s):
    while s.recv(65536): pass
def port(s): return s.getsockname()[1]
def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()
";

/// A network namespace of the script's own, entered before the cgroup.
const OWN_NETWORK: &str = "ip link set lo up";

static NUMBER: AtomicU32 = AtomicU32::new(0);

pub struct Cgroup {
    pub path: PathBuf,
}

impl Cgroup {
    pub fn create() -> Self {
        let root = CgroupRoot::find().unwrap();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = root.path.join(format!("observer-probe-test-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}; run as root", path.display()));
        Self { path }
    }

    pub fn inode(&self) -> u64 {
        fs::metadata(&self.path).unwrap().ino()
    }

    /// Both ends of a connection ship.
    pub fn watch(&self) -> Watch {
        let settings = Settings { both_ends: 1, ..Settings::default() };
        self.watch_with(&Options { settings, ..Options::default() })
    }

    pub fn watch_with(&self, options: &Options) -> Watch {
        let root = CgroupRoot::at(&self.path).unwrap();
        let probe = Probe::load(&root, options).unwrap_or_else(|error| panic!("{error}"));
        Watch { probe, opens: Vec::new(), closes: Vec::new(), payloads: Vec::new() }
    }

    pub fn start(&self, script: &str) -> Script {
        self.spawn(Command::new("python3"), &format!("enter()\n{script}"))
    }

    /// Enters the cgroup when it says so.
    pub fn start_outside(&self, script: &str) -> Script {
        self.spawn(Command::new("python3"), script)
    }

    /// In a network namespace of its own, made ready by `setup` (shell).
    pub fn start_alone(&self, setup: &str, script: &str) -> Script {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-ec", &format!("{OWN_NETWORK}; {setup}\nexec python3 \"$@\""), "sh"]);
        self.spawn(command, &format!("enter()\n{script}"))
    }

    fn spawn(&self, mut command: Command, script: &str) -> Script {
        command.arg("-c").arg(format!("{PRELUDE}{script}")).arg(&self.path);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Script { child, stdin, stdout }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let started = Instant::now();
        // A killed script leaves its cgroup a moment later.
        while fs::remove_dir(&self.path).is_err() && started.elapsed() < PATIENCE {
            sleep(PAUSE);
        }
    }
}

/// A running Python program. Killed when dropped.
pub struct Script {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Script {
    /// The numbers of its next line.
    pub fn numbers<const N: usize>(&mut self) -> [u64; N] {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let numbers: Vec<u64> = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
        numbers.try_into().unwrap_or_else(|_| panic!("the script said {line:?}, not {N} numbers"))
    }

    pub fn ports<const N: usize>(&mut self) -> [u16; N] {
        self.numbers().map(|number| u16::try_from(number).unwrap())
    }

    /// What its `hear()` waits for.
    pub fn go(&mut self) {
        writeln!(self.stdin).unwrap();
    }

    pub fn end(mut self) {
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the script failed: {status}");
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone, Debug)]
pub struct Bytes {
    pub cookie: Cookie,
    pub direction: Direction,
    pub sequence: u32,
    pub bytes: Vec<u8>,
    pub left_out: u32,
    pub turn: bool,
    pub walked: bool,
    pub lossy: bool,
    pub loopback: bool,
    pub again: bool,
    pub counted: bool,
    pub at_listener: bool,
    pub ends: Option<(Endpoint, Endpoint)>,
}

/// The attached programs, and what they told so far.
pub struct Watch {
    pub probe: Probe,
    pub opens: Vec<Open>,
    pub closes: Vec<Close>,
    pub payloads: Vec<Bytes>,
}

impl Watch {
    pub fn drain(&mut self) {
        let (opens, closes, payloads) = (&mut self.opens, &mut self.closes, &mut self.payloads);
        self.probe.drain(usize::MAX, ClockOffset::default(), |event, _| match event.unwrap() {
            Event::Open(open) => opens.push(open),
            Event::Close(close) => closes.push(close),
            Event::Payload(payload) => payloads.push(Bytes {
                cookie: payload.cookie,
                direction: payload.direction,
                sequence: payload.sequence,
                bytes: payload.bytes.to_vec(),
                left_out: payload.left_out,
                turn: payload.turn,
                walked: payload.walked,
                lossy: payload.lossy,
                loopback: payload.loopback,
                again: payload.again,
                counted: payload.counted,
                at_listener: payload.at_listener,
                ends: payload.ends,
            }),
            Event::UdpClose(_) | Event::Repeats(_) => panic!("the ring carries none of these"),
        });
    }

    pub fn until(&mut self, what: &str, is_there: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        self.drain();
        while !is_there(self) {
            assert!(
                started.elapsed() < PATIENCE,
                "never saw {what}: {:#?}",
                (&self.opens, &self.closes, &self.payloads)
            );
            sleep(PAUSE);
            self.drain();
        }
    }

    /// The close of the socket that owns the local port.
    pub fn close_of(&self, local: u16, remote: u16) -> &Close {
        self.closes
            .iter()
            .find(|close| close.local.port == local && close.remote.port == remote)
            .unwrap_or_else(|| panic!("no close of {local} -> {remote} in {:#?}", self.closes))
    }

    pub fn open_of(&self, local: u16, remote: u16) -> &Open {
        self.opens
            .iter()
            .find(|open| open.local.port == local && open.remote.port == remote)
            .unwrap_or_else(|| panic!("no open of {local} -> {remote} in {:#?}", self.opens))
    }

    /// All bytes told of one direction of a socket, in order, with the sequence number of the first.
    pub fn bytes_of(&self, cookie: Cookie, direction: Direction) -> Vec<u8> {
        self.payloads
            .iter()
            .filter(|payload| payload.cookie == cookie && payload.direction == direction)
            .flat_map(|payload| payload.bytes.clone())
            .collect()
    }
}

pub fn end(ip: impl Into<IpAddr>, port: u16) -> Endpoint {
    Endpoint { ip: ip.into(), port }
}
