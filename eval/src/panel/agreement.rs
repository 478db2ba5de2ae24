//! How far people agree on a criterion.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Answer, Rating, Told};
use crate::grid::{Criterion, Scale, metric};
use crate::refusal::{Refusal, Result};
use crate::stats::alpha::{Alpha, Metric, Ratings};
use crate::stats::bootstrap::{Plan, Resampled};
use crate::stats::kappa::{self, Kappa, Weights};
use crate::stats::units::Clusters;

/// Agreement on one criterion, by every measure that applies.
#[derive(Clone, Debug, Serialize)]
pub struct Agreement {
    pub criterion: String,
    pub scale: &'static str,
    /// Items that somebody answered, and among them those that two people or more did.
    pub items: usize,
    pub shared: usize,
    pub ratings: usize,
    pub raters: usize,
    /// Answers « sans objet », and answers left out: neither agrees nor disagrees.
    pub not_applicable: usize,
    pub skipped: usize,
    pub alpha: Told<AlphaTold>,
    pub fleiss: Told<FleissTold>,
    /// Each pair of people who answered two common items or more.
    pub cohen: Vec<CohenTold>,
}

/// Krippendorff's α.
#[derive(Clone, Debug, Serialize)]
pub struct AlphaTold {
    pub metric: Metric,
    #[serde(flatten)]
    pub alpha: Alpha,
    /// By bootstrap over units, end users where they are known; α may exist where this does not.
    pub interval: Told<Resampled>,
}

/// Fleiss' κ, over the items with the commonest number of answers.
#[derive(Clone, Debug, Serialize)]
pub struct FleissTold {
    /// Answers of each item.
    pub raters: usize,
    pub items: usize,
    /// Items with another number of answers, left out.
    pub left_out: usize,
    #[serde(flatten)]
    pub kappa: Resampled,
}

/// Cohen's κ of two people.
#[derive(Clone, Debug, Serialize)]
pub struct CohenTold {
    pub first: String,
    pub second: String,
    /// Items that both answered.
    pub items: usize,
    /// `none`, or `quadratic` where categories are ordered.
    pub weights: &'static str,
    pub kappa: Told<Kappa>,
}

/// An answer as a number: the place of its category, its level, its amount, its points per 1000 words.
fn number(criterion: &Criterion, rating: &Rating) -> Option<f64> {
    let value = rating.answer.value()?;
    match &criterion.scale {
        Scale::Boolean => Some(f64::from(u8::from(value == "yes"))),
        Scale::Nominal(categories) => categories.iter().position(|(name, _)| name == value).map(|at| at as f64),
        Scale::Pairwise => ["second", "tie", "first"].iter().position(|side| *side == value).map(|at| at as f64),
        Scale::Ordinal(_) | Scale::Interval { .. } => value.parse().ok(),
        Scale::Severity { .. } => {
            let words = rating.words.filter(|words| *words > 0.0)?;
            value.parse::<f64>().ok().map(|points| 1_000.0 * points / words)
        }
    }
}

/// Agreement on a criterion. `ratings` are of that criterion only; `plan` is of the bootstrap.
pub fn agreement(criterion: &Criterion, ratings: &[Rating], plan: &Plan) -> Agreement {
    let mut items: BTreeMap<&str, BTreeMap<&str, f64>> = BTreeMap::new();
    let mut units: BTreeMap<&str, &str> = BTreeMap::new();
    for rating in ratings {
        if let Some(value) = number(criterion, rating) {
            items.entry(&rating.item).or_default().insert(&rating.rater, value);
            units.insert(&rating.item, &rating.unit);
        }
    }
    let count = |wanted: &Answer| ratings.iter().filter(|rating| rating.answer == *wanted).count();
    let raters: BTreeSet<&str> = items.values().flat_map(|by| by.keys().copied()).collect();
    Agreement {
        criterion: criterion.id.clone(),
        scale: criterion.scale.name(),
        items: items.len(),
        shared: items.values().filter(|by| by.len() > 1).count(),
        ratings: items.values().map(BTreeMap::len).sum(),
        raters: raters.len(),
        not_applicable: count(&Answer::NotApplicable),
        skipped: count(&Answer::Skipped),
        alpha: alpha(criterion, &items, &Clusters::named(units.values()), plan).into(),
        fleiss: fleiss(criterion, &items, plan).into(),
        cohen: cohen(criterion, &items, &raters.into_iter().collect::<Vec<_>>(), plan),
    }
}

type Items<'a> = BTreeMap<&'a str, BTreeMap<&'a str, f64>>;

fn alpha(criterion: &Criterion, items: &Items<'_>, units: &Clusters, plan: &Plan) -> Result<AlphaTold> {
    let metric = metric(&criterion.scale);
    let values: Vec<Vec<f64>> = items.values().map(|by| by.values().copied().collect()).collect();
    let ratings = Ratings::in_units(&values, units, metric)?;
    Ok(AlphaTold { metric, alpha: ratings.alpha()?, interval: ratings.interval(plan).into() })
}

/// Categories that answers of this scale fall into, in their order; none where they are amounts.
fn categories(criterion: &Criterion) -> Result<Vec<f64>> {
    let places = |count: usize| (0..count).map(|at| at as f64).collect();
    match &criterion.scale {
        Scale::Boolean => Ok(places(2)),
        Scale::Pairwise => Ok(places(3)),
        Scale::Nominal(categories) => Ok(places(categories.len())),
        Scale::Ordinal(levels) => Ok(levels.iter().map(|(level, _)| *level).collect()),
        Scale::Interval { .. } | Scale::Severity { .. } => Err(Refusal::input(
            "κ compare des catégories ; pour des nombres, lisez α",
            "κ compares categories; for amounts, read α",
        )),
    }
}

fn fleiss(criterion: &Criterion, items: &Items<'_>, plan: &Plan) -> Result<FleissTold> {
    let categories = categories(criterion)?;
    let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
    for by in items.values().filter(|by| by.len() > 1) {
        *sizes.entry(by.len()).or_default() += 1;
    }
    // Of two numbers as common as each other, the larger.
    let Some((raters, among)) = sizes.into_iter().max_by_key(|(size, items)| (*items, *size)) else {
        return Err(Refusal::too_few(
            "éléments notés par deux personnes ou plus",
            "items rated by two people or more",
            0,
            2,
        ));
    };
    let counts: Vec<Vec<u32>> = items
        .values()
        .filter(|by| by.len() == raters)
        .map(|by| {
            let mut counts = vec![0; categories.len()];
            for value in by.values() {
                if let Some(at) = categories.iter().position(|category| category == value) {
                    counts[at] += 1;
                }
            }
            counts
        })
        .collect();
    let kappa = kappa::fleiss(&counts, plan)?;
    Ok(FleissTold { raters, items: among, left_out: items.len() - among, kappa })
}

fn cohen(criterion: &Criterion, items: &Items<'_>, raters: &[&str], plan: &Plan) -> Vec<CohenTold> {
    let Ok(categories) = categories(criterion) else { return Vec::new() };
    let (weights, name) = match criterion.scale {
        Scale::Ordinal(_) | Scale::Pairwise => (Weights::Quadratic, "quadratic"),
        _ => (Weights::None, "none"),
    };
    let place = |value: &f64| categories.iter().position(|category| category == value).unwrap_or(0);
    let mut told = Vec::new();
    for (at, one) in raters.iter().enumerate() {
        for other in &raters[at + 1..] {
            let both: Vec<(usize, usize)> =
                items.values().filter_map(|by| Some((place(by.get(one)?), place(by.get(other)?)))).collect();
            if both.len() < 2 {
                continue;
            }
            let (first, second): (Vec<usize>, Vec<usize>) = both.into_iter().unzip();
            let kappa = kappa::cohen(&first, &second, categories.len(), weights, plan.level);
            let (one, other) = ((*one).to_owned(), (*other).to_owned());
            told.push(CohenTold { first: one, second: other, items: first.len(), weights: name, kappa: kappa.into() });
        }
    }
    told
}
