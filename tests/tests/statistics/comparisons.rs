//! scipy and statsmodels.

use eval::random::Random;
use eval::stats::size::{self, Wanted};
use eval::stats::units::Clusters;
use eval::stats::{Level, paired};
use serde_json::{Map, json};

use crate::statistics::reference::{all_near, ask};

#[test]
fn paired_candidates() {
    let mut random = Random::new(31);
    let first: Vec<f64> = (0..70).map(|_| random.normal()).collect();
    let second: Vec<f64> = first.iter().map(|score| 0.8 * score + 0.5 * random.normal() - 0.2).collect();
    let tables = [(1, 7, 40), (12, 12, 60), (30, 11, 500), (0, 6, 6)];
    let p_values: Vec<f64> = (0..25).map(|_| random.unit().powi(3)).collect();
    let mut cases = Map::new();
    cases.insert("paired".to_owned(), json!({"kind": "paired", "first": first, "second": second, "level": 0.95}));
    cases.insert("holm".to_owned(), json!({"kind": "holm", "p_values": p_values}));
    for (i, (b, c, n)) in tables.iter().enumerate() {
        cases.insert(format!("m{i}"), json!({"kind": "mcnemar", "only_first": b, "only_second": c, "n": n}));
    }
    let theirs = ask(&cases);
    let ours = paired::difference(&first, &second, &Clusters::alone(70), Level::default()).expect("a difference");
    theirs.near("paired", "estimate", ours.estimate, 1e-10);
    theirs.near("paired", "low", ours.interval.low, 1e-8);
    theirs.near("paired", "high", ours.interval.high, 1e-8);
    all_near("holm", &paired::holm(&p_values).expect("adjusted"), &theirs.numbers("holm", "adjusted"), 1e-12);
    for (i, (b, c, n)) in tables.iter().enumerate() {
        let pairs = (0..*n).map(|i| (i < *b, i >= *b && i < b + c));
        let (first, second): (Vec<bool>, Vec<bool>) = pairs.unzip();
        let ours = paired::mcnemar(&first, &second).expect("a test");
        theirs.near(&format!("m{i}"), "p_value", ours.p_value, 1e-10);
    }
}

/// statsmodels takes the noncentral t, we Guenther's correction of the normal: one apart at most.
#[test]
fn sizes() {
    let wanted: Vec<(f64, f64, f64)> =
        [0.2, 0.5, 0.8].iter().flat_map(|d| [(*d, 0.05, 0.8), (*d, 0.01, 0.9)]).collect();
    let mut cases = Map::new();
    for (i, (effect, alpha, power)) in wanted.iter().enumerate() {
        cases.insert(format!("d{i}"), json!({"kind": "sample_size", "effect": effect, "alpha": alpha, "power": power}));
    }
    for (i, base) in [0.3, 0.6, 0.85].iter().enumerate() {
        let case = json!({"kind": "sample_size_shares", "base": base, "difference": 0.1, "alpha": 0.05, "power": 0.8});
        cases.insert(format!("s{i}"), case);
    }
    let theirs = ask(&cases);
    for (i, (effect, alpha, power)) in wanted.iter().enumerate() {
        let wanted = Wanted::new(*effect, *alpha, *power);
        let case = format!("d{i}");
        theirs.near(&case, "paired", size::paired(&wanted, 1.0).expect("a size").n as f64, 1.2);
        theirs.near(&case, "means", size::means(&wanted, 1.0).expect("a size").n as f64, 1.2);
    }
    for (i, base) in [0.3, 0.6, 0.85].iter().enumerate() {
        let ours = size::shares(&Wanted::new(0.1, 0.05, 0.8), *base).expect("a size").n as f64;
        theirs.near(&format!("s{i}"), "n", ours, 1.001);
    }
}
