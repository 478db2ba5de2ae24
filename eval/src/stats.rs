//! Statistics. Each says its formula and its source, and refuses what it cannot say.

pub mod alpha;
pub mod bootstrap;
pub mod corrected;
pub mod kappa;
pub mod paired;
pub mod proportion;
pub mod ranking;
pub mod size;
pub mod strata;
pub mod units;
pub mod weighted;

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use crate::refusal::{Refusal, Result};

/// Fewer independent units than this, and no interval of a mean is given: under it, estimated errors are too unsteady
/// for a t interval to keep its word on scores that are not normal. A choice of this program, not a theorem.
pub const FEWEST_UNITS: usize = 8;

/// A confidence level, strictly between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Level(f64);

impl Level {
    pub fn new(level: f64) -> Result<Level> {
        if level > 0.0 && level < 1.0 {
            return Ok(Level(level));
        }
        Err(Refusal::input(
            format!("le niveau de confiance {level} n’est pas entre 0 et 1, comme 0.95"),
            format!("the confidence level {level} is not between 0 and 1, such as 0.95"),
        ))
    }

    pub fn share(self) -> f64 {
        self.0
    }

    /// Cumulated probability at the upper bound: 0.975 for 95 %.
    pub fn upper(self) -> f64 {
        0.5 + self.0 / 2.0
    }

    /// Normal quantile of the upper bound: 1.96 for 95 %.
    pub fn z(self) -> f64 {
        normal_quantile(self.upper())
    }

    /// Student quantile of the upper bound.
    pub fn t(self, freedom: f64) -> f64 {
        t_quantile(self.upper(), freedom)
    }
}

impl Default for Level {
    fn default() -> Level {
        Level(0.95)
    }
}

/// Bounds between which the truth lies, at a level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
    pub level: f64,
}

impl Interval {
    pub fn new(low: f64, high: f64, level: Level) -> Interval {
        Interval { low, high, level: level.share() }
    }

    pub fn around(value: f64, half: f64, level: Level) -> Interval {
        Interval::new(value - half, value + half, level)
    }

    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// A mean or a difference, how sure it is, and what it stands on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    pub estimate: f64,
    pub standard_error: f64,
    #[serde(flatten)]
    pub interval: Interval,
    /// Observations.
    pub n: usize,
    /// Independent units among them.
    pub units: usize,
    pub degrees_of_freedom: f64,
}

impl Estimate {
    /// Estimate ± t × standard error.
    pub(crate) fn student(
        estimate: f64,
        variance: f64,
        freedom: f64,
        n: usize,
        units: usize,
        level: Level,
    ) -> Estimate {
        let standard_error = variance.max(0.0).sqrt();
        let interval = Interval::around(estimate, level.t(freedom) * standard_error, level);
        Estimate { estimate, standard_error, interval, n, units, degrees_of_freedom: freedom }
    }
}

pub(crate) fn normal() -> Normal {
    Normal::standard()
}

/// z such that a standard normal is under it with this probability.
pub fn normal_quantile(probability: f64) -> f64 {
    normal().inverse_cdf(probability)
}

/// Two-sided p-value of a standard normal deviate.
pub fn two_sided(z: f64) -> f64 {
    2.0 * normal().cdf(-z.abs())
}

/// t such that Student's with these degrees of freedom is under it with this probability.
pub fn t_quantile(probability: f64, freedom: f64) -> f64 {
    if freedom > 1_000.0 {
        // Abramowitz & Stegun 26.7.5: here exact to ten digits, where the inversion of the beta function is not.
        let z = normal_quantile(probability);
        let (z3, z5, z7) = (z.powi(3), z.powi(5), z.powi(7));
        return z
            + (z3 + z) / (4.0 * freedom)
            + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * freedom.powi(2))
            + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * z) / (384.0 * freedom.powi(3));
    }
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |t| t.inverse_cdf(probability))
}

/// Mean of values, which are not none.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Variance with n − 1, of two values or more.
pub(crate) fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (p, z) in [(0.975, 1.959_963_984_540_054), (0.5, 0.0), (0.025, -1.959_963_984_540_054)] {
            assert!((normal_quantile(p) - z).abs() < 1e-9, "{p}");
        }
        for (freedom, t) in
            [(1.0, 12.706_204_736), (9.0, 2.262_157_163), (49.0, 2.009_575_237), (1e6, 1.959_966_4), (1e3, 1.962_339)]
        {
            assert!((t_quantile(0.975, freedom) - t).abs() < 1e-6, "{freedom}: {}", t_quantile(0.975, freedom));
        }
        assert!(Level::new(0.0).is_err() && Level::new(1.0).is_err() && Level::new(f64::NAN).is_err());
    }
}
