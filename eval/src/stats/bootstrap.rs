//! Intervals by resampling whole units.

use super::units::Units;
use super::{Interval, Level, normal, normal_quantile};
use crate::random::Random;
use crate::refusal::{Refusal, Result};
use statrs::distribution::ContinuousCDF;

/// Fewer units than this cannot show, by resampling, what others would have been.
pub const FEWEST: usize = 10;

/// Resamples without which a 95 % bound is mostly noise.
const FEWEST_RESAMPLES: usize = 200;

/// A share of resamples without value, above which what remains is no fair picture.
const UNDEFINED: f64 = 0.05;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Quantiles of the resampled values.
    Percentile,
    /// Bias-corrected and accelerated.
    Bca,
}

/// How to resample.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub resamples: usize,
    pub seed: u64,
    pub method: Method,
    pub level: Level,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan { resamples: 10_000, seed: 1, method: Method::Bca, level: Level::default() }
    }
}

/// A value with its bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Resampled {
    pub estimate: f64,
    pub standard_error: f64,
    #[serde(flatten)]
    pub interval: Interval,
    pub units: usize,
    pub resamples: usize,
    /// Resamples on which the value did not exist; they are left out.
    pub undefined_resamples: usize,
    pub seed: u64,
}

/// Bootstrap of a ratio (a mean, weighted or not) over its units: fast, since each resample only adds up sums.
pub fn of_units(units: &Units, plan: &Plan) -> Result<Resampled> {
    let pairs: Vec<(f64, f64)> = units.top.iter().copied().zip(units.bottom.iter().copied()).collect();
    let (top, bottom) = pairs.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
    let ratio = |top: f64, bottom: f64| (bottom > 0.0).then(|| top / bottom);
    let left_out: Vec<Option<f64>> = match plan.method {
        Method::Bca => pairs.iter().map(|pair| ratio(top - pair.0, bottom - pair.1)).collect(),
        Method::Percentile => Vec::new(),
    };
    resample(pairs.len(), plan, units.value(), &left_out, |draw| {
        let (mut top, mut bottom) = (0.0, 0.0);
        for unit in draw {
            let pair = pairs[*unit as usize];
            top += pair.0;
            bottom += pair.1;
        }
        ratio(top, bottom)
    })
}

/// Bootstrap of any value of a set of units: `value` gets the numbers of the units drawn, with repeats, and says None
/// where it does not exist.
///
/// Percentile: quantiles (1∓level)/2 of the resampled values. BCa (Efron 1987; Efron & Tibshirani 1993, §14.3): the same
/// at Φ(z₀ + (z₀+z)/(1 − a(z₀+z))), z₀ = Φ⁻¹ of the share of resampled values under the estimate (ties count half), a
/// from the jackknife over units, Σ(θ̄−θ₍ᵢ₎)³ / 6(Σ(θ̄−θ₍ᵢ₎)²)^{3/2}.
pub fn of(count: usize, plan: &Plan, value: impl Fn(&[u32]) -> Option<f64>) -> Result<Resampled> {
    let all: Vec<u32> = (0..count as u32).collect();
    let estimate = value(&all).ok_or_else(|| {
        Refusal::undefined("la valeur n’existe pas pour ces données", "the value does not exist for these data")
    })?;
    let left_out: Vec<Option<f64>> = match plan.method {
        Method::Bca => (0..count)
            .map(|out| value(&all.iter().copied().filter(|unit| *unit as usize != out).collect::<Vec<u32>>()))
            .collect(),
        Method::Percentile => Vec::new(),
    };
    resample(count, plan, estimate, &left_out, value)
}

fn resample(
    count: usize,
    plan: &Plan,
    estimate: f64,
    left_out: &[Option<f64>],
    value: impl Fn(&[u32]) -> Option<f64>,
) -> Result<Resampled> {
    if count < FEWEST {
        return Err(Refusal::too_few("unités à rééchantillonner", "units to resample", count, FEWEST));
    }
    if plan.resamples < FEWEST_RESAMPLES {
        return Err(Refusal::too_few("rééchantillonnages", "resamples", plan.resamples, FEWEST_RESAMPLES));
    }
    let mut random = Random::new(plan.seed);
    let mut draw = vec![0_u32; count];
    let mut values = Vec::with_capacity(plan.resamples);
    for _ in 0..plan.resamples {
        for unit in &mut draw {
            *unit = random.below(count as u32);
        }
        values.extend(value(&draw));
    }
    let undefined = plan.resamples - values.len();
    if undefined as f64 > UNDEFINED * plan.resamples as f64 {
        return Err(Refusal::undefined(
            format!("la valeur n’existe pas pour {undefined} des {} rééchantillonnages", plan.resamples),
            format!("the value does not exist for {undefined} of {} resamples", plan.resamples),
        ));
    }
    values.sort_unstable_by(f64::total_cmp);
    if values[0] == values[values.len() - 1] {
        return Err(Refusal::undefined(
            "rien ne varie d’une unité à l’autre : l’intervalle serait vide de sens",
            "nothing varies from one unit to another: the interval would mean nothing",
        ));
    }
    let (below, above) = match plan.method {
        Method::Percentile => (1.0 - plan.level.upper(), plan.level.upper()),
        Method::Bca => corrected(&values, estimate, left_out, plan.level)?,
    };
    Ok(Resampled {
        estimate,
        standard_error: super::variance(&values).sqrt(),
        interval: Interval::new(quantile(&values, below), quantile(&values, above), plan.level),
        units: count,
        resamples: plan.resamples,
        undefined_resamples: undefined,
        seed: plan.seed,
    })
}

/// Which quantiles of sorted values the BCa interval takes.
fn corrected(values: &[f64], estimate: f64, left_out: &[Option<f64>], level: Level) -> Result<(f64, f64)> {
    let under = values.partition_point(|value| *value < estimate);
    let up_to = values.partition_point(|value| *value <= estimate);
    let share = (under + up_to) as f64 / (2.0 * values.len() as f64);
    let jackknife: Vec<f64> = left_out.iter().copied().flatten().collect();
    let mean = super::mean(&jackknife);
    let (squares, cubes) = jackknife.iter().fold((0.0, 0.0), |(squares, cubes), left| {
        let pull = mean - left;
        (squares + pull * pull, cubes + pull * pull * pull)
    });
    if jackknife.len() < left_out.len() || squares <= 0.0 || share <= 0.0 || share >= 1.0 {
        return Err(Refusal::undefined(
            "les corrections BCa n’existent pas pour ces données ; la méthode `percentile` ne les demande pas",
            "the BCa corrections do not exist for these data; the method `percentile` does without",
        ));
    }
    let bias = normal_quantile(share);
    let acceleration = cubes / (6.0 * squares.powf(1.5));
    let shifted = |z: f64| {
        let moved = bias + z;
        normal().cdf(bias + moved / (1.0 - acceleration * moved))
    };
    Ok((shifted(-level.z()), shifted(level.z())))
}

/// Quantile of sorted values, by linear interpolation (Hyndman & Fan 1996, type 7).
fn quantile(sorted: &[f64], probability: f64) -> f64 {
    let place = probability.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + part * (sorted[high] - sorted[low])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::units::Clusters;

    fn skewed(n: u32) -> Vec<f64> {
        (0..n).map(|i| f64::from(i).powi(2) / 100.0).collect()
    }

    #[test]
    fn a_seed_gives_the_same_interval_and_another_one_nearly() {
        let units = Units::mean(&skewed(60), &Clusters::alone(60)).unwrap();
        let of = |seed, method| of_units(&units, &Plan { seed, method, ..Plan::default() }).unwrap();
        assert_eq!(of(3, Method::Bca), of(3, Method::Bca));
        let (one, two) = (of(3, Method::Bca), of(4, Method::Bca));
        assert!(one.interval != two.interval && (one.interval.low - two.interval.low).abs() < 0.3);
        // Skewed to the right: BCa moves right of the percentile interval.
        assert!(one.interval.high > of(3, Method::Percentile).interval.high);
    }

    #[test]
    fn the_general_and_the_fast_way_agree() {
        let values = skewed(40);
        let units = Units::mean(&values, &Clusters::alone(40)).unwrap();
        let plan = Plan { resamples: 500, ..Plan::default() };
        let slow = of(40, &plan, |draw| {
            Some(draw.iter().map(|i| values[*i as usize]).sum::<f64>() / draw.len().max(1) as f64)
        });
        let (slow, fast) = (slow.unwrap(), of_units(&units, &plan).unwrap());
        assert!((slow.interval.low - fast.interval.low).abs() < 1e-9, "{slow:?} {fast:?}");
        assert!((slow.interval.high - fast.interval.high).abs() < 1e-9, "{slow:?} {fast:?}");
    }

    #[test]
    fn it_refuses_what_it_cannot_say() {
        let plan = Plan::default();
        let few = Units::mean(&skewed(5), &Clusters::alone(5)).unwrap();
        assert!(of_units(&few, &plan).is_err());
        let flat = Units::mean(&[2.0; 50], &Clusters::alone(50)).unwrap();
        assert!(of_units(&flat, &plan).is_err());
        assert!(of(30, &plan, |draw| (draw[0] % 2 == 0).then_some(f64::from(draw[1]))).is_err());
    }
}
