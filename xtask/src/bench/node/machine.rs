//! Where and when it was measured, and what else went on.

use std::fs;

use serde::Serialize;

use crate::process;

#[derive(Debug, Serialize)]
pub struct Machine {
    pub date: String,
    pub processor: String,
    pub processors: usize,
    pub kernel: String,
    /// Of the last minute, before the first run.
    pub load_before: f64,
    pub load_after: f64,
}

impl Machine {
    pub fn look() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let date = process::output(process::command("date").args(["-u", "+%F %H:%M UTC"]));
        Self {
            date: date.unwrap_or_default().trim().to_owned(),
            processor: processor(&cpuinfo).unwrap_or("unknown processor").to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.trim().to_owned(),
            load_before: load(),
            load_after: 0.0,
        }
    }

    pub fn look_again(&mut self) {
        self.load_after = load();
    }

    pub fn sentence(&self) -> String {
        format!(
            "{}, {} processors ({}), Linux {}; load average {:.1} before the first run, {:.1} after the last.",
            self.date, self.processors, self.processor, self.kernel, self.load_before, self.load_after
        )
    }
}

/// Seconds that all processors together were not idle, since the machine started; with what its host took away.
pub fn busy() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    busy_ticks(&text).unwrap_or_default() as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal; the first two hold guests' time.
fn busy_ticks(stat: &str) -> Option<u64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let ticks: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some(ticks.iter().take(8).sum::<u64>() - idle)
}

fn processor(cpuinfo: &str) -> Option<&str> {
    cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.trim_start().strip_prefix(':'))
        .map(str::trim)
}

fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_idling_nor_waiting_is_being_busy() {
        let stat = "cpu  1000 200 30 99999 88888 4 5 6 777 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(busy_ticks(stat), Some(1245));
    }

    #[test]
    fn the_processors_name_is_read() {
        let text = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Processor @ 2.60GHz\n";
        assert_eq!(processor(text), Some("Intel(R) Xeon(R) Processor @ 2.60GHz"));
    }
}
