//! What is wrong in a grid, where, and what to do.

use std::fmt;

use serde::Serialize;

use super::model::Text;

/// One problem, for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Path in the file, such as `facets[0].criteria[2].weight`; empty for the whole.
    pub path: String,
    pub message: Text,
    pub remedy: Text,
}

impl Problem {
    pub fn new(
        path: impl Into<String>,
        message: (impl Into<String>, impl Into<String>),
        remedy: (impl Into<String>, impl Into<String>),
    ) -> Problem {
        let text = |fr: String, en: String| Text { fr, en };
        Problem {
            path: path.into(),
            message: text(message.0.into(), message.1.into()),
            remedy: text(remedy.0.into(), remedy.1.into()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        let (message, remedy) = (&self.message, &self.remedy);
        write!(f, "{} / {}\n    → {} / {}", message.fr, message.en, remedy.fr, remedy.en)
    }
}
