//! What an annotator says of an item, checked against what is asked of it.

use std::collections::BTreeMap;

use ::eval::grid::Grid;
use ::eval::panel::Answer;
use ::eval::redact::redact;
use serde_json::Value;

use super::grid::of_item;
use super::{Trouble, swapped};
use crate::store::campaigns::Campaign;
use crate::store::turns::Said;

/// Longest comment, in characters, and longest time told, in seconds.
const COMMENT_MAX: usize = 4_000;
const SECONDS_MAX: f64 = 86_400.0;

/// An answer as it came.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    pub skip: bool,
    /// By criterion; a value that is left out on purpose is null.
    pub answers: BTreeMap<String, Value>,
    pub comment: Option<String>,
    pub seconds: Option<f64>,
    /// Whether the time since the item was given is the time taken, unless they say.
    pub timed: bool,
}

/// A value as a person would write it; none for null. Lists and objects are nothing a person writes.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(yes) => Some(if *yes { "oui" } else { "non" }.to_owned()),
        other => Some(other.to_string()),
    }
}

/// Checks an answer to an item, a pair or not. Each criterion asked is answered, told not applicable, or left out on
/// purpose; none is forgotten.
pub fn check(
    campaign: &Campaign,
    grid: &Grid,
    member: i64,
    item: &str,
    pair: bool,
    heard: &Heard,
) -> Result<Said, Trouble> {
    let asked = of_item(grid, &campaign.criteria, pair);
    if let Some(id) = heard.answers.keys().find(|id| !asked.iter().any(|criterion| criterion.id == **id)) {
        let (id, known) = (short(id), asked.iter().map(|c| c.id.as_str()).collect::<Vec<_>>().join(", "));
        return Err(Trouble::wrong(
            format!("answers.{id}"),
            format!("Le critère « {id} » n’est pas demandé ici ; ceux qui le sont : {known}."),
            format!("The criterion “{id}” is not asked here; those that are: {known}."),
        ));
    }
    let mut answers = Vec::with_capacity(asked.len());
    if heard.skip && !heard.answers.values().all(Value::is_null) {
        return Err(Trouble::wrong(
            "skip",
            "Un élément est passé, ou répondu, pas les deux.",
            "An item is skipped, or answered, not both.",
        ));
    }
    if !heard.skip {
        let swapped = swapped(campaign, member, item);
        for criterion in asked {
            let id = &criterion.id;
            let param = format!("answers.{id}");
            let said = heard.answers.get(id).ok_or_else(|| {
                Trouble::wrong(
                    param.clone(),
                    format!(
                        "Il manque « {id} » : répondez, ou dites « na » (sans objet), ou null pour le laisser de côté."
                    ),
                    format!("“{id}” is missing: answer, or say “na” (not applicable), or null to leave it out."),
                )
            })?;
            let answer = match text(said) {
                None => Answer::Skipped,
                Some(text) => Answer::read(criterion, &text, swapped)
                    .map_err(|(french, english)| Trouble::wrong(param, french, english))?,
            };
            answers.push((id.clone(), answer.written().map(str::to_owned)));
        }
        if answers.iter().all(|(_, value)| value.is_none()) {
            return Err(Trouble::wrong(
                "answers",
                "Tout est laissé de côté : passez l’élément, avec « skip ».",
                "All is left out: skip the item, with “skip”.",
            ));
        }
        answers.sort();
    }
    Ok(Said { skipped: heard.skip, answers, comment: comment(heard)?, taken_ms: taken(heard)?, timed: heard.timed })
}

/// The comment, redacted: people quote what they read.
fn comment(heard: &Heard) -> Result<Option<String>, Trouble> {
    let Some(comment) = heard.comment.as_deref().map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if comment.chars().count() > COMMENT_MAX {
        return Err(Trouble::wrong(
            "comment",
            "« comment » a 4000 caractères au plus.",
            "“comment” has 4000 characters at most.",
        ));
    }
    Ok(Some(redact(&comment.replace('\0', "")).text))
}

fn taken(heard: &Heard) -> Result<Option<i64>, Trouble> {
    match heard.seconds {
        None => Ok(None),
        Some(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => Ok(Some((seconds * 1_000.0) as i64)),
        Some(_) => Err(Trouble::wrong("seconds", "« seconds » va de 0 à 86 400.", "“seconds” goes from 0 to 86,400.")),
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}
