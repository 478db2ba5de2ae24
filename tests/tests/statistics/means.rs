//! statsmodels, scipy, samplics and ppi-python.

use eval::random::Random;
use eval::stats::bootstrap::{self, Method, Plan};
use eval::stats::corrected::{Judged, Trust, corrected_mean};
use eval::stats::strata::{Stratum, stratified_mean};
use eval::stats::units::{Clusters, Units, clustered_mean};
use eval::stats::{Level, proportion, weighted};
use serde_json::{Map, json};

use crate::statistics::reference::ask;

/// Scores that resemble each other within units of unequal sizes.
fn clustered(seed: u64, units: u32) -> (Vec<f64>, Vec<u32>) {
    let mut random = Random::new(seed);
    let (mut values, mut names) = (Vec::new(), Vec::new());
    for unit in 0..units {
        let shared = random.normal();
        for _ in 0..1 + random.below(6) {
            values.push(2.0 + shared + random.normal());
            names.push(unit);
        }
    }
    (values, names)
}

#[test]
fn shares() {
    let level = Level::new(0.9).expect("a level");
    let pairs = [(0_usize, 20_usize), (3, 17), (81, 263), (499, 500), (12, 12)];
    let mut cases = Map::new();
    for (i, (x, n)) in pairs.iter().enumerate() {
        cases.insert(format!("w{i}"), json!({"kind": "wilson", "successes": x, "n": n, "level": 0.9}));
        let other = pairs[(i + 1) % pairs.len()];
        cases.insert(
            format!("n{i}"),
            json!({"kind": "newcombe", "first": [x, n], "second": [other.0, other.1], "level": 0.9}),
        );
    }
    let theirs = ask(&cases);
    for (i, (x, n)) in pairs.iter().enumerate() {
        let ours = proportion::wilson(*x, *n, level).expect("an interval").interval;
        theirs.near(&format!("w{i}"), "low", ours.low, 1e-9);
        theirs.near(&format!("w{i}"), "high", ours.high, 1e-9);
        let ours = proportion::newcombe((*x, *n), pairs[(i + 1) % pairs.len()], level).expect("an interval").interval;
        theirs.near(&format!("n{i}"), "low", ours.low, 1e-9);
        theirs.near(&format!("n{i}"), "high", ours.high, 1e-9);
    }
}

#[test]
fn means_of_clusters() {
    let level = Level::default();
    let mut cases = Map::new();
    for seed in 0..4_u64 {
        let (values, names) = clustered(seed, 10 + 20 * seed as u32);
        let case = json!({"kind": "clustered_mean", "values": values, "clusters": names, "level": 0.95});
        cases.insert(format!("c{seed}"), case);
    }
    let theirs = ask(&cases);
    for seed in 0..4 {
        let (values, names) = clustered(seed, 10 + 20 * seed as u32);
        let ours = clustered_mean(&values, &Clusters::named(&names), level).expect("a mean");
        let case = format!("c{seed}");
        theirs.near(&case, "estimate", ours.estimate, 1e-10);
        theirs.near(&case, "standard_error", ours.standard_error, 1e-10);
        theirs.near(&case, "low", ours.interval.low, 1e-8);
        theirs.near(&case, "high", ours.interval.high, 1e-8);
    }
}

/// Both draw at random: bounds agree within what 10,000 and 20,000 resamples leave to chance.
#[test]
fn bootstraps() {
    let mut random = Random::new(4);
    let skewed: Vec<f64> = (0..80).map(|_| random.normal().exp()).collect();
    let mut cases = Map::new();
    for method in ["percentile", "BCa"] {
        cases.insert(
            method.to_owned(),
            json!({"kind": "bootstrap_mean", "values": skewed, "level": 0.95, "method": method}),
        );
    }
    let theirs = ask(&cases);
    let units = Units::mean(&skewed, &Clusters::alone(80)).expect("units");
    for (name, method) in [("percentile", Method::Percentile), ("BCa", Method::Bca)] {
        let ours = bootstrap::of_units(&units, &Plan { method, ..Plan::default() }).expect("an interval");
        let tolerance = 0.08 * ours.standard_error;
        theirs.near(name, "standard_error", ours.standard_error, tolerance);
        theirs.near(name, "low", ours.interval.low, tolerance);
        theirs.near(name, "high", ours.interval.high, tolerance);
    }
}

#[test]
fn survey_samples() {
    let level = Level::default();
    let mut random = Random::new(9);
    let sizes = [("a", 400.0), ("b", 90.0), ("c", 3_000.0)];
    let strata: Vec<Stratum> = sizes
        .iter()
        .zip([25, 30, 12])
        .map(|((name, population), n)| {
            let values: Vec<f64> = (0..n).map(|_| population / 100.0 + random.normal()).collect();
            Stratum {
                name: (*name).to_owned(),
                population: *population,
                clusters: Clusters::alone(values.len()),
                values,
            }
        })
        .collect();
    let flat = |of: fn(&Stratum) -> serde_json::Value| -> Vec<serde_json::Value> {
        strata.iter().flat_map(|stratum| vec![of(stratum); stratum.values.len()]).collect()
    };
    let values: Vec<f64> = strata.iter().flat_map(|stratum| stratum.values.clone()).collect();
    let (scores, names) = clustered(77, 40);
    let chances: Vec<f64> = scores.iter().map(|score| (0.2 + 0.1 * score.abs()).min(1.0)).collect();
    let mut cases = Map::new();
    cases.insert(
        "stratified".to_owned(),
        json!({"kind": "survey", "values": values, "level": 0.95, "stratum": flat(|s| json!(s.name)), "population": flat(|s| json!(s.population))}),
    );
    for (name, total) in [("mean", false), ("total", true)] {
        let case = json!({"kind": "survey", "values": scores, "level": 0.95, "probability": chances, "cluster": names, "total": total});
        cases.insert(name.to_owned(), case);
    }
    let theirs = ask(&cases);
    let clusters = Clusters::named(&names);
    for (name, ours) in [
        ("stratified", stratified_mean(&strata, level)),
        ("mean", weighted::hajek_mean(&scores, &chances, &clusters, level)),
        ("total", weighted::horvitz_thompson_total(&scores, &chances, &clusters, level)),
    ] {
        let ours = ours.expect("an estimate");
        theirs.near(name, "estimate", ours.estimate, 1e-9 * ours.estimate.abs());
        theirs.near(name, "standard_error", ours.standard_error, 1e-9 * ours.standard_error);
    }
}

/// ppi-python divides variances by n where we divide by n − 1, and takes the normal where we take Student: its standard
/// error is found again from our two parts.
#[test]
fn judge_corrected_means() {
    let level = Level::default();
    let mut random = Random::new(12);
    let mut score = |skill: f64| {
        let truth = random.normal();
        (truth, skill * truth + random.normal())
    };
    let mut cases = Map::new();
    let mut inputs = Vec::new();
    for (n, rest, skill) in [(40, 900, 2.0), (200, 300, 0.3), (60, 5_000, 0.0)] {
        let (human, judge): (Vec<f64>, Vec<f64>) = (0..n).map(|_| score(skill)).unzip();
        inputs.push((human, judge, (0..rest).map(|_| score(skill).1).collect::<Vec<f64>>()));
    }
    for (i, (human, judge, judge_alone)) in inputs.iter().enumerate() {
        for trust in ["tuned", "full"] {
            let case = json!({"kind": "judge_corrected", "human": human, "judge": judge, "judge_alone": judge_alone, "level": 0.95, "trust": trust});
            cases.insert(format!("{trust}{i}"), case);
        }
    }
    let theirs = ask(&cases);
    for (i, (human, judge, judge_alone)) in inputs.iter().enumerate() {
        let (clusters, clusters_alone) = (Clusters::alone(human.len()), Clusters::alone(judge_alone.len()));
        for (name, trust) in [("tuned", Trust::Tuned), ("full", Trust::Full)] {
            let judged = Judged { human, judge, clusters: &clusters, judge_alone, clusters_alone: &clusters_alone };
            let ours = corrected_mean(&judged, trust, level).expect("a mean");
            let case = format!("{name}{i}");
            theirs.near(&case, "estimate", ours.estimate.estimate, 1e-9);
            let part = |error: f64, n: usize| error * error * (n as f64 - 1.0) / n as f64;
            let theirs_would_be =
                (part(ours.correction_error, human.len()) + part(ours.judge_error, judge_alone.len())).sqrt();
            theirs.near(&case, "standard_error_n", theirs_would_be, 1e-9);
        }
    }
}
