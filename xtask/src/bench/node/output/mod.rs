//! What the programs that make the load say they did.

pub mod h2load;
pub mod iperf3;
pub mod sockperf;
pub mod wrk;

use serde::Serialize;

/// What a load did, by its own account.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Work {
    /// Requests or bytes.
    pub units: f64,
    pub seconds: f64,
    pub latency: Option<Latency>,
    /// Of requests that failed.
    pub failed: u64,
}

impl Work {
    pub fn per_second(&self) -> f64 {
        self.units / self.seconds
    }
}

/// In microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
}

/// Microseconds of `83us`, `1.20ms`, `3.00s` or `1.5m`, as wrk and h2load write durations.
fn microseconds(text: &str) -> Option<f64> {
    let digits = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        "h" => 3600e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::microseconds;

    #[test]
    fn durations_are_read_in_every_unit() {
        assert_eq!(microseconds("145.00us"), Some(145.0));
        assert_eq!(microseconds("7.65ms"), Some(7650.0));
        assert_eq!(microseconds("3.33s"), Some(3.33e6));
        assert_eq!(microseconds("1.50m"), Some(90e6));
        assert_eq!(microseconds("12"), None);
        assert_eq!(microseconds("x"), None);
    }
}
