//! sockperf's ping-pong.

use anyhow::{Context, Result};

use super::{Latency, Work};

/// Requests with answers, those of its warming up too: somebody had to observe them. It tells latencies one way: half of what an answer takes.
///
/// # Errors
/// If it is not what sockperf 3 prints.
pub fn read(text: &str) -> Result<Work> {
    let line = text.lines().find(|line| line.contains("[Total Run]"));
    let line = line.with_context(|| format!("sockperf counts no messages: {text}"))?;
    let number = |label: &str| -> Result<f64> {
        let after = line.split_once(label).map(|(_, after)| after);
        let digits = after.and_then(|after| after.split([' ', ';']).next());
        digits.and_then(|digits| digits.parse().ok()).with_context(|| format!("no {label} in: {line}"))
    };
    let percentile = |name| text.lines().find_map(|line| line.split_once(name)?.1.trim().parse::<f64>().ok());
    let (p50, p99) = (percentile("percentile 50.000 ="), percentile("percentile 99.000 ="));
    let latency = p50.zip(p99).map(|(p50, p99)| Latency { p50: 2.0 * p50, p99: 2.0 * p99 });
    Ok(Work { units: number("ReceivedMessages=")?, seconds: number("RunTime=")?, latency, failed: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_run_counts_and_latency_is_both_ways() {
        // Cut down from sockperf 3.7.
        let text = "\
sockperf: [Total Run] RunTime=2.000 sec; Warm up time=400 msec; SentMessages=360272; ReceivedMessages=360271
sockperf: [Valid Duration] RunTime=1.547 sec; SentMessages=342886; ReceivedMessages=342885
sockperf: ---> <MAX> observation = 13368.784
sockperf: ---> percentile 99.000 =    4.620
sockperf: ---> percentile 50.000 =    1.859
";
        let work = read(text).unwrap();
        let latency = Some(Latency { p50: 3.718, p99: 9.24 });
        assert_eq!(work, Work { units: 360_271.0, seconds: 2.0, latency, failed: 0 });
        assert!(read("sockperf: ERROR: _seqN > m_maxSequenceNo\n").is_err());
    }
}
