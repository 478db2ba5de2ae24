//! Independent units: what draws at random, and what errors are counted over.
//!
//! Answers of one conversation, one user, one document resemble each other; they are one unit, not many.

use std::collections::HashMap;
use std::hash::Hash;

use super::{Estimate, FEWEST_UNITS, Level};
use crate::refusal::{Refusal, Result};

/// Which observations belong to one unit.
#[derive(Clone, Debug)]
pub struct Clusters {
    of: Vec<u32>,
    count: usize,
}

impl Clusters {
    /// Each observation is a unit.
    pub fn alone(n: usize) -> Clusters {
        Clusters { of: (0..n as u32).collect(), count: n }
    }

    /// Observations of one name are one unit. Units are numbered as they appear.
    pub fn named<T: Eq + Hash>(names: impl IntoIterator<Item = T>) -> Clusters {
        let mut numbers: HashMap<T, u32> = HashMap::new();
        let of = names
            .into_iter()
            .map(|name| {
                let next = numbers.len() as u32;
                *numbers.entry(name).or_insert(next)
            })
            .collect();
        Clusters { of, count: numbers.len() }
    }

    pub fn of(&self) -> &[u32] {
        &self.of
    }

    /// Units.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Sums of values by unit.
    pub(crate) fn sums(&self, values: impl IntoIterator<Item = f64>) -> Vec<f64> {
        let mut sums = vec![0.0; self.count];
        for (unit, value) in self.of.iter().zip(values) {
            sums[*unit as usize] += value;
        }
        sums
    }
}

/// What each unit adds to the two sums of a ratio: a mean is a sum of scores over a sum of ones, a severity is a sum of
/// points over a sum of words.
#[derive(Clone, Debug)]
pub struct Units {
    pub(crate) top: Vec<f64>,
    pub(crate) bottom: Vec<f64>,
    n: usize,
}

impl Units {
    /// Of a mean of values.
    pub fn mean(values: &[f64], clusters: &Clusters) -> Result<Units> {
        Units::ratio(values, &vec![1.0; values.len()], clusters)
    }

    /// Of Σ top / Σ bottom.
    pub fn ratio(top: &[f64], bottom: &[f64], clusters: &Clusters) -> Result<Units> {
        Refusal::same_length(top.len(), bottom.len())?;
        Refusal::same_length(top.len(), clusters.of.len())?;
        Refusal::finite(top)?;
        Refusal::finite(bottom)?;
        if bottom.iter().any(|b| *b < 0.0) {
            return Err(Refusal::input("un dénominateur est négatif", "a denominator is negative"));
        }
        if top.is_empty() {
            return Err(Refusal::too_few("observations", "observations", 0, 1));
        }
        let (top, bottom) = (clusters.sums(top.iter().copied()), clusters.sums(bottom.iter().copied()));
        if bottom.iter().sum::<f64>() <= 0.0 {
            return Err(Refusal::undefined("le dénominateur est nul", "the denominator is zero"));
        }
        Ok(Units { top, bottom, n: clusters.of.len() })
    }

    pub fn count(&self) -> usize {
        self.top.len()
    }

    /// Observations behind the units.
    pub fn observations(&self) -> usize {
        self.n
    }

    /// Σ top / Σ bottom.
    pub fn value(&self) -> f64 {
        self.top.iter().sum::<f64>() / self.bottom.iter().sum::<f64>()
    }

    /// What each unit pulls the ratio by, (topᵤ − R·bottomᵤ) / Σ bottom: its linearized influence, which sums to zero.
    pub fn influences(&self) -> Vec<f64> {
        let (value, bottom) = (self.value(), self.bottom.iter().sum::<f64>());
        self.top.iter().zip(&self.bottom).map(|(t, b)| (t - value * b) / bottom).collect()
    }

    /// Cluster-robust variance of the ratio, as [`Units::estimate`] has it; of two units or more.
    pub fn variance(&self) -> f64 {
        robust_variance(&self.influences())
    }

    /// Ratio with its cluster-robust standard error.
    ///
    /// V = G/(G−1) · Σᵤ eᵤ² with eᵤ = (topᵤ − R·bottomᵤ)/Σ bottom, over G units; bounds by Student with G−1 degrees of
    /// freedom. For a mean it is Liang & Zeger's (1986) sandwich with the CR1 correction (Cameron & Miller 2015, §II); in
    /// survey words, Taylor linearization of a ratio (Cochran 1977, §6.3 and §11.12, with replacement).
    pub fn estimate(&self, level: Level) -> Result<Estimate> {
        let count = self.count();
        if count < FEWEST_UNITS {
            return Err(Refusal::too_few("unités indépendantes", "independent units", count, FEWEST_UNITS));
        }
        let variance = self.variance();
        if variance <= 0.0 || variance.sqrt() <= 1e-13 * self.value().abs() {
            return Err(Refusal::undefined(
                "toutes les unités ont la même valeur : une erreur nulle ne prouverait rien (pour des oui/non, `wilson`)",
                "all units have the same value: an error of zero would prove nothing (for yes/no scores, `wilson`)",
            ));
        }
        Ok(Estimate::student(self.value(), variance, count as f64 - 1.0, self.n, count, level))
    }
}

/// G/(G−1) · Σ eᵤ², of influences that sum to zero.
pub(crate) fn robust_variance(influences: &[f64]) -> f64 {
    let count = influences.len() as f64;
    count / (count - 1.0) * influences.iter().map(|e| e * e).sum::<f64>()
}

/// Mean of values with clustered standard error: see [`Units::estimate`].
pub fn clustered_mean(values: &[f64], clusters: &Clusters, level: Level) -> Result<Estimate> {
    Units::mean(values, clusters)?.estimate(level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{mean, variance};

    #[test]
    fn alone_it_is_the_textbook_error() {
        let values: Vec<f64> = (0..20).map(|i| f64::from(i % 7)).collect();
        let got = clustered_mean(&values, &Clusters::alone(20), Level::default()).unwrap();
        assert!((got.estimate - mean(&values)).abs() < 1e-12);
        assert!((got.standard_error - (variance(&values) / 20.0).sqrt()).abs() < 1e-12);
        assert_eq!((got.n, got.units, got.degrees_of_freedom), (20, 20, 19.0));
    }

    #[test]
    fn copies_of_an_observation_bring_no_certainty() {
        let values: Vec<f64> = (0..12).map(f64::from).collect();
        let names: Vec<u32> = (0..12).collect();
        let once = clustered_mean(&values, &Clusters::named(&names), Level::default()).unwrap();
        let (five, five_names) = (values.repeat(5), names.repeat(5));
        let copied = clustered_mean(&five, &Clusters::named(&five_names), Level::default()).unwrap();
        assert!((once.standard_error - copied.standard_error).abs() < 1e-12);
        assert_eq!(copied.units, 12);
    }

    #[test]
    fn it_refuses_what_it_cannot_say() {
        let level = Level::default();
        let code = |values: &[f64]| clustered_mean(values, &Clusters::alone(values.len()), level).unwrap_err().code;
        use crate::refusal::Code;
        assert_eq!(code(&[]), Code::TooFew);
        assert_eq!(code(&[1.0, 2.0, 3.0]), Code::TooFew);
        assert_eq!(code(&[4.0; 30]), Code::Undefined);
        assert_eq!(code(&[f64::NAN; 30]), Code::Input);
        let one = Clusters::named(vec!["a"; 30]);
        let values: Vec<f64> = (0..30).map(f64::from).collect();
        assert_eq!(clustered_mean(&values, &one, level).unwrap_err().code, Code::TooFew);
    }
}
