//! What a person says of a criterion, in its one written form.

use crate::grid::evidence::{Told, score};
use crate::grid::{Criterion, Scale};
use crate::table::{number, yes_or_no};

/// An answer that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `yes`, `no`; a category; a level; a number; of a pair `first`, `second`, `tie`.
    Value(String),
    NotApplicable,
    /// Asked, and left out on purpose.
    Skipped,
}

impl Answer {
    /// Reads what a person wrote: `oui`, `3`, `na` (« sans objet »), `passer` (left out). Of a pair, the side as it was
    /// shown: `A`, `B`, `nul`; A becomes `first`, or `second` where the sides were `swapped`.
    ///
    /// # Errors
    /// What it should have been, in French and English.
    pub fn read(criterion: &Criterion, said: &str, swapped: bool) -> Told<Answer> {
        let said = said.trim();
        match said.to_lowercase().as_str() {
            "na" | "n/a" | "sans objet" => return Ok(Answer::NotApplicable),
            "passer" | "skip" => return Ok(Answer::Skipped),
            _ => {}
        }
        let written = match &criterion.scale {
            Scale::Boolean => yes_or_no(said).map(|yes| if yes { "yes" } else { "no" }.to_owned()),
            Scale::Pairwise => side(said, swapped).map(str::to_owned),
            Scale::Nominal(_) => Some(said.to_owned()),
            Scale::Ordinal(_) | Scale::Interval { .. } | Scale::Severity { .. } => number(said).map(|n| n.to_string()),
        };
        let Some(written) = written else { return Err(wrong(criterion, said)) };
        // The scale itself says whether it is one of its values; words count only in the score.
        let scored = match criterion.scale {
            Scale::Pairwise => return Ok(Answer::Value(written)),
            _ => score(criterion, &written, "1000"),
        };
        scored.map(|_| Answer::Value(written)).map_err(|_| wrong(criterion, said))
    }

    /// As it is stored, and as a table of evidence reads it; none where it was left out.
    pub fn written(&self) -> Option<&str> {
        match self {
            Answer::Value(value) => Some(value),
            Answer::NotApplicable => Some("na"),
            Answer::Skipped => None,
        }
    }

    /// What [`Answer::written`] gave.
    pub fn stored(written: Option<String>) -> Answer {
        match written {
            None => Answer::Skipped,
            Some(value) if value == "na" => Answer::NotApplicable,
            Some(value) => Answer::Value(value),
        }
    }

    pub fn value(&self) -> Option<&str> {
        match self {
            Answer::Value(value) => Some(value),
            _ => None,
        }
    }
}

fn side(said: &str, swapped: bool) -> Option<&'static str> {
    match (said.to_lowercase().as_str(), swapped) {
        ("a", false) | ("b", true) => Some("first"),
        ("b", false) | ("a", true) => Some("second"),
        ("nul" | "tie" | "égalité" | "egalite", _) => Some("tie"),
        _ => None,
    }
}

fn wrong(criterion: &Criterion, said: &str) -> (String, String) {
    let said: String = said.chars().take(100).collect();
    let (fr, en) = match &criterion.scale {
        Scale::Boolean => ("oui ou non".to_owned(), "yes or no".to_owned()),
        Scale::Pairwise => ("A, B ou nul".to_owned(), "A, B or tie".to_owned()),
        Scale::Nominal(categories) => {
            let names = categories.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            (format!("l’une des catégories : {names}"), format!("one of the categories: {names}"))
        }
        Scale::Ordinal(levels) => {
            let names = levels.iter().map(|(level, _)| level.to_string()).collect::<Vec<_>>().join(", ");
            (format!("l’un des niveaux : {names}"), format!("one of the levels: {names}"))
        }
        Scale::Interval { .. } => ("un nombre".to_owned(), "a number".to_owned()),
        Scale::Severity { .. } => ("un nombre de points, positif ou nul".to_owned(), "points, not negative".to_owned()),
    };
    let id = &criterion.id;
    (
        format!("{id} : « {said} » n’est pas {fr} ; « na » si sans objet, « passer » pour laisser de côté"),
        format!("{id}: “{said}” is not {en}; “na” if not applicable, “skip” to leave it out"),
    )
}
