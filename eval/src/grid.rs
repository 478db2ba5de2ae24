//! The evaluation grid: a YAML file of facets (« pans ») and criteria, checked as a whole, and scored from a table.
//!
//! A grid is data: who does not like ours writes another. Its hash goes into every report, so that a score is tied to the
//! questions that were asked.

mod agreement;
mod check;
mod distribution;
pub(crate) mod evidence;
mod model;
mod part;
mod problem;
mod profile;
mod read;
mod score;

pub use agreement::{Agrees, JudgeAgreement};
pub(crate) use agreement::{metric, of_judge};
pub use distribution::{Distribution, Slice};
pub use evidence::EvidenceTable;
pub use model::{AUTO, Criterion, Direction, Evidence, Facet, Grid, Scale, Text, USAGE};
pub use problem::Problem;
pub use profile::{Blocked, FacetScore, Report, Summary, Total};
pub use score::{CriterionScore, Figure, State, Veto};

use sha2::{Digest, Sha256};

/// The grid shipped with Guichet: ours, and replaceable.
pub const GUICHET_1: &str = include_str!("../grids/guichet-1.yaml");

impl Grid {
    /// A criterion by its id.
    pub fn criterion(&self, id: &str) -> Option<&Criterion> {
        self.facets.iter().flat_map(|facet| &facet.criteria).find(|criterion| criterion.id == id)
    }

    /// Reads a grid; all its problems at once.
    pub fn read(text: &str) -> Result<Grid, Vec<Problem>> {
        let document: serde_json::Value = serde_saphyr::from_str(text).map_err(|error| {
            vec![Problem::new(
                "",
                (format!("le YAML ne se lit pas : {error}"), format!("the YAML cannot be read: {error}")),
                ("corrigez la syntaxe à l’endroit dit", "mend the syntax where it is told"),
            )]
        })?;
        let mut problems = Vec::new();
        let mut grid = read::grid(&document, &mut problems);
        check::check(&grid, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        grid.hash = hash(&document);
        Ok(grid)
    }
}

/// SHA-256 of the document as JSON without white space, keys in order, numbers as their shortest decimal: comments, layout
/// and the order of keys do not count, all else does.
fn hash(document: &serde_json::Value) -> String {
    let mut text = String::new();
    canonical(document, &mut text);
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn canonical(value: &serde_json::Value, out: &mut String) {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push('{');
            for (place, key) in keys.into_iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                canonical(&map[key], out);
            }
            out.push('}');
        }
        Value::Array(list) => {
            out.push('[');
            for (place, value) in list.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                canonical(value, out);
            }
            out.push(']');
        }
        // 1 and 1.0 are one number.
        Value::Number(number) => out.push_str(&number.as_f64().map_or_else(|| number.to_string(), |n| n.to_string())),
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests;
