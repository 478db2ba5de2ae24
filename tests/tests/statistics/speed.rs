//! Figures to reach, in processor time of one thread so that a busy machine does not matter.

use eval::random::Random;
use eval::stats::Level;
use eval::stats::bootstrap::{self, Plan};
use eval::stats::ranking::{Duel, Outcome, davidson};
use eval::stats::units::{Clusters, Units};

/// Seconds this thread has computed.
fn computed() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    stat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).expect("nanoseconds") / 1e9
}

/// 10,000 resamples of 10,000 scores under two seconds.
#[test]
fn a_bootstrap_is_quick() {
    let mut random = Random::new(1);
    let values: Vec<f64> = (0..10_000).map(|_| random.normal()).collect();
    let units = Units::mean(&values, &Clusters::alone(10_000)).expect("units");
    let start = computed();
    let got = bootstrap::of_units(&units, &Plan::default()).expect("an interval");
    let spent = computed() - start;
    println!("bootstrap: {spent:.2} s");
    assert!(got.resamples == 10_000 && spent < 2.0, "{spent} s");
}

/// A hundred models and a million duels under five seconds, clustered by voter.
#[test]
fn a_ranking_is_quick() {
    let mut random = Random::new(2);
    let mut voters = Vec::new();
    let duels: Vec<Duel> = (0..1_000_000)
        .map(|_| {
            voters.push(random.below(50_000));
            let first = random.below(100);
            let second = (first + 1 + random.below(99)) % 100;
            let lead = (f64::from(second) - f64::from(first)) / 50.0;
            let outcome = match random.unit() {
                at if at < 0.2 => Outcome::Tie,
                at if at < 0.2 + 0.8 / (1.0 + (-lead).exp()) => Outcome::First,
                _ => Outcome::Second,
            };
            Duel { first, second, outcome }
        })
        .collect();
    let names: Vec<String> = (0..100).map(|i| format!("m{i:03}")).collect();
    let start = computed();
    let got = davidson(&names, &duels, Some(&Clusters::named(&voters)), Level::default()).expect("a ranking");
    let spent = computed() - start;
    println!("ranking: {spent:.2} s");
    assert!(got.places[0].name < got.places[99].name && spent < 5.0, "{spent} s");
}
