//! Means by a judge, corrected by people: prediction-powered inference.

mod weighted;

pub use weighted::{Scored, Weighted, weighted_corrected_mean};

use super::units::Clusters;
use super::{Estimate, FEWEST_UNITS, Level, mean, variance};
use crate::refusal::{Refusal, Result};

/// Scores of a judge (a model) and of people, on items drawn from one population.
#[derive(Clone, Debug)]
pub struct Judged<'a> {
    /// People's scores of the items they saw.
    pub human: &'a [f64],
    /// The judge's scores of the same items.
    pub judge: &'a [f64],
    /// Units of those items.
    pub clusters: &'a Clusters,
    /// The judge's scores of items nobody saw.
    pub judge_alone: &'a [f64],
    /// Units of those.
    pub clusters_alone: &'a Clusters,
}

/// How much the judge is listened to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trust {
    /// λ = 1: the first form (Angelopoulos et al. 2023a).
    Full,
    /// λ that makes the variance smallest (PPI++). A judge that knows nothing gets 0, and people's mean is left.
    Tuned,
    /// A λ chosen beforehand, from 0 to 1.
    Fixed(f64),
}

/// A corrected mean and what it owes to whom.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Corrected {
    #[serde(flatten)]
    pub estimate: Estimate,
    /// λ: weight of the judge.
    pub trust: f64,
    /// Mean of the judge minus mean of people, on the items both saw.
    pub judge_bias: f64,
    /// Mean of people alone, the classical estimate, and its standard error.
    pub human_mean: f64,
    pub human_standard_error: f64,
    /// Standard errors of the two parts: people's correction, and the judge on the rest.
    pub correction_error: f64,
    pub judge_error: f64,
    pub labelled: usize,
    pub unlabelled: usize,
}

/// Mean of what people would have said, from few of their scores and many of a judge's.
///
/// θ̂ = λ·mean(f̃) + mean(Y − λf), V = Var(λf̃)/N + Var(Y − λf)/n, over n items with people's scores Y and the judge's f, and
/// N items with the judge's f̃ alone. Angelopoulos, Bates, Fannjiang, Jordan & Zrnic (2023a, Science 382) with λ = 1;
/// Angelopoulos, Duchi & Zrnic (2023b, PPI++) with λ̂ = Cov(Y, f) / ((1 + n/N)·Var(f)), cut to [0, 1]. Variances are
/// cluster-robust when items come in units. Bounds by Student with Welch and Satterthwaite's degrees of freedom of the two
/// parts, where the authors take the normal: with 50 labelled items it matters.
pub fn corrected_mean(judged: &Judged<'_>, trust: Trust, level: Level) -> Result<Corrected> {
    let Judged { human, judge, clusters, judge_alone, clusters_alone } = judged;
    Refusal::same_length(human.len(), judge.len())?;
    Refusal::same_length(human.len(), clusters.of().len())?;
    Refusal::same_length(judge_alone.len(), clusters_alone.of().len())?;
    for values in [human, judge, judge_alone] {
        Refusal::finite(values)?;
    }
    let (units, alone) = (clusters.count(), clusters_alone.count());
    if units < FEWEST_UNITS {
        let fr = "unités notées à la fois par des personnes et par le juge";
        return Err(Refusal::too_few(fr, "units scored by people and by the judge", units, FEWEST_UNITS));
    }
    if alone < FEWEST_UNITS {
        return Err(Refusal::too_few(
            "unités notées par le juge seul",
            "units scored by the judge alone",
            alone,
            FEWEST_UNITS,
        ));
    }
    let (n, rest) = (human.len() as f64, judge_alone.len() as f64);
    let lambda = match trust {
        Trust::Full => 1.0,
        Trust::Fixed(lambda) if (0.0..=1.0).contains(&lambda) => lambda,
        Trust::Fixed(lambda) => {
            return Err(Refusal::input(
                format!("λ vaut {lambda}, il est entre 0 et 1"),
                format!("λ is {lambda}, it lies between 0 and 1"),
            ));
        }
        Trust::Tuned => tuned(human, judge, judge_alone),
    };
    let rectified: Vec<f64> = human.iter().zip(*judge).map(|(y, f)| y - lambda * f).collect();
    let correction = of_mean(&rectified, clusters);
    let share = lambda * lambda * of_mean(judge_alone, clusters_alone);
    let total = correction + share;
    if total <= 0.0 {
        return Err(Refusal::undefined(
            "aucune note ne varie : une erreur nulle ne prouverait rien",
            "no score varies: an error of zero would prove nothing",
        ));
    }
    let freedom =
        total * total / (correction * correction / (units as f64 - 1.0) + share * share / (alone as f64 - 1.0));
    let value = lambda * mean(judge_alone) + mean(&rectified);
    Ok(Corrected {
        estimate: Estimate::student(value, total, freedom, (n + rest) as usize, units + alone, level),
        trust: lambda,
        judge_bias: mean(judge) - mean(human),
        human_mean: mean(human),
        human_standard_error: of_mean(human, clusters).sqrt(),
        correction_error: correction.sqrt(),
        judge_error: share.sqrt(),
        labelled: human.len(),
        unlabelled: judge_alone.len(),
    })
}

fn tuned(human: &[f64], judge: &[f64], judge_alone: &[f64]) -> f64 {
    let (n, rest) = (human.len() as f64, judge_alone.len() as f64);
    let (y, f) = (mean(human), mean(judge));
    let together = human.iter().zip(judge).map(|(a, b)| (a - y) * (b - f)).sum::<f64>() / n;
    let all: Vec<f64> = judge.iter().chain(judge_alone).copied().collect();
    let spread = variance(&all);
    if spread > 0.0 { (together / ((1.0 + n / rest) * spread)).clamp(0.0, 1.0) } else { 0.0 }
}

/// Cluster-robust variance of a mean.
fn of_mean(values: &[f64], clusters: &Clusters) -> f64 {
    let mean = mean(values);
    let pulls = clusters.sums(values.iter().map(|value| (value - mean) / values.len() as f64));
    super::units::robust_variance(&pulls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn scores(seed: u64, skill: f64) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let mut random = Random::new(seed);
        let mut one = || {
            let truth = random.normal();
            (truth, skill * truth + (1.0 - skill) * random.normal() + 0.5)
        };
        let (human, judge) = (0..60).map(|_| one()).unzip();
        (human, judge, (0..2_000).map(|_| one().1).collect())
    }

    fn run(seed: u64, skill: f64, trust: Trust) -> Corrected {
        let (human, judge, judge_alone) = scores(seed, skill);
        let (clusters, clusters_alone) = (Clusters::alone(60), Clusters::alone(2_000));
        let (human, judge, judge_alone) = (&human[..], &judge[..], &judge_alone[..]);
        let judged = Judged { human, judge, clusters: &clusters, judge_alone, clusters_alone: &clusters_alone };
        corrected_mean(&judged, trust, Level::default()).unwrap()
    }

    #[test]
    fn a_good_judge_narrows_and_a_bad_one_is_not_heard() {
        let good = run(5, 0.95, Trust::Tuned);
        assert!(good.estimate.standard_error < 0.4 * good.human_standard_error && good.trust > 0.8, "{good:?}");
        assert!((good.judge_bias - 0.5).abs() < 0.1);
        let deaf = run(5, 0.0, Trust::Tuned);
        assert!(deaf.trust < 0.3 && deaf.estimate.standard_error <= 1.02 * deaf.human_standard_error, "{deaf:?}");
        let none = run(5, 0.95, Trust::Fixed(0.0));
        assert!((none.estimate.estimate - none.human_mean).abs() < 1e-12);
    }

    #[test]
    fn too_few_people_is_said() {
        let (few, many) = (Clusters::alone(5), Clusters::alone(100));
        let five = [1.0, 2.0, 3.0, 4.0, 5.0];
        let judge_alone: Vec<f64> = (0..100).map(f64::from).collect();
        let judged =
            Judged { human: &five, judge: &five, clusters: &few, judge_alone: &judge_alone, clusters_alone: &many };
        assert!(corrected_mean(&judged, Trust::Tuned, Level::default()).is_err());
    }
}
