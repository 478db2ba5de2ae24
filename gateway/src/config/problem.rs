//! What is wrong in a configuration, where, and what to do.

use std::fmt;

/// One problem, for a person.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// File, environment variable or `embedded default`.
    pub origin: String,
    /// Path in the file, such as `models[0].deployments[1].hosting`; empty for the whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.origin)?;
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.remedy.is_empty() {
            write!(f, "\n    → {}", self.remedy)?;
        }
        Ok(())
    }
}
