//! statsmodels, scikit-learn, krippendorff, choix and scipy.

use eval::random::Random;
use eval::stats::Level;
use eval::stats::alpha::{Metric, Ratings};
use eval::stats::bootstrap::Plan;
use eval::stats::kappa::{self, Weights};
use eval::stats::ranking::{Duel, Outcome, davidson};
use serde_json::{Map, json};

use crate::statistics::reference::{all_near, ask};

/// A rating that is often the truth.
fn rating(random: &mut Random, truth: u32, categories: u32) -> u32 {
    if random.unit() < 0.6 { truth } else { random.below(categories) }
}

#[test]
fn kappas() {
    let mut random = Random::new(21);
    let pairs: Vec<(Vec<usize>, Vec<usize>)> = [(30, 2), (200, 4), (500, 7)]
        .iter()
        .map(|(n, k)| {
            let truths: Vec<u32> = (0..*n).map(|_| random.below(*k)).collect();
            let mut rater = || truths.iter().map(|truth| rating(&mut random, *truth, *k) as usize).collect();
            (rater(), rater())
        })
        .collect();
    let counts: Vec<Vec<u32>> = (0..60)
        .map(|_| {
            let (truth, mut counts) = (random.below(4), vec![0; 4]);
            (0..5).for_each(|_| counts[rating(&mut random, truth, 4) as usize] += 1);
            counts
        })
        .collect();
    let kinds = [("none", Weights::None), ("linear", Weights::Linear), ("quadratic", Weights::Quadratic)];
    let mut cases = Map::new();
    for (i, (first, second)) in pairs.iter().enumerate() {
        for (name, _) in kinds {
            cases.insert(
                format!("{name}{i}"),
                json!({"kind": "cohen", "first": first, "second": second, "weights": name}),
            );
        }
    }
    cases.insert("fleiss".to_owned(), json!({"kind": "fleiss", "counts": counts}));
    let theirs = ask(&cases);
    for (i, (first, second)) in pairs.iter().enumerate() {
        let k = first.iter().chain(second).max().expect("some") + 1;
        for (name, weights) in kinds {
            let ours = kappa::cohen(first, second, k, weights, Level::default()).expect("a kappa");
            let case = format!("{name}{i}");
            theirs.near(&case, "estimate", ours.estimate, 1e-10);
            theirs.near(&case, "sklearn", ours.estimate, 1e-10);
            theirs.near(&case, "standard_error", ours.standard_error, 1e-10);
        }
    }
    theirs.near("fleiss", "estimate", kappa::fleiss(&counts, &Plan::default()).expect("a kappa").estimate, 1e-10);
}

/// The published matrix of Krippendorff (2011), and random ones with holes.
#[test]
fn alphas() {
    let published: Vec<Vec<f64>> = vec![
        vec![1., 1., 1.],
        vec![2., 2., 3., 2.],
        vec![3., 3., 3., 3.],
        vec![3., 3., 3., 3.],
        vec![2., 2., 2., 2.],
        vec![1., 2., 3., 4.],
        vec![4., 4., 4., 4.],
        vec![1., 1., 2., 1.],
        vec![2., 2., 2., 2.],
        vec![5., 5., 5.],
        vec![1., 1.],
        vec![3.],
    ];
    let mut random = Random::new(5);
    let mut matrices = vec![published];
    for (items, raters, categories) in [(20, 3, 5), (150, 6, 4), (40, 2, 9)] {
        let matrix = (0..items)
            .map(|_| {
                let truth = random.below(categories);
                (0..raters)
                    .filter_map(|_| {
                        let given = 1.0 + f64::from(rating(&mut random, truth, categories));
                        (random.unit() < 0.7).then_some(given)
                    })
                    .collect::<Vec<f64>>()
            })
            .filter(|item| !item.is_empty())
            .collect();
        matrices.push(matrix);
    }
    let metrics = [
        ("nominal", Metric::Nominal),
        ("ordinal", Metric::Ordinal),
        ("interval", Metric::Interval),
        ("ratio", Metric::Ratio),
    ];
    let mut cases = Map::new();
    for (i, items) in matrices.iter().enumerate() {
        for (name, _) in metrics {
            cases.insert(format!("{name}{i}"), json!({"kind": "alpha", "items": items, "metric": name}));
        }
    }
    let theirs = ask(&cases);
    for (i, items) in matrices.iter().enumerate() {
        for (name, metric) in metrics {
            let ours = Ratings::new(items, metric).and_then(|ratings| ratings.alpha()).expect("an alpha");
            theirs.near(&format!("{name}{i}"), "estimate", ours.estimate, 1e-9);
        }
    }
}

/// Duels among models of unequal strengths; one in four a tie where asked.
fn duels(seed: u64, models: u32, count: usize, ties: bool) -> Vec<Duel> {
    let mut random = Random::new(seed);
    (0..count)
        .map(|_| {
            let first = random.below(models);
            let second = (first + 1 + random.below(models - 1)) % models;
            let odds = 1.0 / (1.0 + (0.3 * (f64::from(first) - f64::from(second))).exp());
            let outcome = match random.unit() {
                _ if ties && random.unit() < 0.25 => Outcome::Tie,
                at if at < odds => Outcome::First,
                _ => Outcome::Second,
            };
            Duel { first, second, outcome }
        })
        .collect()
}

fn names(models: u32) -> Vec<String> {
    (0..models).map(|i| format!("m{i:02}")).collect()
}

/// Strengths and errors, in the order of models.
fn ours(models: u32, duels: &[Duel]) -> (Vec<f64>, Vec<f64>, f64) {
    let mut ranking = davidson(&names(models), duels, None, Level::default()).expect("a ranking");
    ranking.places.sort_by(|a, b| a.name.cmp(&b.name));
    let (strengths, errors) = ranking.places.iter().map(|place| (place.strength, place.standard_error)).unzip();
    (strengths, errors, ranking.tie_rate)
}

#[test]
fn rankings() {
    let (plain, tied) = (duels(1, 6, 900, false), duels(2, 5, 1_500, true));
    let mut wins = vec![vec![0; 6]; 6];
    for duel in &plain {
        let (winner, loser) =
            if duel.outcome == Outcome::First { (duel.first, duel.second) } else { (duel.second, duel.first) };
        wins[winner as usize][loser as usize] += 1;
    }
    let told: Vec<[u32; 3]> = tied
        .iter()
        .map(|duel| {
            let outcome = match duel.outcome {
                Outcome::First => 0,
                Outcome::Second => 1,
                Outcome::Tie => 2,
            };
            [duel.first, duel.second, outcome]
        })
        .collect();
    let mut cases = Map::new();
    cases.insert("choix".to_owned(), json!({"kind": "bradley_terry", "models": 6, "wins": wins}));
    cases.insert("davidson".to_owned(), json!({"kind": "davidson", "models": 5, "duels": told}));
    let theirs = ask(&cases);
    let centred = |strengths: Vec<f64>| {
        let mean = strengths.iter().sum::<f64>() / strengths.len() as f64;
        strengths.into_iter().map(|strength| strength - mean).collect::<Vec<f64>>()
    };
    let (strengths, _, ties) = ours(6, &plain);
    all_near("choix", &strengths, &centred(theirs.numbers("choix", "strengths")), 1e-5);
    assert!(ties.abs() < 1e-12);
    let (strengths, errors, ties) = ours(5, &tied);
    all_near("davidson", &strengths, &theirs.numbers("davidson", "strengths"), 1e-5);
    all_near("errors", &errors[..4], &theirs.numbers("davidson", "standard_errors"), 1e-4);
    theirs.near("davidson", "tie_rate", ties, 1e-5);
}
