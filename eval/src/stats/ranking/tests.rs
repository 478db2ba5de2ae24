use super::*;
use crate::random::Random;
use crate::refusal::Code;

fn names(models: usize) -> Vec<String> {
    (0..models).map(|i| format!("m{i:02}")).collect()
}

fn duel(first: u32, second: u32, outcome: Outcome) -> Duel {
    Duel { first, second, outcome }
}

/// Duels drawn from the model itself.
fn drawn(seed: u64, strengths: &[f64], tie: f64, count: usize) -> Vec<Duel> {
    let mut random = Random::new(seed);
    (0..count)
        .map(|_| {
            let first = random.below(strengths.len() as u32);
            let second = (first + 1 + random.below(strengths.len() as u32 - 1)) % strengths.len() as u32;
            let lead = strengths[first as usize] - strengths[second as usize];
            let (win, lose, _) = chances(lead, (tie > 0.0).then(|| tie.ln()));
            let at = random.unit();
            let outcome = if at < win {
                Outcome::First
            } else if at < win + lose {
                Outcome::Second
            } else {
                Outcome::Tie
            };
            duel(first, second, outcome)
        })
        .collect()
}

/// Two models: strength difference is the log odds of wins, its error √(1/w + 1/l).
#[test]
fn two_models_by_hand() {
    let duels = [vec![duel(0, 1, Outcome::First); 30], vec![duel(1, 0, Outcome::First); 10]].concat();
    let got = davidson(&names(2), &duels, None, Level::default()).unwrap();
    let (one, two) = (&got.places[0], &got.places[1]);
    assert!((one.strength - two.strength - 3.0_f64.ln()).abs() < 1e-9, "{got:?}");
    assert!((one.standard_error - (1.0 / 30.0_f64 + 0.1).sqrt() / 2.0).abs() < 1e-9, "{got:?}");
    assert_eq!((one.rank_low, one.rank_high, two.rank_low, two.rank_high), (1, 1, 2, 2));
    // Ties: ν is their share over the geometric mean of wins.
    let tied = [duels, vec![duel(0, 1, Outcome::Tie); 20]].concat();
    let got = davidson(&names(2), &tied, None, Level::default()).unwrap();
    assert!((got.tie_rate - 20.0 / 300.0_f64.sqrt()).abs() < 1e-9, "{got:?}");
}

#[test]
fn what_was_put_in_is_found_again() {
    let truth = [1.0, 0.6, 0.5, -0.2, -0.7, -1.2];
    let got = davidson(&names(6), &drawn(3, &truth, 0.8, 30_000), None, Level::default()).unwrap();
    assert!((got.tie_rate - 0.8).abs() < 0.05);
    for place in &got.places {
        let i: usize = place.name[1..].parse().unwrap();
        assert!((place.strength - truth[i]).abs() < 0.06, "{place:?}");
        assert!(place.rank_low <= i + 1 && i < place.rank_high, "{place:?}");
    }
}

#[test]
fn copied_duels_of_one_annotator_bring_no_certainty() {
    let truth = [0.5, 0.0, -0.5];
    let duels = drawn(8, &truth, 0.5, 400);
    let ids: Vec<usize> = (0..400).collect();
    let alone = davidson(&names(3), &duels, Some(&Clusters::named(&ids)), Level::default()).unwrap();
    let (copies, copied_ids) = (duels.repeat(4), ids.repeat(4));
    let copied = davidson(&names(3), &copies, Some(&Clusters::named(&copied_ids)), Level::default()).unwrap();
    let naive = davidson(&names(3), &copies, None, Level::default()).unwrap();
    let plain = davidson(&names(3), &duels, None, Level::default()).unwrap();
    for i in 0..3 {
        let error = |ranking: &Ranking| ranking.places[i].standard_error;
        assert!((error(&alone) - error(&copied)).abs() < 1e-9);
        assert!((error(&naive) - error(&plain) / 2.0).abs() < 1e-9);
        assert!((error(&alone) / error(&plain) - 1.0).abs() < 0.15, "{} {}", error(&alone), error(&plain));
    }
}

#[test]
fn a_ranking_that_does_not_exist_is_refused() {
    let level = Level::default();
    let unbeaten = [duel(0, 1, Outcome::First), duel(1, 2, Outcome::First), duel(2, 1, Outcome::First)];
    let refusal = davidson(&names(3), &unbeaten, None, level).unwrap_err();
    assert_eq!(refusal.code, Code::Disconnected);
    assert!(refusal.fr.contains("m00") && refusal.fr.contains("duels"), "{refusal}");
    let islands = [(0, 1), (1, 0), (2, 3), (3, 2)].map(|(a, b)| duel(a, b, Outcome::First));
    assert_eq!(davidson(&names(4), &islands, None, level).unwrap_err().code, Code::Disconnected);
    let ties = [duel(0, 1, Outcome::Tie); 9];
    assert_eq!(davidson(&names(2), &ties, None, level).unwrap_err().code, Code::Undefined);
    assert_eq!(davidson(&names(2), &[duel(1, 1, Outcome::Tie)], None, level).unwrap_err().code, Code::Input);
    assert_eq!(davidson(&names(2), &[], None, level).unwrap_err().code, Code::Disconnected);
    assert_eq!(davidson(&names(1), &[], None, level).unwrap_err().code, Code::TooFew);
}

#[test]
fn equal_models_share_all_ranks() {
    let got = davidson(&names(5), &drawn(11, &[0.0; 5], 0.4, 2_000), None, Level::default()).unwrap();
    assert!(got.places.iter().all(|place| place.rank_low == 1 && place.rank_high == 5), "{got:?}");
}
