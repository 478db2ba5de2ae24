//! The score of one criterion.

mod corrected;

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::agreement::{self, JudgeAgreement};
use super::evidence::{Answer, EvidenceTable, Line};
use super::model::{Criterion, Evidence, Scale, Text};
use super::part::Part;
use crate::refusal::{Refusal, Result};
use crate::stats::alpha::Alpha;
use crate::stats::units::{Clusters, Units};
use crate::stats::{FEWEST_UNITS, Interval, Level, proportion};

/// A score from 0 (worst) to 1 (best) and its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    pub estimate: f64,
    #[serde(flatten)]
    pub interval: Interval,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Conclusive,
    /// « Non concluant »: evidence, but too little to say.
    Inconclusive,
    /// No evidence at all.
    Missing,
    /// Every answer is « sans objet »: it leaves the denominator.
    NotApplicable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Veto {
    /// The lower bound is at the threshold or over it.
    Lifted,
    Fired,
    /// Not known, which blocks as well.
    Unknown,
}

#[derive(Clone, Debug, Serialize)]
pub struct CriterionScore {
    pub id: String,
    pub question: Text,
    pub scale: &'static str,
    pub weight: f64,
    pub state: State,
    pub score: Option<Figure>,
    /// Where the score comes from: `human`, `judge`, `judge_corrected`, `auto`, `attestation`, `usage`.
    pub basis: Option<&'static str>,
    /// Why there is no score.
    pub reason: Option<Refusal>,
    /// Items with an answer, independent units among them, and the least that is wanted.
    pub n: usize,
    pub units: usize,
    pub minimum: usize,
    /// Items with an answer over items it applies to; none for facts.
    pub coverage: Option<f64>,
    pub missing: usize,
    pub not_applicable: usize,
    /// Agreement of people, when several answered the same items; or why it cannot be told.
    pub alpha: Option<Alpha>,
    pub alpha_refused: Option<Refusal>,
    /// Whether the judge follows people, where one answered.
    pub judge: Option<JudgeAgreement>,
    /// Why a judge's answers count for nothing though there are some.
    pub judge_unused: Option<Refusal>,
    pub veto: Option<Veto>,
    pub veto_threshold: Option<f64>,
    #[serde(skip)]
    pub(super) part: Option<Part>,
}

impl CriterionScore {
    /// Why no decision may rest on this score: it is a judge's alone, and that judge is not known to follow people.
    pub fn doubt(&self) -> Option<Refusal> {
        (self.basis == Some("judge")).then(|| self.judge.as_ref()?.doubt()).flatten()
    }
}

/// One item of one source: the mean of its answers.
#[derive(Clone, Copy)]
struct Item<'a> {
    name: &'a str,
    unit: &'a str,
    score: f64,
    size: f64,
    probability: f64,
}

/// `people`: the tables in which judges are held against people.
pub(super) fn criterion(
    criterion: &Criterion,
    evidence: &EvidenceTable,
    people: &[&EvidenceTable],
    level: Level,
) -> CriterionScore {
    let none = Vec::new();
    let lines = evidence.lines.get(&criterion.id).unwrap_or(&none);
    let mut score = CriterionScore {
        id: criterion.id.clone(),
        question: criterion.question.clone(),
        scale: criterion.scale.name(),
        weight: criterion.weight,
        state: State::Missing,
        score: None,
        basis: None,
        reason: None,
        n: 0,
        units: 0,
        minimum: criterion.minimum,
        coverage: None,
        missing: 0,
        not_applicable: 0,
        alpha: None,
        alpha_refused: None,
        judge: None,
        judge_unused: None,
        veto: None,
        veto_threshold: criterion.veto,
        part: None,
    };
    if criterion.evidence.iter().all(Evidence::is_fact) {
        score.minimum = 1;
        fact(lines, level, &mut score);
    } else {
        sample(criterion, lines, evidence, level, &mut score);
        if answered(lines).any(|(line, ..)| is_judge(&line.source)) {
            score.judge = Some(agreement::of_judge(criterion, people, is_judge));
        }
    }
    let doubted = score.doubt().is_some();
    score.veto = criterion.veto.filter(|_| score.state != State::NotApplicable).map(|threshold| match score.score {
        None => Veto::Unknown,
        Some(_) if doubted => Veto::Unknown,
        Some(figure) if figure.interval.low < threshold => Veto::Fired,
        Some(_) => Veto::Lifted,
    });
    score
}

fn is_judge(source: &Evidence) -> bool {
    matches!(source, Evidence::Judge(_))
}

pub(super) fn answered(lines: &[Line]) -> impl Iterator<Item = (&Line, f64, f64)> {
    lines.iter().filter_map(|line| match line.answer {
        Answer::Score { score, size } => Some((line, score, size)),
        _ => None,
    })
}

/// An attestation or an indicator: known, not estimated. Bounds only if somebody gave them.
fn fact(lines: &[Line], level: Level, score: &mut CriterionScore) {
    let facts: Vec<(&Line, f64, f64)> = answered(lines).collect();
    score.not_applicable = lines.iter().filter(|line| line.answer == Answer::NotApplicable).count();
    score.missing = lines.iter().filter(|line| line.answer == Answer::Missing).count();
    score.n = facts.len();
    if facts.is_empty() {
        score.state = if score.not_applicable > 0 { State::NotApplicable } else { State::Missing };
        return;
    }
    let mean = |of: &dyn Fn(&Line, f64) -> f64| {
        facts.iter().map(|(line, value, _)| of(line, *value)).sum::<f64>() / facts.len() as f64
    };
    let estimate = mean(&|_, value| value);
    let low = mean(&|line, value| line.bounds.map_or(value, |bounds| bounds.0));
    let high = mean(&|line, value| line.bounds.map_or(value, |bounds| bounds.1));
    let extra = ((high - low) / (2.0 * level.z())).powi(2);
    score.state = State::Conclusive;
    score.basis = Some(if facts[0].0.source == Evidence::Attestation { "attestation" } else { "usage" });
    score.score = Some(Figure { estimate, interval: Interval::new(low, high, level) });
    score.part = Some(Part { estimate, extra, ..Part::default() });
}

/// Answers about items.
fn sample(criterion: &Criterion, lines: &[Line], evidence: &EvidenceTable, level: Level, score: &mut CriterionScore) {
    let scored: HashSet<&str> = answered(lines).map(|(line, ..)| line.item.as_str()).collect();
    let named = |wanted: Answer| -> HashSet<&str> {
        let of = lines.iter().filter(|line| line.answer == wanted && !scored.contains(line.item.as_str()));
        of.map(|line| line.item.as_str()).collect()
    };
    let not_applicable = named(Answer::NotApplicable);
    let items = if criterion.scale == Scale::Pairwise { &evidence.pairs } else { &evidence.items };
    let applicable = items.iter().filter(|item| !not_applicable.contains(item.as_str())).count();
    score.not_applicable = not_applicable.len();
    score.n = scored.len();
    score.missing = applicable - scored.len();
    score.coverage = (applicable > 0).then(|| scored.len() as f64 / applicable as f64);
    if scored.is_empty() {
        score.state = if not_applicable.is_empty() { State::Missing } else { State::NotApplicable };
        return;
    }
    agreement::of_people(criterion, lines, score);
    match estimated(lines, score, level) {
        Ok(estimated) => {
            score.state = State::Conclusive;
            score.basis = Some(estimated.basis);
            score.score = Some(estimated.figure);
            (score.n, score.units) = (estimated.n, estimated.units);
            score.part = Some(estimated.part);
        }
        Err(refusal) => {
            score.state = State::Inconclusive;
            score.reason = Some(refusal);
        }
    }
}

struct Estimated {
    basis: &'static str,
    figure: Figure,
    n: usize,
    units: usize,
    part: Part,
}

/// A judge's answers corrected by people's where both are enough; else people's alone; else a judge's; else a program's.
fn estimated(lines: &[Line], score: &mut CriterionScore, level: Level) -> Result<Estimated> {
    let minimum = score.minimum;
    let human = items(lines, |source| *source == Evidence::Human);
    let judge = items(lines, is_judge);
    let auto = items(lines, |source| matches!(source, Evidence::Auto(_)));
    if !human.is_empty() && !judge.is_empty() {
        match corrected::estimated(&human, &judge, lines, minimum, level) {
            Ok(estimated) => return Ok(estimated),
            Err(why) => score.judge_unused = Some(why),
        }
    }
    let (basis, items) = match (human.is_empty(), judge.is_empty()) {
        (false, _) => ("human", human),
        (true, false) => ("judge", judge),
        (true, true) => ("auto", auto),
    };
    enough(items.len(), minimum)?;
    plain(basis, &items, level)
}

fn enough(n: usize, minimum: usize) -> Result<()> {
    if n >= minimum {
        return Ok(());
    }
    Err(Refusal::too_few("non concluant : éléments notés", "inconclusive: items scored", n, minimum))
}

fn items<'a>(lines: &'a [Line], of: impl Fn(&Evidence) -> bool) -> Vec<Item<'a>> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut items: Vec<(Item<'a>, f64)> = Vec::new();
    for (line, score, size) in answered(lines).filter(|(line, ..)| of(&line.source)) {
        let place = *places.entry(&line.item).or_insert_with(|| {
            let (name, unit, probability) = (line.item.as_str(), line.unit.as_str(), line.probability);
            items.push((Item { name, unit, score: 0.0, size: 0.0, probability }, 0.0));
            items.len() - 1
        });
        let (item, count) = &mut items[place];
        item.score += score;
        item.size += size;
        *count += 1.0;
    }
    items.into_iter().map(|(item, count)| Item { score: item.score / count, size: item.size / count, ..item }).collect()
}

fn plain(basis: &'static str, items: &[Item<'_>], level: Level) -> Result<Estimated> {
    let clusters = Clusters::named(items.iter().map(|item| item.unit));
    let sizes: Vec<f64> = items.iter().map(|item| item.size / item.probability).collect();
    let tops: Vec<f64> = items.iter().zip(&sizes).map(|(item, size)| item.score * size).collect();
    let units = Units::ratio(&tops, &sizes, &clusters)?;
    let count = units.count();
    if count < FEWEST_UNITS {
        return Err(Refusal::too_few(
            "non concluant : unités indépendantes",
            "inconclusive: independent units",
            count,
            FEWEST_UNITS,
        ));
    }
    let (estimate, variance) = (units.value().clamp(0.0, 1.0), units.variance());
    let yes_or_no = items.iter().all(|item| item.score == 0.0 || item.score == 1.0);
    let nothing_varies = variance < 1e-15;
    let freedom = count as f64 - 1.0;
    let interval = if yes_or_no || nothing_varies {
        proportion::effective(estimate, variance, items.len(), count, level)?.interval
    } else {
        let half = level.t(freedom) * variance.sqrt();
        Interval::new((estimate - half).max(0.0), (estimate + half).min(1.0), level)
    };
    let correction = (count as f64 / freedom).sqrt();
    let mut part = Part { estimate, freedom: Some(freedom), ..Part::default() };
    if nothing_varies {
        let half = (estimate - interval.low).max(interval.high - estimate);
        part.extra = (half / level.t(freedom)).powi(2);
    } else {
        let names = first_names(items, &clusters);
        part.pulls = names.into_iter().zip(units.influences()).map(|(name, pull)| (name, pull * correction)).collect();
    }
    Ok(Estimated { basis, figure: Figure { estimate, interval }, n: items.len(), units: count, part })
}

/// Names of units, in their order.
fn first_names(items: &[Item<'_>], clusters: &Clusters) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(clusters.count());
    for (item, unit) in items.iter().zip(clusters.of()) {
        if *unit as usize == names.len() {
            names.push(item.unit.to_owned());
        }
    }
    names
}
