//! The same correction where observations had unequal chances of being drawn.

use super::super::units::{Clusters, robust_variance};
use super::super::{Estimate, FEWEST_UNITS, Level};
use crate::refusal::{Refusal, Result};

/// One item that the judge scored.
#[derive(Clone, Copy, Debug)]
pub struct Scored {
    pub judge: f64,
    /// Its chance of being given to the judge.
    pub probability: f64,
    /// What people said of it, and its chance of being given to them.
    pub human: Option<(f64, f64)>,
}

/// A corrected mean, and what each unit pulls it by.
#[derive(Clone, Debug)]
pub struct Weighted {
    pub estimate: Estimate,
    pub trust: f64,
    /// By unit, in the order of `clusters`; they sum to zero.
    pub pulls: Vec<f64>,
}

/// Mean of what people would have said of a population, items having been drawn with unequal chances.
///
/// θ̂ = Ȳ + λ·(F̄ − f̄): Hájek means of people's scores Y and of the judge's f over the items people saw (weights 1/π of people),
/// and of the judge's over all it scored (weights 1/π of the judge): the difference estimator of two-phase sampling
/// (Särndal, Swensson & Wretman 1992, §9.7), with λ the weighted slope of Y on f, cut to [0, 1]; with equal chances it is
/// [`corrected_mean`](super::corrected_mean). Variance of the linearized sum over units; Student with Welch and
/// Satterthwaite's degrees of freedom of the units people saw and of the others.
pub fn weighted_corrected_mean(scored: &[Scored], clusters: &Clusters, level: Level) -> Result<Weighted> {
    Refusal::same_length(scored.len(), clusters.of().len())?;
    let seen: Vec<bool> = {
        let mut seen = vec![false; clusters.count()];
        let people = scored.iter().zip(clusters.of()).filter(|(one, _)| one.human.is_some());
        people.for_each(|(_, unit)| seen[*unit as usize] = true);
        seen
    };
    let units = seen.iter().filter(|seen| **seen).count();
    let alone = seen.len() - units;
    if units < FEWEST_UNITS {
        let fr = "unités notées à la fois par des personnes et par le juge";
        return Err(Refusal::too_few(fr, "units scored by people and by the judge", units, FEWEST_UNITS));
    }
    if alone < FEWEST_UNITS {
        let (fr, en) = ("unités notées par le juge seul", "units scored by the judge alone");
        return Err(Refusal::too_few(fr, en, alone, FEWEST_UNITS));
    }
    let people = || scored.iter().filter_map(|one| one.human.map(|(y, chance)| (one.judge, y, 1.0 / chance)));
    let all = || scored.iter().map(|one| (one.judge, 1.0 / one.probability));
    let weight: f64 = people().map(|(.., w)| w).sum();
    let whole: f64 = all().map(|(_, v)| v).sum();
    let y = people().map(|(_, y, w)| w * y).sum::<f64>() / weight;
    let f = people().map(|(f, _, w)| w * f).sum::<f64>() / weight;
    let judged = all().map(|(f, v)| v * f).sum::<f64>() / whole;
    let together = people().map(|(one, said, w)| w * (one - f) * (said - y)).sum::<f64>() / weight;
    let spread = all().map(|(one, v)| v * (one - judged).powi(2)).sum::<f64>() / whole;
    let trust = if spread > 0.0 { (together / spread).clamp(0.0, 1.0) } else { 0.0 };
    let pulls = clusters.sums(scored.iter().map(|one| {
        let judge = trust * (one.judge - judged) / one.probability / whole;
        let human = one.human.map_or(0.0, |(said, chance)| (said - y - trust * (one.judge - f)) / chance / weight);
        judge + human
    }));
    let total = robust_variance(&pulls);
    if total <= 0.0 {
        return Err(Refusal::undefined(
            "aucune note ne varie : une erreur nulle ne prouverait rien",
            "no score varies: an error of zero would prove nothing",
        ));
    }
    let part = |wanted: bool| -> f64 {
        pulls.iter().zip(&seen).filter(|(_, seen)| **seen == wanted).map(|(pull, _)| pull * pull).sum()
    };
    let (one, other) = (part(true), part(false));
    let freedom = (one + other).powi(2) / (one * one / (units as f64 - 1.0) + other * other / (alone as f64 - 1.0));
    let value = y + trust * (judged - f);
    let estimate = Estimate::student(value, total, freedom, scored.len(), units + alone, level);
    Ok(Weighted { estimate, trust, pulls })
}

#[cfg(test)]
mod tests {
    use super::super::{Judged, Trust, corrected_mean};
    use super::*;
    use crate::random::Random;
    use crate::stats::Interval;

    fn verdict(random: &mut Random, chance: f64) -> (f64, f64) {
        let human = random.unit() < chance;
        let kind = if human { 0.95 } else { 0.4 };
        (f64::from(u8::from(human)), f64::from(u8::from(random.unit() < kind)))
    }

    #[test]
    fn with_equal_chances_it_is_the_corrected_mean() {
        let mut random = Random::new(4);
        let both: Vec<(f64, f64)> = (0..60).map(|_| verdict(&mut random, 0.6)).collect();
        let judge_alone: Vec<f64> = (0..300).map(|_| verdict(&mut random, 0.6).1).collect();
        let mut scored: Vec<Scored> = Vec::new();
        scored.extend(both.iter().map(|(y, f)| Scored { judge: *f, probability: 0.2, human: Some((*y, 0.04)) }));
        scored.extend(judge_alone.iter().map(|f| Scored { judge: *f, probability: 0.2, human: None }));
        let got = weighted_corrected_mean(&scored, &Clusters::alone(360), Level::default()).unwrap();
        let (human, judge): (Vec<f64>, Vec<f64>) = both.into_iter().unzip();
        let (clusters, clusters_alone) = (Clusters::alone(60), Clusters::alone(300));
        let (human, judge, judge_alone) = (&human[..], &judge[..], &judge_alone[..]);
        let judged = Judged { human, judge, clusters: &clusters, judge_alone, clusters_alone: &clusters_alone };
        // λ over all that was judged is λ·N/(N + n) over the rest.
        let trust = Trust::Fixed(got.trust * 300.0 / 360.0);
        let wanted = corrected_mean(&judged, trust, Level::default()).unwrap().estimate;
        assert!((got.estimate.estimate - wanted.estimate).abs() < 1e-12);
        assert!((got.estimate.standard_error / wanted.standard_error - 1.0).abs() < 0.01, "{got:?} {wanted:?}");
    }

    /// A large kind stratum and a small harsh one, drawn in equal numbers: 95 % intervals cover 93 to 97 times in a hundred.
    #[test]
    fn intervals_cover_the_population() {
        let strata = [(0.8, 10_000.0), (0.3, 2_000.0)];
        let truth = (0.8 * 10_000.0 + 0.3 * 2_000.0) / 12_000.0;
        let interval = |seed: u64| -> Interval {
            let mut random = Random::new(9_000 + seed);
            let mut scored = Vec::new();
            for (chance, size) in strata {
                for place in 0..250 {
                    let (human, judge) = verdict(&mut random, chance);
                    let human = (place < 50).then_some((human, 50.0 / size));
                    scored.push(Scored { judge, probability: 250.0 / size, human });
                }
            }
            let clusters = Clusters::alone(scored.len());
            weighted_corrected_mean(&scored, &clusters, Level::default()).unwrap().estimate.interval
        };
        let held = (0..2_000).filter(|seed| interval(*seed).contains(truth)).count();
        assert!((1_860..=1_960).contains(&held), "{held} of 2000");
    }
}
