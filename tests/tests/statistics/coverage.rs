//! Simulations with seeds: intervals of 95 % cover the truth 93 to 97 times in a hundred.

use eval::random::Random;
use eval::stats::corrected::{Judged, Trust, corrected_mean};
use eval::stats::strata::{Stratum, stratified_mean};
use eval::stats::units::{Clusters, clustered_mean};
use eval::stats::{Interval, Level};

const SIZES: [usize; 3] = [50, 200, 1_000];

/// Share of worlds whose interval holds the truth, each world drawn from its own seed.
fn covered(worlds: u64, truth: f64, of: impl Fn(&mut Random) -> Interval) -> f64 {
    let held = (0..worlds).filter(|seed| of(&mut Random::new(1_000 + seed)).contains(truth)).count();
    held as f64 / worlds as f64
}

fn check(name: &str, units: usize, share: f64) {
    println!("{name}, {units} units: {:.1} %", 100.0 * share);
    assert!((0.93..=0.97).contains(&share), "{name}, {units} units: {share}");
}

/// Yes or no answers, one to eight by user; users differ.
#[test]
fn clustered_means_cover() {
    for units in SIZES {
        let share = covered(3_000, 0.7, |random| {
            let (mut values, mut names) = (Vec::new(), Vec::new());
            for user in 0..units as u32 {
                // Chances of 0.5, 0.7 or 0.9, whose mean is 0.7, whatever the number of answers.
                let chance = 0.5 + 0.2 * f64::from(random.below(3));
                for _ in 0..=random.below(8) {
                    values.push(f64::from(u8::from(random.unit() < chance)));
                    names.push(user);
                }
            }
            clustered_mean(&values, &Clusters::named(&names), Level::default()).expect("a mean").interval
        });
        check("clustered mean", units, share);
    }
}

/// Three strata of unlike sizes, means and spreads, drawn by equal parts.
#[test]
fn stratified_means_cover() {
    const SIZES_OF_STRATA: [f64; 3] = [1_000_000.0, 300_000.0, 50_000.0];
    let truths = [3.0, 4.0, 1.0];
    let total: f64 = SIZES_OF_STRATA.iter().sum();
    let truth: f64 = SIZES_OF_STRATA.iter().zip(truths).map(|(size, mean)| size * mean / total).sum();
    for units in SIZES {
        let share = covered(3_000, truth, |random| {
            let strata: Vec<Stratum> = (0..3)
                .map(|h| {
                    let values: Vec<f64> =
                        (0..units / 3).map(|_| truths[h] + (1.0 + h as f64) * random.normal()).collect();
                    let clusters = Clusters::alone(values.len());
                    Stratum { name: h.to_string(), population: SIZES_OF_STRATA[h], values, clusters }
                })
                .collect();
            stratified_mean(&strata, Level::default()).expect("a mean").interval
        });
        check("stratified mean", units, share);
    }
}

/// A judge that agrees with people four times in five, and is too kind.
#[test]
fn judge_corrected_means_cover() {
    for units in SIZES {
        let share = covered(3_000, 0.65, |random| {
            let mut score = || {
                let human = random.unit() < 0.65;
                let kind = if human { 0.95 } else { 0.4 };
                (f64::from(u8::from(human)), f64::from(u8::from(random.unit() < kind)))
            };
            let (human, judge): (Vec<f64>, Vec<f64>) = (0..units).map(|_| score()).unzip();
            let judge_alone: Vec<f64> = (0..4 * units).map(|_| score().1).collect();
            let (clusters, clusters_alone) = (Clusters::alone(units), Clusters::alone(4 * units));
            let (human, judge, judge_alone) = (&human[..], &judge[..], &judge_alone[..]);
            let judged = Judged { human, judge, clusters: &clusters, judge_alone, clusters_alone: &clusters_alone };
            corrected_mean(&judged, Trust::Tuned, Level::default()).expect("a mean").estimate.interval
        });
        check("judge-corrected mean", units, share);
    }
}
