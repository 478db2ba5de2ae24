//! Whether a candidate may replace a baseline: non-inferiority on the items both answered.

mod words;

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::grid::{Blocked, Criterion, Evidence, EvidenceTable, Grid, JudgeAgreement, Total, Veto, of_judge};
use crate::refusal::Code;
use crate::stats::units::{Clusters, Units};
use crate::stats::{Estimate, Interval, Level, paired};
use crate::{Refusal, refusal};

/// What a gate says, worst last. The numbers are exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No criterion is worse by more than its margin, and we are sure of it.
    Pass,
    /// Too little to say.
    Inconclusive,
    /// A criterion is surely worse by more than its margin, or a veto fired.
    Regression,
}

impl Verdict {
    /// 0 pass, 1 regression, 2 inconclusive; 3 is kept for errors.
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Pass => 0,
            Verdict::Regression => 1,
            Verdict::Inconclusive => 2,
        }
    }
}

/// How much worse is still accepted, on scores from 0 to 1.
#[derive(Clone, Debug)]
pub struct Margins {
    pub usual: f64,
    pub own: BTreeMap<String, f64>,
}

/// What is asked of a gate.
#[derive(Clone, Debug)]
pub struct Ask {
    pub margins: Margins,
    /// Criteria to compare; all that have items when empty.
    pub criteria: Vec<String>,
    pub level: Level,
    /// Largest share of the baseline's items that the candidate may have left without an answer.
    pub unpaired: f64,
}

/// The tables a gate looks at.
pub struct Tables<'a> {
    pub baseline: &'a EvidenceTable,
    pub candidate: &'a EvidenceTable,
    /// Where people and the judge scored the same items; absent: whatever of it the two others hold.
    pub agreement: Option<&'a EvidenceTable>,
}

/// One criterion on paired items.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    pub criterion: String,
    /// Whose scores are compared: the same on both sides.
    pub source: String,
    pub margin: f64,
    pub verdict: Verdict,
    /// Candidate minus baseline, in score: under 0 is worse.
    pub difference: Option<Estimate>,
    /// The interval a regression is read on: wider, for all criteria together.
    pub family: Option<Interval>,
    /// Mean scores over pairs.
    pub baseline: Option<f64>,
    pub candidate: Option<f64>,
    pub pairs: usize,
    pub only_baseline: usize,
    pub only_candidate: usize,
    /// Whether the judge follows people, where scores are a judge's.
    pub judge: Option<JudgeAgreement>,
    /// Why nothing can be said.
    pub reason: Option<Refusal>,
}

/// The whole answer.
#[derive(Clone, Debug, Serialize)]
pub struct Gate {
    pub verdict: Verdict,
    pub level: f64,
    pub grid: String,
    pub grid_hash: String,
    pub criteria: Vec<Compared>,
    /// Vetoes that fire with the candidate's evidence.
    pub vetoes: Vec<String>,
    /// Vetoes that would fire, were the word of a judge who is not known to follow people taken.
    pub doubted: Vec<String>,
    /// A short text in French.
    pub fr: String,
}

/// Compares two tables of evidence of one grid.
///
/// On each criterion, the mean of paired differences (candidate − baseline) with its clustered interval
/// ([`paired::difference`]). Passes when the lower bound is over −margin, on every criterion: an intersection-union test
/// (Berger 1982), which needs no correction. A regression is an upper bound under −margin on one of m criteria, read at
/// level 1 − (1 − level)/m (Bonferroni), so that the chance of one false alarm stays under 1 − level. All else is
/// inconclusive, and so is what a judge alone says whose agreement with people is too little or unknown
/// ([`JudgeAgreement`]). Where nothing differs between n units, the bound is what no difference in n still allows:
/// 1 − (α/2)^(1/n) (Clopper & Pearson 1934).
pub fn compare(grid: &Grid, tables: &Tables<'_>, ask: &Ask) -> refusal::Result<Gate> {
    let Tables { baseline, candidate, agreement } = *tables;
    let own = [baseline, candidate];
    let people: Vec<&EvidenceTable> = agreement.map_or_else(|| own.to_vec(), |table| vec![table]);
    let known: Vec<&Criterion> = grid.facets.iter().flat_map(|facet| &facet.criteria).collect();
    for named in ask.criteria.iter().chain(ask.margins.own.keys()) {
        if !known.iter().any(|criterion| criterion.id == *named) {
            return Err(Refusal::input(
                format!("la grille n’a pas de critère « {named} »"),
                format!("the grid has no criterion “{named}”"),
            ));
        }
    }
    if let Some(margin) = ask.margins.own.values().chain([&ask.margins.usual]).find(|m| !(0.0..1.0).contains(*m)) {
        return Err(Refusal::input(
            format!("la marge {margin} n’est pas dans [0, 1["),
            format!("the margin {margin} is not in [0, 1)"),
        ));
    }
    let sides: Vec<(&Criterion, Sides)> = known
        .into_iter()
        .filter(|criterion| ask.criteria.is_empty() || ask.criteria.contains(&criterion.id))
        .filter_map(|criterion| Some((criterion, Sides::of_one_source(criterion, baseline, candidate)?)))
        .filter(|(criterion, sides)| ask.criteria.contains(&criterion.id) || !sides.empty())
        .collect();
    if sides.is_empty() {
        return Err(Refusal::input(
            "aucun critère n’a de réponses par élément des deux côtés",
            "no criterion has answers by item on both sides",
        ));
    }
    let family = Level::new(1.0 - (1.0 - ask.level.share()) / sides.len() as f64)?;
    let criteria: Vec<Compared> =
        sides.iter().map(|(criterion, sides)| compared(criterion, sides, &people, ask, family)).collect();
    let (vetoes, doubted) = fired(grid, candidate, &people, ask.level);
    let worst = criteria.iter().map(|one| one.verdict).max().unwrap_or(Verdict::Inconclusive);
    let verdict = match (vetoes.is_empty(), doubted.is_empty()) {
        (false, _) => Verdict::Regression,
        (true, false) => worst.max(Verdict::Inconclusive),
        (true, true) => worst,
    };
    let mut gate = Gate {
        verdict,
        level: ask.level.share(),
        grid: format!("{} {}", grid.id, grid.version),
        grid_hash: grid.hash.clone(),
        criteria,
        vetoes,
        doubted,
        fr: String::new(),
    };
    gate.fr = words::french(&gate);
    Ok(gate)
}

type Side = HashMap<String, (f64, String)>;

/// Scores by item, of one source: a person's beside a judge's would compare those two, not the candidates.
struct Sides {
    source: Evidence,
    baseline: Side,
    candidate: Side,
}

impl Sides {
    /// People where they scored enough on both sides, else the source with the most pairs.
    fn of_one_source(criterion: &Criterion, baseline: &EvidenceTable, candidate: &EvidenceTable) -> Option<Sides> {
        let sources = criterion.evidence.iter().filter(|source| !source.is_fact());
        sources
            .map(|source| {
                let of = |table: &EvidenceTable| table.by_item(&criterion.id, source);
                let sides = Sides { source: source.clone(), baseline: of(baseline), candidate: of(candidate) };
                let pairs = sides.pairs();
                ((*source == Evidence::Human && pairs >= criterion.minimum, pairs), sides)
            })
            .max_by_key(|(rank, _)| *rank)
            .map(|(_, sides)| sides)
    }

    fn pairs(&self) -> usize {
        self.baseline.keys().filter(|item| self.candidate.contains_key(*item)).count()
    }

    fn empty(&self) -> bool {
        self.baseline.is_empty() && self.candidate.is_empty()
    }
}

fn compared(criterion: &Criterion, sides: &Sides, people: &[&EvidenceTable], ask: &Ask, family: Level) -> Compared {
    let Sides { source, baseline, candidate } = sides;
    let margin = ask.margins.own.get(&criterion.id).copied().unwrap_or(ask.margins.usual);
    let mut items: Vec<&String> = baseline.keys().filter(|item| candidate.contains_key(*item)).collect();
    items.sort();
    let pairs = items.len();
    let mut told = Compared {
        criterion: criterion.id.clone(),
        source: source.to_string(),
        margin,
        verdict: Verdict::Inconclusive,
        difference: None,
        family: None,
        baseline: None,
        candidate: None,
        pairs,
        only_baseline: baseline.len() - pairs,
        only_candidate: candidate.len() - pairs,
        judge: matches!(source, Evidence::Judge(_)).then(|| of_judge(criterion, people, |other| other == source)),
        reason: None,
    };
    let scores = |side: &Side| items.iter().map(|item| side[*item].0).collect::<Vec<f64>>();
    let (before, after) = (scores(baseline), scores(candidate));
    if pairs > 0 {
        told.baseline = Some(crate::stats::mean(&before));
        told.candidate = Some(crate::stats::mean(&after));
    }
    let clusters = Clusters::named(items.iter().map(|item| baseline[*item].1.as_str()));
    let difference = |level: Level| -> refusal::Result<Estimate> {
        if pairs < criterion.minimum {
            let (fr, en) = ("éléments répondus des deux côtés", "items answered on both sides");
            return Err(Refusal::too_few(fr, en, pairs, criterion.minimum));
        }
        match paired::difference(&after, &before, &clusters, level) {
            Err(refusal) if refusal.code == Code::Undefined => unvaried(&after, &before, &clusters, level),
            found => found,
        }
    };
    match difference(ask.level).and_then(|found| Ok((found, difference(family)?))) {
        Err(refusal) => told.reason = Some(refusal),
        Ok((found, wide)) => {
            told.difference = Some(found);
            told.family = Some(wide.interval);
            let left = told.only_baseline as f64 / baseline.len().max(1) as f64;
            if wide.interval.high < -margin {
                told.verdict = Verdict::Regression;
            } else if left > ask.unpaired {
                told.reason = Some(Refusal::input(
                    format!(
                        "le candidat n’a pas de réponse à {} éléments de la référence : l’écart le flatterait",
                        told.only_baseline
                    ),
                    format!(
                        "the candidate has no answer to {} items of the baseline: the difference would flatter it",
                        told.only_baseline
                    ),
                ));
            } else if found.interval.low > -margin {
                told.verdict = Verdict::Pass;
            }
        }
    }
    if let Some(doubt) = told.judge.as_ref().and_then(JudgeAgreement::doubt).filter(|_| told.reason.is_none()) {
        told.verdict = Verdict::Inconclusive;
        told.reason = Some(doubt);
    }
    told
}

/// The same difference between all pairs: an error of zero would prove nothing, so that the interval is what the number of
/// units leaves open.
fn unvaried(after: &[f64], before: &[f64], clusters: &Clusters, level: Level) -> refusal::Result<Estimate> {
    let differences: Vec<f64> = after.iter().zip(before).map(|(one, other)| one - other).collect();
    let units = Units::mean(&differences, clusters)?;
    let half = 1.0 - (1.0 - level.upper()).powf(1.0 / units.count() as f64);
    Ok(Estimate {
        estimate: units.value(),
        standard_error: 0.0,
        interval: Interval::around(units.value(), half, level),
        n: units.observations(),
        units: units.count(),
        degrees_of_freedom: units.count() as f64 - 1.0,
    })
}

/// Vetoes that fire, and those that would on the word of a judge in doubt; those nobody can check are for the report, a
/// gate compares.
fn fired(
    grid: &Grid,
    candidate: &EvidenceTable,
    people: &[&EvidenceTable],
    level: Level,
) -> (Vec<String>, Vec<String>) {
    let Total::Blocked { by } = grid.score_beside(candidate, people, level).total else { return Default::default() };
    let named = |of: fn(&Blocked) -> bool| by.iter().filter(|one| of(one)).map(|one| one.criterion.clone()).collect();
    let under: fn(&Blocked) -> bool =
        |one| one.veto == Veto::Unknown && one.lower_bound.is_some_and(|low| low < one.threshold);
    (named(|one| one.veto == Veto::Fired), named(under))
}

#[cfg(test)]
mod tests;
