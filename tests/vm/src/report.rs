//! What the machine outside reads: a line for each scenario, in the manner of the Test Anything Protocol.

use std::time::Instant;

use anyhow::Result;

pub struct Report {
    scenarios: usize,
    failures: usize,
}

impl Report {
    /// The first line says that the machine is up.
    pub fn begin() -> Self {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        println!("# kernel {}", release.trim());
        Self { scenarios: 0, failures: 0 }
    }

    /// Something to be read beside the results.
    pub fn note(&self, text: &str) {
        text.lines().for_each(|line| println!("# {line}"));
    }

    /// Runs a scenario and tells how it ended.
    pub fn scenario<T>(&mut self, name: &str, scenario: impl FnOnce() -> Result<T>) -> Option<T> {
        let start = Instant::now();
        let result = scenario();
        let took = start.elapsed().as_secs_f64();
        self.scenarios += 1;
        match result {
            Ok(value) => {
                println!("ok {} - {name} # {took:.1} s", self.scenarios);
                Some(value)
            }
            Err(error) => {
                self.failures += 1;
                println!("not ok {} - {name} # {took:.1} s", self.scenarios);
                self.note(&format!("{error:#}"));
                None
            }
        }
    }

    /// The last line says how many there were. Whether all went well.
    pub fn end(self) -> bool {
        println!("1..{}", self.scenarios);
        self.failures == 0
    }
}
