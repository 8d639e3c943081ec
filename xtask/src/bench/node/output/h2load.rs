//! h2load, timed (`-D`); what it logs of each request has the latencies.

use anyhow::{Context, Result};

use super::{Latency, Work};

/// Of its report and of its log.
///
/// # Errors
/// If it is not what h2load 1.52 prints.
pub fn read(text: &str, log: &str, seconds: f64) -> Result<Work> {
    let line = text.lines().find(|line| line.starts_with("requests: "));
    let line = line.with_context(|| format!("h2load counts no requests: {text}"))?;
    let number = |label: &str| -> Result<u64> {
        let part = line["requests: ".len()..].split(", ").find_map(|part| part.strip_suffix(label));
        part.and_then(|number| number.trim().parse().ok()).with_context(|| format!("no{label} in: {line}"))
    };
    let failed = number(" failed")? + number(" errored")? + number(" timeout")?;
    Ok(Work { units: number(" succeeded")? as f64, seconds, latency: latency(log), failed })
}

/// A line is the start in microseconds, the status and the duration in microseconds, tabs between them.
fn latency(log: &str) -> Option<Latency> {
    let mut took: Vec<u32> =
        log.lines().filter_map(|line| line.rsplit_once('\t')?.1.trim().parse().ok()).collect();
    let last = took.len().checked_sub(1)?;
    let mut at = |part: f64| f64::from(*took.select_nth_unstable((part * last as f64).round() as usize).1);
    Some(Latency { p50: at(0.5), p99: at(0.99) })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Of h2load nghttp2/1.52.0.
    const REPORT: &str = "\
finished in 3.09s, 44017.33 req/s, 3.36MB/s
requests: 132052 total, 132212 started, 132052 done, 132040 succeeded, 2 failed, 7 errored, 3 timeout
status codes: 132052 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 10.08MB (10564944) total, 6.30MB (6602600) headers (space savings 49.49%), 1.51MB (1584624) data
";
    const LOG: &str = "1795667856880136\t200\t3261\n1795667856880137\t200\t3289\n1795667856880138\t200\t9\n";

    #[test]
    fn requests_and_failures_come_from_the_report_and_latencies_from_the_log() {
        let work = read(REPORT, LOG, 3.0).unwrap();
        let latency = Some(Latency { p50: 3261.0, p99: 3289.0 });
        assert_eq!(work, Work { units: 132_040.0, seconds: 3.0, latency, failed: 12 });
    }

    #[test]
    fn without_a_log_there_are_no_latencies() {
        assert_eq!(read(REPORT, "", 3.0).unwrap().latency, None);
        assert!(read("", LOG, 3.0).is_err());
    }
}
