//! Agreement on a criterion: of people among themselves, and of a judge with people.

use std::collections::BTreeMap;

use serde::Serialize;

use super::evidence::{EvidenceTable, Line};
use super::model::{Criterion, Evidence, Scale};
use super::score::{CriterionScore, answered};
use crate::refusal::{Code, Refusal};
use crate::report::words;
use crate::stats::FEWEST_UNITS;
use crate::stats::alpha::{Alpha, Metric, Ratings};

/// Whether a judge follows people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Agrees {
    Enough,
    TooLittle,
    /// Nobody knows: people scored none of the judge's items, or too few, or nothing varies.
    Unmeasured,
}

/// A judge beside people, on the items that both scored.
#[derive(Clone, Debug, Serialize)]
pub struct JudgeAgreement {
    pub agrees: Agrees,
    /// Krippendorff's α of two raters: the judge, and people taken together.
    pub alpha: Option<Alpha>,
    /// Why there is no α.
    pub refused: Option<Refusal>,
    /// The least α that is enough, as the grid has it.
    pub threshold: f64,
}

impl JudgeAgreement {
    /// Why the judge alone decides nothing; none when it agrees enough.
    pub fn doubt(&self) -> Option<Refusal> {
        match (self.agrees, &self.alpha, &self.refused) {
            (Agrees::Enough, ..) => None,
            (Agrees::TooLittle, Some(alpha), _) => {
                let (value, bar) = (alpha.estimate, self.threshold);
                Some(Refusal::new(
                    Code::Judge,
                    format!(
                        "accord insuffisant du juge avec les personnes (α {} sur {} éléments, il faut {})",
                        words::score(value),
                        alpha.items,
                        words::number(bar)
                    ),
                    format!(
                        "the judge agrees too little with people (α {value:.2} over {} items, {bar} is wanted)",
                        alpha.items
                    ),
                ))
            }
            (Agrees::TooLittle, None, _) => Some(Refusal::new(
                Code::Judge,
                "accord insuffisant du juge avec les personnes",
                "the judge agrees too little with people",
            )),
            (Agrees::Unmeasured, _, why) => {
                let told = |of: fn(&Refusal) -> &String| {
                    why.as_ref().map_or_else(String::new, |why| format!(" ({})", of(why)))
                };
                Some(Refusal::new(
                    Code::Judge,
                    format!("accord du juge avec les personnes non mesuré{}", told(|why| &why.fr)),
                    format!("the judge’s agreement with people was not measured{}", told(|why| &why.en)),
                ))
            }
        }
    }

    /// What too few users stand behind is not shown.
    pub(crate) fn hide(&mut self) {
        self.alpha = None;
    }
}

/// How far two answers on a scale are apart.
pub(crate) fn metric(scale: &Scale) -> Metric {
    match scale {
        Scale::Boolean | Scale::Nominal(_) => Metric::Nominal,
        Scale::Ordinal(_) | Scale::Pairwise => Metric::Ordinal,
        Scale::Interval { .. } | Scale::Severity { .. } => Metric::Interval,
    }
}

/// α of people, where several answered the same items.
pub(super) fn of_people(criterion: &Criterion, lines: &[Line], score: &mut CriterionScore) {
    let mut ratings: BTreeMap<&str, BTreeMap<&str, f64>> = BTreeMap::new();
    for (line, value, _) in
        answered(lines).filter(|(line, ..)| line.source == Evidence::Human && !line.rater.is_empty())
    {
        ratings.entry(&line.item).or_default().insert(&line.rater, value);
    }
    let items: Vec<Vec<f64>> = ratings.into_values().map(|raters| raters.into_values().collect()).collect();
    if !items.iter().any(|raters: &Vec<f64>| raters.len() > 1) {
        return;
    }
    match Ratings::new(&items, metric(&criterion.scale)).and_then(|ratings| ratings.alpha()) {
        Ok(alpha) => score.alpha = Some(alpha),
        Err(refusal) => score.alpha_refused = Some(refusal),
    }
}

/// α between a judge and people, each item of each table once: what most people said where answers are categories (items
/// without a majority are left out), else their mean.
pub(crate) fn of_judge(
    criterion: &Criterion,
    tables: &[&EvidenceTable],
    judge: impl Fn(&Evidence) -> bool,
) -> JudgeAgreement {
    let metric = metric(&criterion.scale);
    let mut pairs: Vec<Vec<f64>> = Vec::new();
    for table in tables {
        let mut items: BTreeMap<&str, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
        for (line, value, _) in table.lines.get(&criterion.id).into_iter().flat_map(|lines| answered(lines)) {
            if line.source == Evidence::Human {
                items.entry(&line.item).or_default().0.push(value);
            } else if judge(&line.source) {
                items.entry(&line.item).or_default().1.push(value);
            }
        }
        pairs.extend(
            items
                .values()
                .filter_map(|(people, judge)| Some(vec![together(people, metric)?, together(judge, metric)?])),
        );
    }
    let threshold = criterion.judge_agreement;
    let alpha = if pairs.len() < FEWEST_UNITS {
        let fr = "éléments notés à la fois par des personnes et par le juge";
        Err(Refusal::too_few(fr, "items scored by people and by the judge", pairs.len(), FEWEST_UNITS))
    } else {
        Ratings::new(&pairs, metric).and_then(|ratings| ratings.alpha())
    };
    let agrees = match &alpha {
        Ok(alpha) if alpha.estimate >= threshold => Agrees::Enough,
        Ok(_) => Agrees::TooLittle,
        Err(_) => Agrees::Unmeasured,
    };
    let (alpha, refused) = alpha.map_or_else(|why| (None, Some(why)), |alpha| (Some(alpha), None));
    JudgeAgreement { agrees, alpha, refused, threshold }
}

/// One value of several: the most frequent category, or the mean.
fn together(values: &[f64], metric: Metric) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    if metric != Metric::Nominal {
        return Some(crate::stats::mean(values));
    }
    let times = |value: f64| values.iter().filter(|other| **other == value).count();
    let most = values.iter().map(|value| times(*value)).max()?;
    let mut first: Vec<f64> = values.iter().copied().filter(|value| times(*value) == most).collect();
    first.dedup();
    first.iter().all(|value| *value == first[0]).then(|| first[0])
}
