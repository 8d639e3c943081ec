//! iperf3, with `-J`.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Work;

/// # Errors
/// If it is not what iperf 3 prints, or says that it failed.
pub fn read(text: &str) -> Result<Work> {
    let report: Value = serde_json::from_str(text).context("iperf3's report is no JSON")?;
    if let Some(error) = report["error"].as_str() {
        bail!("iperf3: {error}");
    }
    let received = &report["end"]["sum_received"];
    let number = |key: &str| received[key].as_f64().with_context(|| format!("iperf3 tells no {key}"));
    Ok(Work { units: number("bytes")?, seconds: number("seconds")?, latency: None, failed: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_receiver_got_counts() {
        // Cut down from iperf 3.12.
        let text = r#"{"end": {"sum_sent": {"seconds": 1.008517, "bytes": 130940930},
            "sum_received": {"start": 0, "end": 1.043983, "seconds": 1.043983, "bytes": 130940928}}}"#;
        let work = read(text).unwrap();
        assert_eq!((work.units, work.seconds, work.latency), (130_940_928.0, 1.043_983, None));
    }

    #[test]
    fn its_own_error_is_passed_on() {
        let text =
            r#"{"start": {}, "end": {}, "error": "error - unable to connect to server: Connection refused"}"#;
        assert!(read(text).unwrap_err().to_string().contains("unable to connect"));
    }
}
