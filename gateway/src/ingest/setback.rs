//! Why a document does not go on: for now, or for good.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use rag::Refusal;
use rag::index::IndexError;

use super::ParseError;
use crate::config::server::Language;
use crate::error::ApiError;
use crate::store::StoreError;

/// First wait of a document that has to come back, and the longest: both double with each try in between.
const SOON: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(60);

/// What keeps a document from going on.
#[derive(Clone, Debug)]
pub enum Setback {
    /// It comes back by itself; the words say what it waits for. `after` is when that makes sense, where known.
    Later { words: Words, after: Option<Duration> },
    /// It never will.
    Failed(Words),
    /// It was deleted, or another worker has it.
    Gone,
}

/// A reason for a person: French, English.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    pub french: String,
    pub english: String,
}

impl Words {
    pub fn new(french: impl Into<String>, english: impl Into<String>) -> Words {
        Words { french: french.into(), english: english.into() }
    }
}

impl Setback {
    pub fn later(french: impl Into<String>, english: impl Into<String>) -> Setback {
        Setback::Later { words: Words::new(french, english), after: None }
    }

    pub fn failed(french: impl Into<String>, english: impl Into<String>) -> Setback {
        Setback::Failed(Words::new(french, english))
    }

    /// The setback of one of several: nobody knows which of them is at fault for good, so each comes back alone.
    #[must_use]
    pub fn alone(&self) -> Setback {
        match self {
            Setback::Failed(words) => Setback::Later { words: words.clone(), after: Some(Duration::ZERO) },
            other => other.clone(),
        }
    }
}

/// What is in the way of documents, by their ids.
pub type Setbacks = HashMap<i64, Setback>;

/// One setback for all these documents.
pub fn of_all(setback: &Setback, documents: impl IntoIterator<Item = i64>) -> Setbacks {
    let documents: BTreeSet<i64> = documents.into_iter().collect();
    let setback = if documents.len() > 1 { setback.alone() } else { setback.clone() };
    documents.into_iter().map(|document| (document, setback.clone())).collect()
}

/// How long a document waits that has come back so many times. A quota may be raised before it resets, so that even a
/// known end of the wait is looked at from time to time.
pub fn pause(attempts: i64, after: Option<Duration>) -> Duration {
    let doubled = SOON.saturating_mul(1 << attempts.clamp(0, 6));
    let grown = doubled.min(LATE);
    match after {
        Some(after) => after.max(Duration::from_millis(100)).min(grown.max(SOON)),
        None => grown,
    }
}

/// What is said while the index does not answer.
pub fn index_is_away() -> Words {
    Words::new(
        "L’index ne répond pas ; le traitement reprendra de lui-même.",
        "The index does not answer; the work will resume by itself.",
    )
}

impl From<StoreError> for Setback {
    fn from(error: StoreError) -> Setback {
        tracing::warn!(%error, "a document waits for the database");
        Setback::later(
            "La base de données ne répond pas ; le traitement reprendra de lui-même.",
            "The database does not answer; the work will resume by itself.",
        )
    }
}

impl From<IndexError> for Setback {
    fn from(error: IndexError) -> Setback {
        match error {
            IndexError::Dimensions { expected, found } => Setback::failed(
                format!("Le modèle donne des vecteurs de {found} nombres ; ceux de la collection en ont {expected}."),
                format!("The model gives vectors of {found} numbers; the collection’s have {expected}."),
            ),
            IndexError::Vector(why) => {
                tracing::error!(why, "a vector cannot be indexed");
                Setback::failed(
                    "Le modèle a donné un vecteur inutilisable pour un passage de ce document.",
                    "The model gave an unusable vector for a passage of this document.",
                )
            }
            IndexError::Locked(_) | IndexError::Unavailable(_) | IndexError::Engine(_) => {
                tracing::warn!(%error, "a document waits for the index");
                Setback::Later { words: index_is_away(), after: None }
            }
        }
    }
}

impl From<ApiError> for Setback {
    fn from(error: ApiError) -> Setback {
        let words = Words::new(error.message(Language::Fr), error.message(Language::En));
        let passing = match error.status().as_u16() {
            // A limit that says when is one that passes; the others are smaller than the request.
            429 => error.after().is_some(),
            500..=599 => error.reason() != crate::embed::OTHER_SIZE,
            _ => false,
        };
        // Only a limit knows when: a free engine comes when it comes.
        let after = error.after().filter(|_| error.status().as_u16() == 429);
        if passing { Setback::Later { words, after } } else { Setback::Failed(words) }
    }
}

impl From<Refusal> for Setback {
    fn from(refusal: Refusal) -> Setback {
        Setback::failed(refusal.french(), refusal.english())
    }
}

impl From<ParseError> for Setback {
    fn from(error: ParseError) -> Setback {
        match error {
            ParseError::Refused(refusal) => refusal.into(),
            ParseError::Failed(error) => {
                tracing::error!(%error, "a file cannot be read");
                Setback::later(
                    "La lecture des fichiers est momentanément impossible ; elle reprendra d’elle-même.",
                    "Files cannot be read for the moment; the work will resume by itself.",
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let seconds = |attempts| pause(attempts, None).as_secs();
        assert_eq!([0, 1, 2, 5, 6, 60].map(seconds), [1, 2, 4, 32, 60, 60]);
        assert_eq!(pause(0, Some(Duration::from_secs(86_400))), Duration::from_secs(1));
        assert_eq!(pause(9, Some(Duration::from_secs(86_400))), Duration::from_secs(60));
        assert_eq!(pause(9, Some(Duration::ZERO)), Duration::from_millis(100));
    }

    #[test]
    fn what_passes_waits_and_what_does_not_fails() {
        let quota = || ApiError::rate_limited("quota", "quota", Duration::from_secs(3_600));
        assert!(matches!(Setback::from(quota()), Setback::Later { after: Some(_), .. }));
        assert!(matches!(Setback::from(ApiError::upstream()), Setback::Later { after: None, .. }));
        for lasting in [ApiError::sovereignty(), ApiError::model_not_found("m"), ApiError::bad_request("a", "b")] {
            assert!(matches!(Setback::from(lasting), Setback::Failed(_)));
        }
        let unreachable = IndexError::Unavailable("x".into());
        assert!(matches!(Setback::from(unreachable), Setback::Later { .. }));
        assert!(matches!(Setback::from(IndexError::Dimensions { expected: 3, found: 4 }), Setback::Failed(_)));
    }
}
