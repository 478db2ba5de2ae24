//! How often each person is right on items whose answer is known.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Answer, Told};
use crate::refusal::{Refusal, Result};
use crate::stats::proportion::{self, Share};
use crate::stats::units::{Clusters, Units};
use crate::stats::{FEWEST_UNITS, Level};

/// One answer beside the one expected. An answer left out is none; « sans objet » is one.
#[derive(Clone, Debug)]
pub struct Checked {
    pub item: String,
    pub rater: String,
    pub criterion: String,
    pub answer: Answer,
    pub expected: Answer,
}

/// How often one person is right.
#[derive(Clone, Debug, Serialize)]
pub struct Accuracy {
    pub rater: String,
    /// Items whose answer is known, answers to their criteria, right ones among them.
    pub items: usize,
    pub answers: usize,
    pub right: usize,
    /// Over all answers, those to one item being one unit.
    pub share: Told<Share>,
    pub by_criterion: Vec<OnCriterion>,
}

/// The same on one criterion.
#[derive(Clone, Debug, Serialize)]
pub struct OnCriterion {
    pub criterion: String,
    pub answers: usize,
    pub right: usize,
    pub share: Told<Share>,
}

/// Accuracy of each person, by name.
pub fn accuracy(checked: &[Checked], level: Level) -> Vec<Accuracy> {
    let mut raters: BTreeMap<&str, Vec<&Checked>> = BTreeMap::new();
    for one in checked.iter().filter(|one| one.answer != Answer::Skipped) {
        raters.entry(&one.rater).or_default().push(one);
    }
    raters.into_iter().map(|(rater, answers)| of(rater, &answers, level)).collect()
}

fn of(rater: &str, answers: &[&Checked], level: Level) -> Accuracy {
    let right = |one: &&&Checked| one.answer == one.expected;
    let mut criteria: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for one in answers {
        let (n, hits) = criteria.entry(&one.criterion).or_default();
        *n += 1;
        *hits += usize::from(one.answer == one.expected);
    }
    let clusters = Clusters::named(answers.iter().map(|one| one.item.as_str()));
    let scores: Vec<f64> = answers.iter().map(|one| f64::from(u8::from(one.answer == one.expected))).collect();
    Accuracy {
        rater: rater.to_owned(),
        items: clusters.count(),
        answers: answers.len(),
        right: answers.iter().filter(right).count(),
        share: share(&scores, &clusters, level).into(),
        by_criterion: criteria
            .into_iter()
            .map(|(criterion, (n, right))| OnCriterion {
                criterion: criterion.to_owned(),
                answers: n,
                right,
                share: proportion::wilson(right, n, level).into(),
            })
            .collect(),
    }
}

/// A share whose answers are not independent within a unit.
pub(super) fn share(scores: &[f64], clusters: &Clusters, level: Level) -> Result<Share> {
    let units = clusters.count();
    if units < FEWEST_UNITS {
        return Err(Refusal::too_few("unités indépendantes", "independent units", units, FEWEST_UNITS));
    }
    let mean = Units::mean(scores, clusters)?;
    proportion::effective(mean.value().clamp(0.0, 1.0), mean.variance(), scores.len(), units, level)
}
