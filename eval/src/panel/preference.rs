//! Which candidate people prefer, from pairs of answers.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Told;
use super::gold::share;
use crate::refusal::{Refusal, Result};
use crate::stats::Level;
use crate::stats::proportion::Share;
use crate::stats::ranking::{Duel, Outcome, Ranking, davidson};
use crate::stats::units::Clusters;

/// One person's choice between two candidates.
#[derive(Clone, Debug)]
pub struct Choice {
    pub first: String,
    pub second: String,
    pub outcome: Outcome,
    /// The independent unit it belongs to: the item, or whoever asked.
    pub unit: String,
    pub rater: String,
    /// Whether the first was shown on the left.
    pub first_on_left: bool,
}

/// Two candidates against each other.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    pub first: String,
    pub second: String,
    pub wins: usize,
    pub losses: usize,
    pub ties: usize,
    pub units: usize,
    /// (wins + ties/2) / all, choices of one unit not being independent.
    pub share: Told<Share>,
}

/// What people chose.
#[derive(Clone, Debug, Serialize)]
pub struct Preference {
    pub choices: usize,
    pub raters: usize,
    /// Of the choices that are no tie, how many went to the left side: far from one half, people choose by place.
    pub left: Told<Share>,
    pub pairs: Vec<Pair>,
}

/// Each pair of candidates, by name.
pub fn pairs(choices: &[Choice], level: Level) -> Preference {
    struct Held<'a> {
        scores: Vec<f64>,
        units: Vec<&'a str>,
    }
    let mut held: BTreeMap<(&str, &str), Held<'_>> = BTreeMap::new();
    for choice in choices {
        let (one, other) = (choice.first.as_str(), choice.second.as_str());
        let score = match choice.outcome {
            Outcome::First => 1.0,
            Outcome::Second => 0.0,
            Outcome::Tie => 0.5,
        };
        let (pair, score) = if one <= other { ((one, other), score) } else { ((other, one), 1.0 - score) };
        let entry = held.entry(pair).or_insert_with(|| Held { scores: Vec::new(), units: Vec::new() });
        entry.scores.push(score);
        entry.units.push(&choice.unit);
    }
    let pairs = held.into_iter().map(|((first, second), held)| {
        let clusters = Clusters::named(&held.units);
        let count = |wanted: f64| held.scores.iter().filter(|score| **score == wanted).count();
        Pair {
            first: first.to_owned(),
            second: second.to_owned(),
            wins: count(1.0),
            losses: count(0.0),
            ties: count(0.5),
            units: clusters.count(),
            share: share(&held.scores, &clusters, level).into(),
        }
    });
    let decided: Vec<&Choice> = choices.iter().filter(|choice| choice.outcome != Outcome::Tie).collect();
    let left: Vec<f64> = decided
        .iter()
        .map(|choice| f64::from(u8::from((choice.outcome == Outcome::First) == choice.first_on_left)))
        .collect();
    let clusters = Clusters::named(decided.iter().map(|choice| choice.unit.as_str()));
    Preference {
        choices: choices.len(),
        raters: choices.iter().map(|choice| choice.rater.as_str()).collect::<BTreeSet<_>>().len(),
        left: share(&left, &clusters, level).into(),
        pairs: pairs.collect(),
    }
}

/// Candidates by strength: see [`davidson`], whose errors count choices of one unit together.
pub fn ranking(choices: &[Choice], level: Level) -> Result<Ranking> {
    let names: BTreeSet<&str> = choices.iter().flat_map(|c| [c.first.as_str(), c.second.as_str()]).collect();
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let place = |name: &str| {
        let at = names.binary_search_by(|known| known.as_str().cmp(name));
        at.ok().and_then(|at| u32::try_from(at).ok())
    };
    let duels = choices
        .iter()
        .map(|choice| {
            let pair = place(&choice.first).zip(place(&choice.second));
            pair.map(|(first, second)| Duel { first, second, outcome: choice.outcome })
        })
        .collect::<Option<Vec<Duel>>>();
    let duels = duels.ok_or_else(|| Refusal::input("trop de candidats", "too many candidates"))?;
    let clusters = Clusters::named(choices.iter().map(|choice| choice.unit.as_str()));
    davidson(&names, &duels, Some(&clusters), level)
}
