//! Shares of yes.

use super::{Interval, Level};
use crate::refusal::{Refusal, Result};

/// A share and its interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Share {
    pub estimate: f64,
    #[serde(flatten)]
    pub interval: Interval,
    /// Observations; not whole when it is an effective number.
    pub n: f64,
}

/// Wilson's score interval of x successes among n, by z.
///
/// (p̂ + z²/2n ± z·√(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n). Wilson (1927); recommended by Brown, Cai & DasGupta (2001).
/// Holds for independent observations; [`effective`] is for others.
pub fn wilson(successes: usize, n: usize, level: Level) -> Result<Share> {
    if n == 0 {
        return Err(Refusal::too_few("observations", "observations", 0, 1));
    }
    if successes > n {
        return Err(Refusal::input(
            format!("{successes} succès pour {n} observations"),
            format!("{successes} successes for {n} observations"),
        ));
    }
    let share = successes as f64 / n as f64;
    let mut interval = score(share, n as f64, level.z(), level);
    // At the ends a bound is the end itself; rounding must not say otherwise.
    if successes == 0 {
        interval.low = 0.0;
    }
    if successes == n {
        interval.high = 1.0;
    }
    Ok(Share { estimate: share, interval, n: n as f64 })
}

/// Wilson's interval of a share whose observations are not independent, by its effective sample size.
///
/// n* = p̂(1−p̂)/V where V is the cluster-robust variance of p̂, at most n; with Student's t on G−1 degrees of freedom for
/// z. Korn & Graubard (1998), Dean & Pagendorf (2015). Where V is zero (all yes, all no), n* is the number of units: the
/// most that could be claimed if answers of a unit were copies. Of a score between 0 and 1 that is not yes or no it is
/// conservative, since its variance is at most p̂(1−p̂).
pub fn effective(share: f64, variance: f64, n: usize, units: usize, level: Level) -> Result<Share> {
    if units < 2 {
        return Err(Refusal::too_few("unités indépendantes", "independent units", units, 2));
    }
    if !(0.0..=1.0).contains(&share) || variance.is_nan() || variance < 0.0 {
        return Err(Refusal::input("une part est entre 0 et 1", "a share is between 0 and 1"));
    }
    let spread = share * (1.0 - share);
    let size = if variance > 1e-15 && spread > 0.0 { (spread / variance).min(n as f64) } else { units as f64 };
    Ok(Share { estimate: share, interval: score(share, size, level.t(units as f64 - 1.0), level), n: size })
}

fn score(share: f64, n: f64, z: f64, level: Level) -> Interval {
    let square = z * z;
    let centre = (share + square / (2.0 * n)) / (1.0 + square / n);
    let half = z * (share * (1.0 - share) / n + square / (4.0 * n * n)).sqrt() / (1.0 + square / n);
    Interval::new((centre - half).max(0.0), (centre + half).min(1.0), level)
}

/// Difference of two independent shares, first minus second, with Newcombe's hybrid score interval.
///
/// d − √((p₁−l₁)² + (u₂−p₂)²) to d + √((u₁−p₁)² + (p₂−l₂)²), with (l, u) Wilson's bounds of each. Newcombe (1998), method
/// 10.
pub fn newcombe(first: (usize, usize), second: (usize, usize), level: Level) -> Result<Share> {
    let (one, two) = (wilson(first.0, first.1, level)?, wilson(second.0, second.1, level)?);
    let difference = one.estimate - two.estimate;
    let apart = |a: f64, b: f64| a.hypot(b);
    let low = difference - apart(one.estimate - one.interval.low, two.interval.high - two.estimate);
    let high = difference + apart(one.interval.high - one.estimate, two.estimate - two.interval.low);
    Ok(Share { estimate: difference, interval: Interval::new(low, high, level), n: one.n + two.n })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Newcombe (1998), tables of single proportions and of differences (56/70 − 48/80, method 10: 0.0524 to 0.3339).
    #[test]
    fn published_examples() {
        let level = Level::default();
        for (x, n, low, high) in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)] {
            let got = wilson(x, n, level).unwrap().interval;
            assert!((got.low - low).abs() < 5e-5 && (got.high - high).abs() < 5e-5, "{x}/{n}: {got:?}");
        }
        let got = newcombe((56, 70), (48, 80), level).unwrap();
        assert!((got.estimate - 0.2).abs() < 1e-12);
        assert!((got.interval.low - 0.0524).abs() < 5e-5 && (got.interval.high - 0.3339).abs() < 5e-5, "{got:?}");
    }

    #[test]
    fn all_yes_is_not_certainty_and_clusters_widen() {
        let level = Level::default();
        let sure = effective(1.0, 0.0, 200, 40, level).unwrap();
        assert!(sure.interval.low < 0.93 && sure.interval.high >= 1.0 - 1e-12, "{sure:?}");
        let alone = effective(0.8, 0.16 / 200.0, 200, 200, level).unwrap().interval;
        let clustered = effective(0.8, 0.16 / 50.0, 200, 40, level).unwrap().interval;
        assert!(clustered.high - clustered.low > 1.5 * (alone.high - alone.low));
        assert!(wilson(3, 2, level).is_err() && wilson(0, 0, level).is_err());
    }
}
