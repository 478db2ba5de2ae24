//! How answers to a criterion spread, and over whom.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::evidence::{Answer, EvidenceTable};
use super::model::{Criterion, Direction, Scale};

/// Answers to one criterion from one source.
#[derive(Clone, Debug, Serialize)]
pub struct Distribution {
    pub criterion: String,
    /// `human`, `judge:…`, `auto:…`.
    pub source: String,
    pub slices: Vec<Slice>,
    pub missing: usize,
    pub not_applicable: usize,
    /// Independent units among the answers.
    pub units: usize,
}

/// Answers of one level, worst first.
#[derive(Clone, Debug, Serialize)]
pub struct Slice {
    pub label: String,
    pub answers: usize,
    pub units: usize,
}

/// How many equal slices a scale without levels is cut in.
const SLICES: usize = 5;

impl EvidenceTable {
    /// Distributions of a criterion, one a source that is not a fact.
    pub fn distributions(&self, criterion: &Criterion) -> Vec<Distribution> {
        let mut by_source: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for line in self.lines.get(&criterion.id).into_iter().flatten().filter(|line| !line.source.is_fact()) {
            by_source.entry(line.source.to_string()).or_default().push(line);
        }
        let levels = levels(criterion);
        let sources = by_source.into_iter().map(|(source, lines)| {
            let mut found: Vec<(usize, HashSet<&str>)> = vec![(0, HashSet::new()); levels.len()];
            let count = |wanted: Answer| lines.iter().filter(|line| line.answer == wanted).count();
            let mut units: HashSet<&str> = HashSet::new();
            for line in &lines {
                if let Answer::Score { score, .. } = line.answer {
                    let place = levels.iter().rposition(|(from, _)| score >= *from - 1e-9).unwrap_or(0);
                    if let Some(slice) = found.get_mut(place) {
                        slice.0 += 1;
                        slice.1.insert(&line.unit);
                    }
                    units.insert(&line.unit);
                }
            }
            let slices = levels.iter().zip(found);
            Distribution {
                criterion: criterion.id.clone(),
                source,
                slices: slices
                    .map(|((_, label), (answers, units))| Slice { label: label.clone(), answers, units: units.len() })
                    .collect(),
                missing: count(Answer::Missing),
                not_applicable: count(Answer::NotApplicable),
                units: units.len(),
            }
        });
        sources.collect()
    }
}

/// Scores levels start from, worst first, and their names in French.
fn levels(criterion: &Criterion) -> Vec<(f64, String)> {
    let mut levels: Vec<(f64, String)> = match &criterion.scale {
        Scale::Boolean if criterion.direction == Direction::Lower => vec![(0.0, "oui".into()), (1.0, "non".into())],
        Scale::Boolean => vec![(0.0, "non".into()), (1.0, "oui".into())],
        Scale::Pairwise => vec![(0.0, "perdu".into()), (0.5, "nul".into()), (1.0, "gagné".into())],
        Scale::Nominal(scores) => {
            // Categories of one score are told together: a score is all that is kept.
            let mut named: Vec<(f64, String)> = Vec::new();
            for (name, score) in scores {
                match named.iter_mut().find(|(other, _)| other == score) {
                    Some((_, names)) => names.push_str(&format!(", {name}")),
                    None => named.push((*score, name.clone())),
                }
            }
            named
        }
        Scale::Ordinal(levels) => {
            let (first, last) =
                (levels.first().map_or(0.0, |level| level.0), levels.last().map_or(1.0, |level| level.0));
            let scored = levels.iter().map(|(value, text)| {
                let rising = (value - first) / (last - first);
                let score = if criterion.direction == Direction::Lower { 1.0 - rising } else { rising };
                (score, format!("{value} {}", text.fr))
            });
            scored.collect()
        }
        Scale::Interval { .. } | Scale::Severity { .. } => (0..SLICES)
            .map(|slice| {
                let bound = |of: usize| format!("{:.1}", of as f64 / SLICES as f64).replace('.', ",");
                (slice as f64 / SLICES as f64, format!("note de {} à {}", bound(slice), bound(slice + 1)))
            })
            .collect(),
    };
    levels.sort_by(|one, other| one.0.total_cmp(&other.0));
    levels
}
