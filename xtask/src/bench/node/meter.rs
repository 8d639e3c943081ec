//! What a process and its children use, as /proc tells.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Sub;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

/// How often memory is looked at.
const PERIOD: Duration = Duration::from_millis(100);
/// `BPF_PROG_TYPE_SOCK_OPS`: these run for callbacks, all others for packets or calls.
const SOCK_OPS: &str = "13";

/// A process with its children.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    pub pid: u32,
    /// In hertz: what /proc counts processor time in.
    ticks: f64,
}

/// How often kernel programs ran, and how long; counted only while `kernel.bpf_stats_enabled` is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Programs {
    pub packets: Ran,
    pub callbacks: Ran,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Ran {
    pub times: u64,
    pub nanoseconds: u64,
}

impl Sub for Programs {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        let ran = |after: Ran, before: Ran| Ran {
            times: after.times - before.times,
            nanoseconds: after.nanoseconds - before.nanoseconds,
        };
        Self { packets: ran(self.packets, before.packets), callbacks: ran(self.callbacks, before.callbacks) }
    }
}

impl Meter {
    pub fn of(pid: u32) -> Self {
        Self { pid, ticks: rustix::param::clock_ticks_per_second() as f64 }
    }

    /// Processor seconds so far, in user and kernel mode, of all threads.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn cpu(&self) -> Result<f64> {
        let own = fs::read_to_string(format!("/proc/{}/stat", self.pid));
        let own = own.with_context(|| format!("process {} has ended", self.pid))?;
        let children = self.children().into_iter();
        let stats = children.filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok());
        let ticks: u64 = stats.chain([own]).filter_map(|stat| used_ticks(&stat)).sum();
        Ok(ticks as f64 / self.ticks)
    }

    /// Processor seconds of the threads that live now, finer than [`Self::cpu`]: to be compared while none ends.
    pub fn fine_cpu(&self) -> f64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        let ran = tasks.filter_map(|task| ran(&fs::read_to_string(task.path().join("schedstat")).ok()?));
        ran.sum::<u64>() as f64 / 1e9
    }

    /// Bytes of anonymous memory now.
    pub fn rss_anon(&self) -> u64 {
        let all = self.children().into_iter().chain([self.pid]);
        all.filter_map(|pid| rss_anon(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)).sum()
    }

    /// Bytes of the kernel maps that it holds, and what its kernel programs did. Storage that hangs on sockets is not
    /// in the bytes: it is the sockets' memory.
    pub fn kernel(&self) -> (u64, Programs) {
        let infos = fs::read_dir(Path::new("/proc").join(self.pid.to_string()).join("fdinfo"));
        let texts =
            infos.into_iter().flatten().flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
        kernel(texts)
    }

    /// Runs `work` and tells the most anonymous memory that was there meanwhile.
    pub fn peak_while<T>(&self, work: impl FnOnce() -> T) -> (T, u64) {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut peak = 0;
                loop {
                    peak = peak.max(self.rss_anon());
                    if done.load(Ordering::Relaxed) {
                        return peak;
                    }
                    thread::sleep(PERIOD);
                }
            });
            let result = work();
            done.store(true, Ordering::Relaxed);
            (result, watch.join().unwrap_or_default())
        })
    }

    /// Of any depth.
    fn children(&self) -> Vec<u32> {
        let mut found = Vec::new();
        let mut next = vec![self.pid];
        while let Some(pid) = next.pop() {
            let path = format!("/proc/{pid}/task/{pid}/children");
            let children = fs::read_to_string(path).unwrap_or_default();
            let children: Vec<u32> = children.split(' ').filter_map(|pid| pid.parse().ok()).collect();
            found.extend(&children);
            next.extend(children);
        }
        found
    }
}

/// proc_pid_stat(5): utime, stime and what children that were waited for used are the fields 14 to 17; the name in
/// parentheses may hold anything.
fn used_ticks(stat: &str) -> Option<u64> {
    let (_, after) = stat.rsplit_once(") ")?;
    after.split(' ').skip(11).take(4).map(|field| field.parse::<u64>().ok()).sum()
}

/// Documentation/scheduler/sched-stats.rst: the first field of /proc/<pid>/schedstat is the time spent on the processor, in
/// nanoseconds.
fn ran(schedstat: &str) -> Option<u64> {
    schedstat.split(' ').next()?.parse().ok()
}

/// proc_pid_status(5), in kibibytes there.
fn rss_anon(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// Of the fdinfo files of a process. Two descriptors may be of one map or program: its number tells.
fn kernel(infos: impl Iterator<Item = String>) -> (u64, Programs) {
    let (mut maps, mut programs) = (BTreeMap::new(), BTreeMap::new());
    for info in infos {
        let field = |name: &str| {
            info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        let number = |name| field(name).and_then(|value| value.parse::<u64>().ok());
        if let (Some(id), Some(bytes)) = (number("map_id"), number("memlock")) {
            maps.insert(id, bytes);
        }
        // A link names its program, too, but not what that did.
        if let (Some(id), Some(nanoseconds), Some(times)) =
            (number("prog_id"), number("run_time_ns"), number("run_cnt"))
        {
            programs.insert(id, (field("prog_type") == Some(SOCK_OPS), Ran { times, nanoseconds }));
        }
    }
    let sum = |callbacks: bool| {
        let of_kind = programs.values().filter(|(kind, _)| *kind == callbacks).map(|(_, ran)| ran);
        of_kind.fold(Ran::default(), |sum, ran| Ran {
            times: sum.times + ran.times,
            nanoseconds: sum.nanoseconds + ran.nanoseconds,
        })
    };
    (maps.values().sum(), Programs { packets: sum(false), callbacks: sum(true) })
}

/// While it lives, the kernel takes the time of its programs, which costs each of them some.
pub struct ProgramTimes {
    before: String,
}

const PROGRAM_TIMES: &str = "/proc/sys/kernel/bpf_stats_enabled";

impl ProgramTimes {
    /// # Errors
    /// If the kernel refuses.
    pub fn take() -> Result<Self> {
        let before = fs::read_to_string(PROGRAM_TIMES).with_context(|| format!("read {PROGRAM_TIMES}"))?;
        fs::write(PROGRAM_TIMES, "1").with_context(|| format!("write {PROGRAM_TIMES}"))?;
        Ok(Self { before })
    }
}

impl Drop for ProgramTimes {
    fn drop(&mut self) {
        let _ = fs::write(PROGRAM_TIMES, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_after_a_name_with_anything_in_it() {
        // proc_pid_stat(5): pid, comm, state, ppid ... cmajflt (13), utime 100, stime 20, cutime 3, cstime 4, priority.
        let stat = "7 (a) b ( c) S 1 7 7 0 -1 4194560 11 12 13 14 100 20 3 4 20 0 5 0 99 1 2\n";
        assert_eq!(used_ticks(stat), Some(127));
        assert_eq!(used_ticks("7 (x"), None);
    }

    #[test]
    fn finer_processor_time_is_the_first_field() {
        assert_eq!(ran("821704 42290099 2\n"), Some(821_704));
    }

    #[test]
    fn anonymous_memory_is_told_in_bytes() {
        assert_eq!(rss_anon("VmRSS:\t  900 kB\nRssAnon:\t     128 kB\nRssFile:\t 1 kB\n"), Some(131_072));
        assert_eq!(rss_anon("Name:\tkthreadd\n"), None);
    }

    // As Linux 6.18 shows descriptors of a map, two programs and a link to the first.
    const MAP: &str = "pos:\t0\nflags:\t02000002\nmap_type:\t27\nkey_size:\t0\nmax_entries:\t8388608\nmemlock:\t8434072\nmap_id:\t92\nfrozen:\t0\n";
    const SKB: &str = "pos:\t0\nprog_type:\t8\nprog_jited:\t1\nprog_tag:\t03b9\nmemlock:\t4096\nprog_id:\t60\nrun_time_ns:\t5000\nrun_cnt:\t50\nrecursion_misses:\t0\n";
    const OPS: &str = "pos:\t0\nprog_type:\t13\nprog_jited:\t1\nprog_tag:\t03ba\nmemlock:\t4096\nprog_id:\t61\nrun_time_ns:\t700\nrun_cnt:\t7\n";
    const LINK: &str = "pos:\t0\nlink_type:\tcgroup\nlink_id:\t9\nprog_tag:\t03b9\nprog_id:\t60\ncgroup_id:\t1\nattach_type:\t0\n";

    #[test]
    fn maps_are_added_up_and_programs_by_what_they_run_for() {
        let infos = [MAP, SKB, OPS, LINK, "pos:\t0\nflags:\t02\n"].map(str::to_owned);
        let packets = Ran { times: 50, nanoseconds: 5000 };
        let callbacks = Ran { times: 7, nanoseconds: 700 };
        assert_eq!(kernel(infos.into_iter()), (8_434_072, Programs { packets, callbacks }));
    }

    #[test]
    fn a_map_with_two_descriptors_counts_once() {
        assert_eq!(kernel([MAP, MAP].map(str::to_owned).into_iter()).0, 8_434_072);
    }
}
