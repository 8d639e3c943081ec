//! Debian packages. Commands that are there already, from wherever, count: only the missing ones are installed.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::ebpf::Toolchain;
use super::{Purpose, Step};
use crate::{process, root};

/// Where Debian puts the LLVM that bpf-linker is built on: the one that its rustc uses.
pub const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

/// rustc 1.96 with a compiled `core` for eBPF, and its LLVM with the C++ compiler to link against it.
const TOOLCHAIN: [&str; 5] = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf", "llvm-22-dev", "g++"];

/// What `cargo xtask bench node` starts.
const BENCH: [(&str, &str); 11] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("nginx", "nginx-light"),
    ("openssl", "openssl"),
    ("python3", "python3"),
    ("wrk", "wrk"),
    ("h2load", "nghttp2-client"),
    ("iperf3", "iperf3"),
    ("sockperf", "sockperf"),
    ("tcpdump", "tcpdump"),
    ("tshark", "tshark"),
];

/// What `cargo xtask bench instructions` runs under.
const INSTRUCTIONS: [(&str, &str); 1] = [("valgrind", "valgrind")];

/// A program that tests or demo run, the package that brings it, and whether the demo needs it too.
struct Tool {
    command: &'static str,
    package: &'static str,
    demo: bool,
}

const fn tool(command: &'static str, package: &'static str, demo: bool) -> Tool {
    Tool { command, package, demo }
}

const TOOLS: [Tool; 38] = [
    tool("ip", "iproute2", true),
    tool("nft", "nftables", true),
    tool("nginx", "nginx-light", true),
    tool("curl", "curl", true),
    tool("openssl", "openssl", true),
    tool("python3", "python3", true),
    tool("sysctl", "procps", true),
    tool("wrk", "wrk", false),
    tool("ab", "apache2-utils", false),
    tool("tshark", "tshark", false),
    tool("haproxy", "haproxy", false),
    tool("gnutls-cli", "gnutls-bin", false),
    tool("nghttpd", "nghttp2-server", false),
    tool("h2load", "nghttp2-client", false),
    tool("go", "golang-go", false),
    tool("bpftool", "bpftool", false),
    tool("setcap", "libcap2-bin", false),
    tool("stunnel", "stunnel4", false),
    tool("psql", "postgresql-client", false),
    tool("mariadb", "mariadb-client", false),
    tool("redis-server", "redis-server", false),
    tool("memcached", "memcached", false),
    tool("nats-server", "nats-server", false),
    tool("tinyproxy", "tinyproxy-bin", false),
    tool("readelf", "binutils", false),
    tool("runc", "runc", false),
    tool("skopeo", "skopeo", false),
    tool("promtool", "prometheus", false),
    tool("zsh", "zsh", false),
    tool("fish", "fish", false),
    tool("script", "bsdutils", false),
    tool("node", "nodejs", false),
    tool("npm", "npm", false),
    tool("chromium", "chromium", false),
    tool("faketime", "faketime", false),
    tool("qemu-system-x86_64", "qemu-system-x86", false),
    tool("busybox", "busybox-static", false),
    tool("xz", "xz-utils", false),
];

/// What virtual machines are made of, and the programs that run in them.
const OF_MACHINES: [&str; 10] = [
    "iproute2",
    "nftables",
    "curl",
    "openssl",
    "nghttp2-client",
    "nghttp2-server",
    "binutils",
    "qemu-system-x86",
    "busybox-static",
    "xz-utils",
];

/// Python modules that tests import: Debian's own Python has to find them, whatever other there is.
const MODULES: [(&str, &str); 3] = [
    ("grpc", "python3-grpcio"),
    ("prometheus_client", "python3-prometheus-client"),
    ("websockets", "python3-websockets"),
];
const PYTHON_MODULES: &str = "/usr/lib/python3/dist-packages";

/// The script that runs as root: one call, one password.
const INSTALL: &str = include_str!("install.sh");
const POLICY: &str = "/usr/sbin/policy-rc.d";

pub struct Packages {
    toolchain: Vec<&'static str>,
    /// The command and its package.
    tools: Vec<(&'static str, &'static str)>,
    modules: &'static [(&'static str, &'static str)],
}

impl Packages {
    pub fn of(toolchain: &Toolchain, purpose: Purpose) -> Self {
        let toolchain = match toolchain {
            Toolchain::Debian { .. } => TOOLCHAIN.to_vec(),
            Toolchain::Own(_) | Toolchain::Nightly(_) => Vec::new(),
        };
        let wanted = |tool: &&Tool| match purpose {
            Purpose::Build
            | Purpose::Chart
            | Purpose::Page
            | Purpose::Fuzz
            | Purpose::Bench
            | Purpose::Instructions => false,
            Purpose::Demo => tool.demo,
            Purpose::Alerts => tool.demo || tool.package == "prometheus",
            Purpose::Vm => OF_MACHINES.contains(&tool.package),
            Purpose::Test | Purpose::All => true,
        };
        let modules: &[_] = match purpose {
            Purpose::Test | Purpose::All => &MODULES,
            _ => &[],
        };
        let tools = TOOLS.iter().filter(wanted).map(|tool| (tool.command, tool.package));
        let bench = match purpose {
            Purpose::Bench => &BENCH[..],
            Purpose::Instructions => &INSTRUCTIONS[..],
            _ => &[],
        };
        Self { toolchain, tools: tools.chain(bench.iter().copied()).collect(), modules }
    }

    /// What bundles the page of `observer ui`.
    pub fn of_page() -> Self {
        let tools = TOOLS.iter().map(|tool| (tool.command, tool.package));
        let tools = tools.filter(|(command, _)| ["node", "npm"].contains(command)).collect();
        Self { toolchain: Vec::new(), tools, modules: &[] }
    }

    fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        if !self.toolchain.is_empty() {
            // dpkg-query fails if it knows nothing of one of them, and yet answers for the others.
            let answer = process::command("dpkg-query")
                .args(["-W", "-f", "${Package} ${db:Status-Status}\n"])
                .args(&self.toolchain)
                .output()
                .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
                .unwrap_or_default();
            missing.extend(self.toolchain.iter().filter(|package| !is_installed(&answer, package)));
        }
        missing.extend(
            self.tools
                .iter()
                .filter(|(command, _)| process::find(command).is_none())
                .map(|(_, package)| *package),
        );
        let modules = self.modules.iter().filter(|(name, _)| !Path::new(PYTHON_MODULES).join(name).is_dir());
        missing.extend(modules.map(|(_, package)| package));
        missing
    }
}

impl Step for Packages {
    fn name(&self) -> String {
        "packages".to_owned()
    }

    fn present(&self) -> Result<Option<String>> {
        let all = || format!("{} checked", self.toolchain.len() + self.tools.len() + self.modules.len());
        Ok(self.missing().is_empty().then(all))
    }

    fn install(&self) -> Result<()> {
        let missing = self.missing();
        let names = missing.join(" ");
        if process::find("apt-get").is_none() {
            bail!(
                "there is no apt-get here; install these Debian packages' programs your system's way: {names}"
            );
        }
        eprintln!("apt-get install {names}");
        let by_hand = format!("apt-get update && apt-get install --no-install-recommends {names}");
        let policy = process::command("apt-cache").arg("policy").args(&missing).output();
        let policy =
            policy.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let lists = if candidates(&policy) < missing.len() { "update" } else { "keep" };
        let mut command = root::command("sh", "apt-get", &by_hand)?;
        command.args(["-c", INSTALL, "install.sh", lists, POLICY]).args(&missing);
        let status = command.status().context("sh does not start")?;
        if !status.success() {
            bail!("apt-get failed; once its cause is mended, run as root: {by_hand}");
        }
        Ok(())
    }
}

fn is_installed(answer: &str, package: &str) -> bool {
    answer.lines().any(|line| line.split_once(' ') == Some((package, "installed")))
}

/// How many packages of `apt-cache policy`'s answer can be installed with the lists that apt has.
fn candidates(policy: &str) -> usize {
    policy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Candidate: "))
        .filter(|found| *found != "(none)")
        .count()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, ExitStatus};

    use super::*;
    use crate::tempdir;

    #[test]
    fn a_package_that_was_removed_but_not_purged_is_missing() {
        let answer = "llvm-22-dev installed\nrustc-web config-files\n";
        assert!(is_installed(answer, "llvm-22-dev"));
        assert!(!is_installed(answer, "rustc-web"));
        assert!(!is_installed(answer, "llvm-22"));
    }

    #[test]
    fn apt_lists_without_a_candidate_are_updated_first() {
        let known = "wrk:\n  Installed: (none)\n  Candidate: 4.1.0-3+b2\n  Version table:\n";
        let virtual_only = "nginx-light:\n  Installed: (none)\n  Candidate: (none)\n";
        assert_eq!(candidates(known), 1);
        assert_eq!(candidates(virtual_only), 0);
        assert_eq!(candidates(""), 0);
    }

    #[test]
    fn the_demo_needs_no_test_tools_and_a_build_needs_no_programs_to_observe() {
        let names = |purpose| -> Vec<_> {
            let packages = Packages::of(&Toolchain::Nightly("/n".into()), purpose);
            let tools = packages.tools.iter().map(|(_, package)| *package);
            tools.chain(packages.modules.iter().map(|(_, package)| *package)).collect()
        };
        assert!(names(Purpose::Build).is_empty());
        assert!(names(Purpose::Demo).contains(&"nginx-light") && !names(Purpose::Demo).contains(&"tshark"));
        assert!(!names(Purpose::Demo).contains(&"python3-grpcio"));
        assert!(names(Purpose::Test).contains(&"tshark") && names(Purpose::Test).contains(&"python3-grpcio"));
    }

    /// Runs the script with an apt-get of our own, which notes its arguments and what the policy file says.
    fn install(directory: &Path, apt_get: &str, lists: &str) -> (ExitStatus, String) {
        let fake = directory.join("apt-get");
        let log = directory.join("log");
        let policy = directory.join("policy-rc.d");
        let text = format!(
            "#!/bin/sh\necho \"$1 $DEBIAN_FRONTEND $(tail -n 1 {})\" >>{}\n{apt_get}\n",
            policy.display(),
            log.display()
        );
        // Written by another process: a file that this one, with its many threads, holds open cannot be executed.
        let write = Command::new("sh")
            .args(["-c", "printf %s \"$1\" >\"$0\"; chmod 755 \"$0\""])
            .arg(&fake)
            .arg(text)
            .status();
        assert!(write.unwrap().success());
        let status = Command::new("sh")
            .args(["-c", INSTALL, "install.sh", lists])
            .arg(&policy)
            .arg("wrk")
            .env("PATH", format!("{}:/usr/bin:/bin", directory.display()))
            .status()
            .unwrap();
        (status, std::fs::read_to_string(log).unwrap())
    }

    #[test]
    fn services_may_not_start_while_packages_are_installed_and_may_again_afterwards() {
        let directory = tempdir::Dir::new();
        let (status, log) = install(directory.path(), "", "keep");
        assert!(status.success());
        assert_eq!(log, "install noninteractive exit 101\n");
        assert!(!directory.path().join("policy-rc.d").exists());
    }

    #[test]
    fn the_policy_goes_away_even_where_apt_get_fails() {
        let directory = tempdir::Dir::new();
        let (status, log) = install(directory.path(), "exit 100", "update");
        assert!(!status.success());
        assert_eq!(log, "update noninteractive exit 101\n");
        assert!(!directory.path().join("policy-rc.d").exists());
    }

    #[test]
    fn a_policy_of_somebody_elses_stays() {
        let directory = tempdir::Dir::new();
        let policy = directory.path().join("policy-rc.d");
        std::fs::write(&policy, "#!/bin/sh\nexit 0\n").unwrap();
        let (status, log) = install(directory.path(), "", "keep");
        assert!(status.success());
        assert_eq!(log, "install noninteractive exit 0\n");
        assert_eq!(std::fs::read_to_string(policy).unwrap(), "#!/bin/sh\nexit 0\n");
    }

    #[test]
    fn lists_older_than_the_archive_are_updated_and_the_install_tried_again() {
        let directory = tempdir::Dir::new();
        let once = directory.path().join("once");
        let fails_once =
            format!("[ $1 = update ] || [ -e {0} ] || {{ touch {0}; exit 100; }}", once.display());
        let (status, log) = install(directory.path(), &fails_once, "keep");
        assert!(status.success());
        let calls: Vec<_> = log.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(calls, ["install", "update", "install"]);
    }
}
