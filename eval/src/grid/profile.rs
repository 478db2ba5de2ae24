//! The profile by facet first, then the total.

use serde::Serialize;

use super::evidence::EvidenceTable;
use super::model::{Facet, Grid, Text};
use super::part::Part;
use super::score::{self, CriterionScore, Figure, State, Veto};
use crate::stats::Level;
use crate::table::Broken;

/// What a grid says of a table of evidence.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub grid: Summary,
    pub level: f64,
    pub profile: Vec<FacetScore>,
    pub total: Total,
    /// Lines of evidence that were used, and those set aside.
    pub rows: usize,
    pub set_aside: Vec<Broken>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub id: String,
    pub version: String,
    pub title: Text,
    /// SHA-256 of the grid.
    pub hash: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct FacetScore {
    pub id: String,
    pub label: Text,
    pub weight: f64,
    pub state: State,
    /// Over what is conclusive.
    pub score: Option<Figure>,
    /// Share of the applicable weight that is conclusive.
    pub weight_covered: f64,
    /// The score, were all that is missing the worst, or the best.
    pub if_missing: Option<(f64, f64)>,
    /// Facets that count in this one.
    pub references: Vec<String>,
    pub criteria: Vec<CriterionScore>,
    #[serde(skip)]
    part: Option<Part>,
}

/// The total, or why there is none.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Total {
    Given {
        score: Figure,
        weight_covered: f64,
        if_missing: (f64, f64),
    },
    Blocked {
        by: Vec<Blocked>,
    },
    /// Nothing is conclusive.
    Inconclusive,
}

/// A veto that blocks the total.
#[derive(Clone, Debug, Serialize)]
pub struct Blocked {
    pub criterion: String,
    pub veto: Veto,
    pub threshold: f64,
    pub lower_bound: Option<f64>,
}

/// A mean of what is known, and how much is not.
struct Mean {
    state: State,
    part: Option<Part>,
    covered: f64,
    if_missing: Option<(f64, f64)>,
}

impl Grid {
    /// Scores the grid. Not applicable leaves the denominator; missing and inconclusive are shown, and are not zeros.
    pub fn score(&self, evidence: &EvidenceTable, level: Level) -> Report {
        self.score_beside(evidence, &[evidence], level)
    }

    /// The same, with judges held against people in other tables than the one that is scored.
    pub fn score_beside(&self, evidence: &EvidenceTable, people: &[&EvidenceTable], level: Level) -> Report {
        let mut profile: Vec<Option<FacetScore>> = self.facets.iter().map(|_| None).collect();
        for place in 0..self.facets.len() {
            self.facet(place, (evidence, people), level, &mut profile);
        }
        let profile: Vec<FacetScore> = profile.into_iter().flatten().collect();
        let total = self.total(&profile, level);
        Report {
            grid: Summary {
                id: self.id.clone(),
                version: self.version.clone(),
                title: self.title.clone(),
                hash: self.hash.clone(),
            },
            level: level.share(),
            profile,
            total,
            rows: evidence.rows,
            set_aside: evidence.broken.clone(),
        }
    }

    /// Scores a facet, those it references first: they do not go round in a grid that was checked.
    fn facet(
        &self,
        place: usize,
        (evidence, people): (&EvidenceTable, &[&EvidenceTable]),
        level: Level,
        profile: &mut [Option<FacetScore>],
    ) {
        if profile[place].is_some() {
            return;
        }
        let facet: &Facet = &self.facets[place];
        let inner: Vec<usize> =
            facet.references.iter().filter_map(|name| self.facets.iter().position(|other| other.id == *name)).collect();
        for other in &inner {
            self.facet(*other, (evidence, people), level, profile);
        }
        let criteria: Vec<CriterionScore> =
            facet.criteria.iter().map(|criterion| score::criterion(criterion, evidence, people, level)).collect();
        let referenced = inner.iter().filter_map(|other| profile[*other].as_ref()).map(Ingredient::facet);
        let mean = mean(criteria.iter().map(Ingredient::criterion).chain(referenced).collect());
        let figure = |part: &Part| Figure { estimate: part.estimate, interval: part.interval(level) };
        profile[place] = Some(FacetScore {
            id: facet.id.clone(),
            label: facet.label.clone(),
            weight: facet.weight,
            state: mean.state,
            score: mean.part.as_ref().map(figure),
            weight_covered: mean.covered,
            if_missing: mean.if_missing,
            references: facet.references.clone(),
            criteria,
            part: mean.part,
        });
    }

    fn total(&self, profile: &[FacetScore], level: Level) -> Total {
        let by: Vec<Blocked> = profile
            .iter()
            .flat_map(|facet| &facet.criteria)
            .filter_map(|criterion| {
                let veto = criterion.veto.filter(|veto| *veto != Veto::Lifted)?;
                Some(Blocked {
                    criterion: criterion.id.clone(),
                    veto,
                    threshold: criterion.veto_threshold?,
                    lower_bound: criterion.score.map(|figure| figure.interval.low),
                })
            })
            .collect();
        if !by.is_empty() {
            return Total::Blocked { by };
        }
        let inner = |facet: &FacetScore| self.facets.iter().any(|other| other.references.contains(&facet.id));
        let top = profile.iter().filter(|facet| !inner(facet));
        let mean = mean(top.map(Ingredient::facet).collect());
        match (mean.part, mean.if_missing) {
            (Some(part), Some(if_missing)) => {
                let score = Figure { estimate: part.estimate, interval: part.interval(level) };
                Total::Given { score, weight_covered: mean.covered, if_missing }
            }
            _ => Total::Inconclusive,
        }
    }
}

/// What a mean is made of.
struct Ingredient<'a> {
    weight: f64,
    state: State,
    part: Option<&'a Part>,
    covered: f64,
    if_missing: (f64, f64),
}

impl<'a> Ingredient<'a> {
    fn criterion(score: &'a CriterionScore) -> Ingredient<'a> {
        let part = score.part.as_ref();
        let if_missing = part.map_or((0.0, 1.0), |part| (part.estimate, part.estimate));
        Ingredient {
            weight: score.weight,
            state: score.state,
            part,
            covered: f64::from(u8::from(part.is_some())),
            if_missing,
        }
    }

    fn facet(score: &'a FacetScore) -> Ingredient<'a> {
        Ingredient {
            weight: score.weight,
            state: score.state,
            part: score.part.as_ref(),
            covered: score.weight_covered,
            if_missing: score.if_missing.unwrap_or((0.0, 1.0)),
        }
    }
}

fn mean(mut ingredients: Vec<Ingredient<'_>>) -> Mean {
    ingredients.retain(|one| one.state != State::NotApplicable);
    let all: f64 = ingredients.iter().map(|one| one.weight).sum();
    let known = || ingredients.iter().filter_map(|one| Some((one.weight, one.part?)));
    if known().next().is_some() {
        let mean =
            |of: fn(&Ingredient<'_>) -> f64| ingredients.iter().map(|one| one.weight * of(one)).sum::<f64>() / all;
        return Mean {
            state: State::Conclusive,
            part: Some(Part::mean(known())),
            covered: mean(|one| one.covered),
            if_missing: Some((mean(|one| one.if_missing.0), mean(|one| one.if_missing.1))),
        };
    }
    let state = match ingredients.iter().any(|one| one.state == State::Inconclusive) {
        true => State::Inconclusive,
        false if ingredients.is_empty() => State::NotApplicable,
        false => State::Missing,
    };
    Mean { state, part: None, covered: 0.0, if_missing: None }
}
