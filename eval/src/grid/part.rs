//! What criteria, facets and the total have in common: an estimate, and what each independent unit pulls it by.
//!
//! Criteria answered on the same items err together; adding up the pulls of each unit before squaring them takes that into
//! account, where adding variances would not.

use std::collections::HashMap;

use crate::stats::{Interval, Level};

#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub estimate: f64,
    pub pulls: HashMap<String, f64>,
    /// Variance that is not of units: bounds somebody gave, or a caution where nothing varied.
    pub extra: f64,
    /// Of the shakiest ingredient; none when there is no sampling error.
    pub freedom: Option<f64>,
}

impl Part {
    /// Weighted mean of parts.
    pub fn mean<'a>(parts: impl Iterator<Item = (f64, &'a Part)> + Clone) -> Part {
        let total: f64 = parts.clone().map(|(weight, _)| weight).sum();
        let mut mean = Part::default();
        for (weight, part) in parts {
            let share = weight / total;
            mean.estimate += share * part.estimate;
            mean.extra += share * share * part.extra;
            for (unit, pull) in &part.pulls {
                *mean.pulls.entry(unit.clone()).or_insert(0.0) += share * pull;
            }
            mean.freedom = match (mean.freedom, part.freedom) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        mean
    }

    /// Estimate ± t × its error, within 0 and 1.
    pub fn interval(&self, level: Level) -> Interval {
        let variance = self.pulls.values().map(|pull| pull * pull).sum::<f64>() + self.extra;
        let quantile = self.freedom.map_or_else(|| level.z(), |freedom| level.t(freedom));
        let half = quantile * variance.sqrt();
        Interval::new((self.estimate - half).clamp(0.0, 1.0), (self.estimate + half).clamp(0.0, 1.0), level)
    }
}
