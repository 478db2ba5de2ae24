//! The few statistics the bench needs.

/// Values of one run, in nanoseconds, read as percentiles in microseconds.
#[derive(Debug, Default)]
pub struct Sample {
    nanoseconds: Vec<u64>,
}

impl Sample {
    /// Adds one value, in nanoseconds.
    pub fn push(&mut self, nanoseconds: u64) {
        self.nanoseconds.push(nanoseconds);
    }

    /// Takes all values of `other`.
    pub fn merge(&mut self, other: Self) {
        self.nanoseconds.extend(other.nanoseconds);
    }

    /// Sorts once and reads the percentiles.
    pub fn spread(mut self) -> Spread {
        self.nanoseconds.sort_unstable();
        let at = |share: f64| {
            let last = self.nanoseconds.len().checked_sub(1)?;
            let index = (last as f64 * share).round() as usize;
            Some(self.nanoseconds[index] as f64 / 1000.0)
        };
        Spread {
            count: self.nanoseconds.len(),
            p50: at(0.5).unwrap_or(f64::NAN),
            p99: at(0.99).unwrap_or(f64::NAN),
            max: at(1.0).unwrap_or(f64::NAN),
        }
    }
}

/// Percentiles of one run, in microseconds; `NAN` without values.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Spread {
    pub count: usize,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// The median of `values`, `NAN` values left out; `NAN` when none is left.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// The smallest and the largest of `values`, `NAN` values left out.
pub fn range(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::NAN, f64::NAN), |(low, high), v| (low.min(*v), high.max(*v)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks_in_microseconds() {
        let mut sample = Sample::default();
        for value in (0..=100).rev() {
            sample.push(value * 1000);
        }
        let spread = sample.spread();
        assert_eq!((spread.count, spread.p50, spread.p99, spread.max), (101, 50.0, 99.0, 100.0));
        assert!(Sample::default().spread().p50.is_nan());
    }

    #[test]
    fn median_and_range_skip_missing_values() {
        assert_eq!(median(&[3.0, f64::NAN, 1.0]), 2.0);
        assert_eq!(median(&[5.0, 1.0, 3.0]), 3.0);
        assert!(median(&[]).is_nan());
        assert_eq!(range(&[2.0, f64::NAN, -1.0]), (-1.0, 2.0));
    }
}
