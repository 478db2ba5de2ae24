//! Several people on the same items: what they may answer, how far they agree, how often they are right where the answer
//! is known, and which candidate they prefer.

mod agreement;
mod answer;
mod gold;
mod preference;

use serde::Serialize;

pub use agreement::{Agreement, agreement};
pub use answer::Answer;
pub use gold::{Accuracy, Checked, accuracy};
pub use preference::{Choice, Pair, Preference, pairs, ranking};

use crate::refusal::Refusal;

/// One person's answer to one criterion of one item.
#[derive(Clone, Debug)]
pub struct Rating {
    pub item: String,
    pub rater: String,
    /// The independent unit the item belongs to, an end user; the item itself where nothing else is known.
    pub unit: String,
    pub answer: Answer,
    /// Words of what is rated: a severity is per 1000 of them.
    pub words: Option<f64>,
}

/// A figure, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Told<T> {
    Said(T),
    Refused { refused: Refusal },
}

impl<T> From<Result<T, Refusal>> for Told<T> {
    fn from(result: Result<T, Refusal>) -> Told<T> {
        match result {
            Ok(said) => Told::Said(said),
            Err(refused) => Told::Refused { refused },
        }
    }
}

impl<T> Told<T> {
    pub fn said(&self) -> Option<&T> {
        match self {
            Told::Said(said) => Some(said),
            Told::Refused { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
