//! wrk, with `--latency`.

use anyhow::{Context, Result};

use super::{Latency, Work, microseconds};

/// # Errors
/// If it is not what wrk 4 prints.
pub fn read(text: &str) -> Result<Work> {
    let lines = || text.lines().map(str::trim);
    let total = lines().find_map(|line| {
        let (requests, rest) = line.split_once(" requests in ")?;
        let took = rest.split(',').next()?;
        Some((requests.parse().ok()?, microseconds(took)? / 1e6))
    });
    let (units, seconds) = total.with_context(|| format!("wrk counts no requests: {text}"))?;
    let percentile = |name| lines().find_map(|line| microseconds(line.strip_prefix(name)?.trim()));
    let latency = percentile("50%").zip(percentile("99%")).map(|(p50, p99)| Latency { p50, p99 });
    Ok(Work { units, seconds, latency, failed: failed(text) })
}

/// `Socket errors: connect 0, read 3, write 0, timeout 1` and `Non-2xx or 3xx responses: 7`. Errors of `read` count
/// only on kept connections, where nobody but the server can end them.
fn failed(text: &str) -> u64 {
    let number = |label: &str| -> u64 {
        let after = text.find(label).map_or("", |at| &text[at + label.len()..]);
        let digits = after.trim_start().split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    };
    ["errors: connect", ", read", ", write", ", timeout", "responses:"].into_iter().map(number).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Of wrk 4.1.0.
    const GOOD: &str = "\
Running 3s test @ http://127.0.0.1:18080/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    12.59ms   29.04ms 180.40ms   89.77%
    Req/Sec    33.51k    24.87k   75.94k    62.96%
  Latency Distribution
     50%  145.00us
     75%    7.65ms
     90%   42.79ms
     99%  139.55ms
  96508 requests in 3.33s, 14.73MB read
Requests/sec:  28938.85
Transfer/sec:      4.42MB
";

    #[test]
    fn requests_their_time_and_percentiles_are_read() {
        let work = read(GOOD).unwrap();
        let latency = Some(Latency { p50: 145.0, p99: 139_550.0 });
        assert_eq!(work, Work { units: 96508.0, seconds: 3.33, latency, failed: 0 });
    }

    #[test]
    fn every_kind_of_failure_is_counted() {
        let bad = GOOD.replace(
            "Requests/sec",
            "  Socket errors: connect 1, read 20, write 300, timeout 4000\n  Non-2xx or 3xx responses: 50000\nRequests/sec",
        );
        assert_eq!(read(&bad).unwrap().failed, 54321);
    }

    #[test]
    fn what_is_no_report_is_an_error() {
        assert!(read("unable to connect to 127.0.0.1:1 Connection refused\n").is_err());
    }
}
