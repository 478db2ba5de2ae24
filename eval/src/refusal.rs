//! Why there is no number.

use std::fmt;

use serde::Serialize;

/// A figure that cannot honestly be given, and why, in French and English.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    pub code: Code,
    pub fr: String,
    pub en: String,
}

/// What kind of reason it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Fewer observations or independent units than the method needs.
    TooFew,
    /// The figure does not exist for these data: nothing varies, a division by zero.
    Undefined,
    /// Models are not all linked by chains of wins both ways.
    Disconnected,
    /// A judge that agrees too little with people, or whose agreement nobody measured.
    Judge,
    /// The data are not what the method takes.
    Input,
}

pub type Result<T> = std::result::Result<T, Refusal>;

impl Refusal {
    pub fn new(code: Code, fr: impl Into<String>, en: impl Into<String>) -> Refusal {
        Refusal { code, fr: fr.into(), en: en.into() }
    }

    /// `n` of these were given where at least `needed` are.
    pub fn too_few(fr: &str, en: &str, n: usize, needed: usize) -> Refusal {
        Refusal::new(
            Code::TooFew,
            format!("{fr} : {n}, il en faut au moins {needed}"),
            format!("{en}: {n}, at least {needed} are needed"),
        )
    }

    pub fn undefined(fr: impl Into<String>, en: impl Into<String>) -> Refusal {
        Refusal::new(Code::Undefined, fr, en)
    }

    pub fn input(fr: impl Into<String>, en: impl Into<String>) -> Refusal {
        Refusal::new(Code::Input, fr, en)
    }

    /// Series that must be as long as each other.
    pub fn same_length(first: usize, second: usize) -> Result<()> {
        if first == second {
            return Ok(());
        }
        Err(Refusal::input(
            format!("les séries n’ont pas la même longueur ({first} et {second})"),
            format!("the series are not of one length ({first} and {second})"),
        ))
    }

    /// Values that must all be numbers.
    pub fn finite(values: &[f64]) -> Result<()> {
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(place) => Err(Refusal::input(
                format!("la valeur n° {} n’est pas un nombre fini", place + 1),
                format!("value {} is not a finite number", place + 1),
            )),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.fr, self.en)
    }
}

impl std::error::Error for Refusal {}
