//! The report as one flat table, for other tools: a line for each facet, each criterion, and the total.

use super::Report;
use super::words;
use crate::columns::{Column, Columns};
use crate::grid::{CriterionScore, FacetScore, Figure, Total};
use crate::refusal::Result;

/// Names and kinds of columns: texts, then numbers.
const TEXTS: [&str; 10] =
    ["kind", "facet", "id", "label", "state", "basis", "veto", "reason", "grid_hash", "judge_doubt"];
const NUMBERS: [&str; 13] = [
    "weight",
    "score",
    "low",
    "high",
    "n",
    "units",
    "minimum",
    "coverage",
    "missing",
    "not_applicable",
    "alpha",
    "veto_threshold",
    "judge_alpha",
];

#[derive(Default)]
struct Line {
    texts: [Option<String>; TEXTS.len()],
    numbers: [Option<f64>; NUMBERS.len()],
}

impl Line {
    fn scored(mut self, figure: Option<&Figure>) -> Line {
        if let Some(figure) = figure {
            self.numbers[1] = Some(figure.estimate);
            self.numbers[2] = Some(figure.interval.low);
            self.numbers[3] = Some(figure.interval.high);
        }
        self
    }
}

impl Report {
    pub fn columns(&self) -> Columns {
        let mut lines: Vec<Line> = Vec::new();
        for facet in &self.scored.profile {
            lines.push(of_facet(facet));
            lines.extend(facet.criteria.iter().map(|criterion| of_criterion(facet, criterion)));
        }
        lines.push(of_total(&self.scored.total));
        let hash = &self.scored.grid.hash;
        lines.iter_mut().for_each(|line| line.texts[8] = Some(hash.clone()));
        let texts = TEXTS.iter().enumerate().map(|(place, name)| {
            let cells = lines.iter_mut().map(|line| line.texts[place].take()).collect();
            ((*name).to_owned(), Column::Text(cells))
        });
        let mut columns: Vec<(String, Column)> = texts.collect();
        columns.extend(NUMBERS.iter().enumerate().map(|(place, name)| {
            ((*name).to_owned(), Column::Number(lines.iter().map(|line| line.numbers[place]).collect()))
        }));
        Columns(columns)
    }

    pub fn csv(&self) -> Result<Vec<u8>> {
        self.columns().csv()
    }
}

fn named(kind: &str, facet: &str, id: &str, label: &str, state: &str) -> Line {
    let mut line = Line::default();
    for (place, text) in [kind, facet, id, label, state].into_iter().enumerate() {
        line.texts[place] = Some(text.to_owned());
    }
    line
}

fn of_facet(facet: &FacetScore) -> Line {
    let mut line = named("facet", &facet.id, &facet.id, &facet.label.fr, words::state(facet.state));
    line.numbers[0] = Some(facet.weight);
    line.numbers[7] = Some(facet.weight_covered);
    line.scored(facet.score.as_ref())
}

fn of_criterion(facet: &FacetScore, criterion: &CriterionScore) -> Line {
    let mut line = named("criterion", &facet.id, &criterion.id, &criterion.question.fr, words::state(criterion.state));
    line.texts[5] = criterion.basis.map(str::to_owned);
    line.texts[6] = criterion.veto.map(|veto| words::veto(veto).to_owned());
    line.texts[7] = criterion.reason.as_ref().map(|reason| reason.fr.clone());
    line.numbers[0] = Some(criterion.weight);
    let counts = [criterion.n, criterion.units, criterion.minimum];
    counts.into_iter().enumerate().for_each(|(place, count)| line.numbers[4 + place] = Some(count as f64));
    line.numbers[7] = criterion.coverage;
    (line.numbers[8], line.numbers[9]) = (Some(criterion.missing as f64), Some(criterion.not_applicable as f64));
    (line.numbers[10], line.numbers[11]) = (criterion.alpha.map(|alpha| alpha.estimate), criterion.veto_threshold);
    line.texts[9] = criterion.doubt().map(|doubt| doubt.fr);
    line.numbers[12] = criterion.judge.as_ref().and_then(|judge| Some(judge.alpha?.estimate));
    line.scored(criterion.score.as_ref())
}

fn of_total(total: &Total) -> Line {
    let (state, score, covered) = match total {
        Total::Given { score, weight_covered, .. } => ("concluant", Some(score), Some(*weight_covered)),
        Total::Blocked { .. } => ("bloqué par un veto", None, None),
        Total::Inconclusive => ("non concluant", None, None),
    };
    let mut line = named("total", "", "total", "Note d’ensemble", state);
    line.numbers[7] = covered;
    line.scored(score)
}
