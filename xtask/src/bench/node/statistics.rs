//! Of few numbers from a noisy machine: the middle, and how far half of them lie around it.

use serde::Serialize;

/// The median with the quartiles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Spread {
    /// Of finite numbers; none of nothing.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let at = |part| quantile(&values, part);
        Some(Self { median: at(0.5)?, low: at(0.25)?, high: at(0.75)? })
    }
}

/// Between the two nearest values, in proportion (Hyndman and Fan's definition 7).
fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = part * last as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    Some(sorted[low] + (sorted[high] - sorted[low]) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As R's quantile(c(7, 1, 3, 5)) and quantile(1:5) have it.
    #[test]
    fn quartiles_lie_between_values_in_proportion() {
        let four = Spread::of([7.0, 1.0, 3.0, 5.0]).unwrap();
        assert_eq!(four, Spread { median: 4.0, low: 2.5, high: 5.5 });
        let five = Spread::of([5.0, 4.0, 3.0, 2.0, 1.0]).unwrap();
        assert_eq!(five, Spread { median: 3.0, low: 2.0, high: 4.0 });
    }

    #[test]
    fn one_value_is_its_own_spread_and_no_value_has_none() {
        assert_eq!(Spread::of([0.5]), Some(Spread { median: 0.5, low: 0.5, high: 0.5 }));
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([f64::NAN, 2.0]), Spread::of([2.0]));
    }
}
