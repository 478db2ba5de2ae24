//! What a judge answered: read strictly, settled over orders and panels, and counted whether it can be read or not.

mod quotable;
mod tally;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::grid::Scale;
use crate::metrics::citation::is_literal;

pub use quotable::quotable;
pub use tally::{Count, Heard, Tally};

/// Why an answer is no verdict. It is counted and shown; it never leaves the denominator unseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreadable {
    /// Not one JSON object with the keys asked for, and only those.
    NotJson,
    /// A value that the scale does not have.
    OffScale,
    /// A quote that is not in the answer, letter for letter.
    QuoteNotLiteral,
}

/// A verdict on one answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Score {
    /// A value of the scale, or `n/a`.
    pub value: String,
    pub quote: String,
    pub reason: String,
}

/// A verdict on two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Preferred {
    First,
    Second,
    Tie,
}

impl Preferred {
    /// What was said of a pair that was shown the other way round.
    pub fn turned(self) -> Preferred {
        match self {
            Preferred::First => Preferred::Second,
            Preferred::Second => Preferred::First,
            Preferred::Tie => Preferred::Tie,
        }
    }

    /// As tables of duels write it.
    pub fn word(self) -> &'static str {
        match self {
            Preferred::First => "first",
            Preferred::Second => "second",
            Preferred::Tie => "tie",
        }
    }

    fn of_word(word: &str) -> Option<Preferred> {
        [Preferred::First, Preferred::Second, Preferred::Tie].into_iter().find(|one| one.word() == word)
    }
}

/// One level of a scale, as a judge is shown it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Level {
    pub value: String,
    pub anchor: String,
}

/// The levels of a scale, worst first where it has an order; none for a scale without levels, which no judge is given.
pub fn levels(scale: &Scale, french: bool) -> Option<Vec<Level>> {
    let level = |value: &str, anchor: &str| Level { value: value.to_owned(), anchor: anchor.to_owned() };
    match scale {
        Scale::Boolean if french => Some(vec![
            level("non", "la réponse à la question est non"),
            level("oui", "la réponse à la question est oui"),
        ]),
        Scale::Boolean => Some(vec![
            level("no", "the answer to the question is no"),
            level("yes", "the answer to the question is yes"),
        ]),
        Scale::Nominal(names) => Some(names.iter().map(|(name, _)| level(name, name)).collect()),
        Scale::Ordinal(levels) => Some(
            levels
                .iter()
                .map(|(value, anchor)| level(&value.to_string(), if french { &anchor.fr } else { &anchor.en }))
                .collect(),
        ),
        Scale::Interval { .. } | Scale::Severity { .. } | Scale::Pairwise => None,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CriterionAnswer {
    reason: String,
    quote: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PairAnswer {
    #[serde(rename = "reason")]
    _reason: String,
    quote_a: String,
    quote_b: String,
    winner: String,
}

/// Reads the answer to `judge-criterion`. `n/a` is always of the scale; an empty quote quotes nothing.
pub fn score(text: &str, scale: &[Level], answer: &str) -> Result<Score, Unreadable> {
    let said: CriterionAnswer = serde_json::from_str(unfenced(text)).map_err(|_| Unreadable::NotJson)?;
    if said.value != "n/a" && !scale.iter().any(|level| level.value == said.value) {
        return Err(Unreadable::OffScale);
    }
    literal(&said.quote, answer)?;
    Ok(Score { value: said.value, quote: said.quote, reason: said.reason })
}

/// Reads the answer to `judge-pair`, in which A was shown first.
pub fn pair(text: &str, a: &str, b: &str) -> Result<Preferred, Unreadable> {
    let said: PairAnswer = serde_json::from_str(unfenced(text)).map_err(|_| Unreadable::NotJson)?;
    let preferred = match said.winner.as_str() {
        "A" => Preferred::First,
        "B" => Preferred::Second,
        "tie" => Preferred::Tie,
        _ => return Err(Unreadable::OffScale),
    };
    literal(&said.quote_a, a)?;
    literal(&said.quote_b, b)?;
    Ok(preferred)
}

fn literal(quote: &str, answer: &str) -> Result<(), Unreadable> {
    if quote.trim().is_empty() || is_literal(quote, answer) { Ok(()) } else { Err(Unreadable::QuoteNotLiteral) }
}

/// Without the one code fence that a prompt's `cleaning` allows around the whole answer.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inside = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    inside.map_or(text, |inside| inside.strip_prefix("json").unwrap_or(inside).trim())
}

/// Both orders of one pair: the same winner twice, else a tie. `swapped` is what was said with the second shown first.
/// An order that cannot be read leaves nothing to say.
pub fn both_orders(straight: Option<Preferred>, swapped: Option<Preferred>) -> Option<Preferred> {
    let turned = swapped?.turned();
    let straight = straight?;
    Some(if straight == turned { straight } else { Preferred::Tie })
}

/// What more than half of the panel said. Judges that could not be read count in the half; without a majority there is no
/// verdict.
pub fn majority<'a>(panel: &[Option<&'a str>]) -> Option<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    panel.iter().flatten().for_each(|value| *counts.entry(value).or_default() += 1);
    counts.into_iter().find(|(_, count)| 2 * count > panel.len()).map(|(value, _)| value)
}

/// Whether a judge may grade a candidate: both families known, and not the same.
///
/// # Errors
/// Why not, in French and English.
pub fn may_judge(
    (judge, judges): (&str, Option<&str>),
    (candidate, candidates): (&str, Option<&str>),
) -> Result<(), (String, String)> {
    let (Some(one), Some(other)) = (judges, candidates) else {
        let unknown = if judges.is_none() { judge } else { candidate };
        return Err((
            format!("la famille de « {unknown} » n’est pas connue : dites-la (family du catalogue, ou --family)"),
            format!("the family of “{unknown}” is not known: tell it (family in the catalogue, or --family)"),
        ));
    };
    if judge == candidate || one.trim().eq_ignore_ascii_case(other.trim()) {
        return Err((
            format!("« {judge} » est de la famille de « {candidate} » ({one}) : un juge ne note pas sa famille"),
            format!("“{judge}” is of the family of “{candidate}” ({one}): a judge does not grade its family"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use Preferred::{First, Second, Tie};

    fn scale() -> Vec<Level> {
        ["1", "2"].map(|value| Level { value: value.to_owned(), anchor: String::new() }).to_vec()
    }

    #[test]
    fn only_the_object_asked_for_is_read() {
        let read = |text: &str| score(text, &scale(), "Deux mois, donc oui.");
        let good = r#"{"reason": "r", "quote": "Deux mois", "value": "2"}"#;
        assert_eq!(read(good).unwrap().value, "2");
        assert_eq!(read(&format!("```json\n{good}\n```")).unwrap().quote, "Deux mois");
        assert_eq!(read(r#"{"reason": "r", "quote": "", "value": "n/a"}"#).unwrap().value, "n/a");
        for prose in [
            "Je mets 2.",
            "",
            &format!("Voici : {good}"),
            &format!("{good} Voilà."),
            r#"{"reason": "r", "quote": "", "value": 2}"#,
            r#"{"reason": "r", "value": "2"}"#,
            r#"{"reason": "r", "quote": "", "value": "2", "value": "1"}"#,
            r#"{"reason": "r", "quote": "", "value": "2", "note": "1"}"#,
        ] {
            assert_eq!(read(prose), Err(Unreadable::NotJson), "{prose}");
        }
        assert_eq!(read(r#"{"reason": "r", "quote": "", "value": "3"}"#), Err(Unreadable::OffScale));
        assert_eq!(read(r#"{"reason": "r", "quote": "Trois mois", "value": "2"}"#), Err(Unreadable::QuoteNotLiteral));
    }

    #[test]
    fn orders_that_disagree_are_a_tie_and_a_panel_needs_more_than_half() {
        let said = |winner: &str| {
            pair(&format!(r#"{{"reason":"","quote_a":"x","quote_b":"","winner":"{winner}"}}"#), "x y", "z")
        };
        assert_eq!(
            (said("A"), said("B"), said("tie"), said("C")),
            (Ok(First), Ok(Second), Ok(Tie), Err(Unreadable::OffScale))
        );
        assert_eq!(both_orders(Some(First), Some(Second)), Some(First));
        assert_eq!(both_orders(Some(First), Some(First)), Some(Tie));
        assert_eq!(both_orders(Some(Tie), Some(Tie)), Some(Tie));
        assert_eq!((both_orders(None, Some(First)), both_orders(Some(First), None)), (None, None));
        assert_eq!(majority(&[Some("2"), Some("2"), None]), Some("2"));
        assert_eq!(majority(&[Some("2"), None, None]), None);
        assert_eq!(majority(&[Some("2"), Some("1")]), None);
    }

    #[test]
    fn a_judge_of_the_family_or_of_no_known_family_is_refused() {
        assert!(may_judge(("m", Some("mistral")), ("q", Some("qwen"))).is_ok());
        assert!(may_judge(("q2", Some("Qwen")), ("q", Some("qwen"))).unwrap_err().0.contains("famille"));
        assert!(may_judge(("q", Some("a")), ("q", Some("b"))).is_err());
        assert!(may_judge(("m", None), ("q", Some("qwen"))).unwrap_err().0.contains("« m »"));
    }
}
