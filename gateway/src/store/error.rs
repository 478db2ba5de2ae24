//! What goes wrong in the store, by what the caller can do about it; and how it reads to a client, in one place.

use std::fmt;

use crate::error::ApiError;

/// A failure of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The database cannot be reached or does not answer in time: try again later.
    Unavailable(String),
    /// The change contradicts what is already there.
    Conflict(Words),
    /// The change makes no sense, whatever is there; `param` names the field at fault.
    Invalid { words: Words, param: &'static str },
    /// What the change is about does not exist.
    NotFound,
    /// Anything else: a bug, or a database that someone else changed.
    Other(String),
}

/// A message for a person, in both languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    pub french: &'static str,
    pub english: &'static str,
}

impl StoreError {
    pub fn conflict(french: &'static str, english: &'static str) -> StoreError {
        StoreError::Conflict(Words { french, english })
    }

    pub fn invalid(param: &'static str, french: &'static str, english: &'static str) -> StoreError {
        StoreError::Invalid { words: Words { french, english }, param }
    }

    pub fn is_unavailable(&self) -> bool {
        matches!(self, StoreError::Unavailable(_))
    }

    /// Turns a broken uniqueness into words about this very object.
    pub fn or_conflict(self, french: &'static str, english: &'static str) -> StoreError {
        match self {
            StoreError::Conflict(_) => StoreError::conflict(french, english),
            other => other,
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Unavailable(cause) => write!(f, "the database is unavailable: {cause}"),
            StoreError::Conflict(words) => f.write_str(words.english),
            StoreError::Invalid { words, param } => write!(f, "{param}: {}", words.english),
            StoreError::NotFound => f.write_str("not found"),
            StoreError::Other(cause) => write!(f, "the database failed: {cause}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> StoreError {
        use sqlx::error::ErrorKind;
        let text = error.to_string();
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => StoreError::Unavailable(text),
            sqlx::Error::Database(database) => match database.kind() {
                ErrorKind::UniqueViolation => {
                    StoreError::conflict("Cet objet existe déjà.", "This object already exists.")
                }
                ErrorKind::ForeignKeyViolation => StoreError::conflict(
                    "Un objet lié manque ou en dépend encore.",
                    "A related object is missing or still depends on it.",
                ),
                _ if passing(database.code().as_deref()) => StoreError::Unavailable(text),
                _ => StoreError::Other(text),
            },
            _ => StoreError::Other(text),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        let code = error.sqlite_error().map(|error| error.extended_code.to_string());
        if passing(code.as_deref()) {
            StoreError::Unavailable(error.to_string())
        } else {
            StoreError::Other(error.to_string())
        }
    }
}

/// Whether a database's own code speaks of a state that passes, or of its machine, rather than of our query.
fn passing(code: Option<&str>) -> bool {
    let Some(code) = code else { return false };
    // PostgreSQL: five characters; connection, resources, shutdown, operator, system, and transactions to redo; a lock
    // not to be had, a database that takes no connections.
    if code.len() == 5 {
        return ["08", "53", "57", "58", "40", "XX"].iter().any(|class| code.starts_with(class))
            || ["55P03", "55000"].contains(&code);
    }
    // SQLite: an extended code whose low byte is busy, locked, read-only, input/output, full or cannot open.
    code.parse::<u32>().is_ok_and(|code| [5, 6, 8, 10, 13, 14].contains(&(code & 0xff)))
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        match error {
            StoreError::Unavailable(cause) => ApiError::database(cause),
            StoreError::Conflict(words) => ApiError::conflict(words.french, words.english),
            StoreError::Invalid { words, param } => ApiError::bad_request(words.french, words.english).param(param),
            StoreError::NotFound => ApiError::not_found(),
            StoreError::Other(cause) => ApiError::internal(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_a_passing_state_are_told_from_bugs() {
        for code in ["08006", "57P03", "53300", "40001", "5", "261", "14", "13"] {
            assert!(passing(Some(code)), "{code}");
        }
        for code in ["42P01", "23505", "22021", "1", "19", "2067"] {
            assert!(!passing(Some(code)), "{code}");
        }
        assert!(!passing(None));
    }

    #[test]
    fn internals_never_reach_the_client() {
        let error = ApiError::from(StoreError::Other("no such table: keys".into()));
        assert_eq!(error.status(), 500);
        assert!(!error.body(crate::config::server::Language::En).to_string().contains("keys"));
        assert_eq!(ApiError::from(StoreError::Unavailable("x".into())).status(), 503);
    }
}
