//! Every statistic and metric by its name, from a table to JSON: what another tool can be asked to check.

mod agreement;
mod comparisons;
mod frame;
mod means;
mod passages;

mod texts;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::refusal::{Refusal, Result};
use crate::stats::ranking::Ranking;
use crate::table::{Broken, Table};
use frame::Frame;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Number,
    YesNo,
    /// A name: an item, a rater, a category.
    Label,
    /// A text, taken as it is.
    Text,
}

/// One column of a statistic's table.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Column {
    pub role: &'static str,
    pub kind: Kind,
    /// The table may do without the column.
    pub optional: bool,
    /// A cell may be empty: nothing is known there.
    pub may_be_empty: bool,
    pub fr: &'static str,
    pub en: &'static str,
}

/// One setting of a statistic.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Setting {
    pub name: &'static str,
    /// What it is when not said; nothing when it must be said.
    pub default: Option<&'static str>,
    pub fr: &'static str,
    pub en: &'static str,
}

/// A statistic or a metric.
#[derive(Clone, Copy, Serialize)]
pub struct Entry {
    pub name: &'static str,
    pub fr: &'static str,
    pub en: &'static str,
    pub columns: &'static [Column],
    pub settings: &'static [Setting],
    /// Who defined it.
    pub source: &'static str,
    #[serde(skip)]
    run: fn(&Frame) -> Result<Value>,
}

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// Role → name of the column that plays it; a role's own name by default.
    pub columns: BTreeMap<String, String>,
    pub settings: BTreeMap<String, String>,
    /// Lines that cannot be used are set aside and counted, not refused.
    pub skip_broken: bool,
}

/// Why there is no figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Failure {
    Refused(Refusal),
    /// Lines that cannot be used.
    Lines(Vec<Broken>),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure::Refused(refusal)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Refused(refusal) => write!(f, "{refusal}"),
            Failure::Lines(lines) => {
                for line in lines {
                    writeln!(f, "{line}")?;
                }
                write!(f, "{} ligne(s) inutilisable(s) / {} line(s) cannot be used", lines.len(), lines.len())
            }
        }
    }
}

/// All entries, by name.
pub fn list() -> Vec<&'static Entry> {
    let rooms = [means::ENTRIES, agreement::ENTRIES, comparisons::ENTRIES, passages::ENTRIES, texts::ENTRIES];
    let mut entries: Vec<&Entry> = rooms.into_iter().flatten().collect();
    entries.sort_by_key(|entry| entry.name);
    entries
}

/// Runs a statistic. One that needs no table, such as a sample size, takes an empty one.
pub fn run(name: &str, table: &Table, ask: &Ask) -> std::result::Result<Value, Failure> {
    let entry = list().into_iter().find(|entry| entry.name == name).ok_or_else(|| {
        let known: Vec<&str> = list().iter().map(|entry| entry.name).collect();
        let known = known.join(", ");
        Refusal::input(
            format!("il n’y a pas de statistique « {name} » (il y a : {known})"),
            format!("there is no statistic “{name}” (there are: {known})"),
        )
    })?;
    if !entry.columns.is_empty() && table.header().is_empty() {
        return Err(Refusal::input(
            "cette statistique lit une table CSV (--input)",
            "this statistic reads a CSV table (--input)",
        )
        .into());
    }
    let (frame, broken) = Frame::new(entry, table, ask)?;
    if !broken.is_empty() && !ask.skip_broken {
        return Err(Failure::Lines(broken));
    }
    let result = (entry.run)(&frame)?;
    Ok(json!({
        "statistic": entry.name,
        "result": result,
        "rows": frame.rows(),
        "set_aside": broken,
        "settings": frame.settings(),
        "source": entry.source,
    }))
}

/// The ranking itself, for who goes on with it: what `bradley-terry` tells as JSON.
pub fn ranking(table: &Table, ask: &Ask) -> std::result::Result<Ranking, Failure> {
    let entry = list().into_iter().find(|entry| entry.name == "bradley-terry");
    let entry = entry.ok_or_else(|| Refusal::input("bradley-terry manque", "bradley-terry is missing"))?;
    let (frame, broken) = Frame::new(entry, table, ask)?;
    if !broken.is_empty() && !ask.skip_broken {
        return Err(Failure::Lines(broken));
    }
    Ok(agreement::ranked(&frame)?)
}

const fn column(role: &'static str, kind: Kind, fr: &'static str, en: &'static str) -> Column {
    Column { role, kind, optional: false, may_be_empty: false, fr, en }
}

const fn optional(role: &'static str, kind: Kind, fr: &'static str, en: &'static str) -> Column {
    Column { role, kind, optional: true, may_be_empty: false, fr, en }
}

const fn maybe(role: &'static str, kind: Kind, fr: &'static str, en: &'static str) -> Column {
    Column { role, kind, optional: false, may_be_empty: true, fr, en }
}

const CLUSTER: Column = optional(
    "cluster",
    Kind::Label,
    "unité indépendante (usager, conversation, document) ; sinon chaque ligne en est une",
    "independent unit (user, conversation, document); each line is one otherwise",
);

const LEVEL: Setting =
    Setting { name: "level", default: Some("0.95"), fr: "niveau de confiance", en: "confidence level" };
const RESAMPLES: Setting = Setting {
    name: "resamples",
    default: Some("10000"),
    fr: "nombre de rééchantillonnages",
    en: "number of resamples",
};
const SEED: Setting = Setting { name: "seed", default: Some("1"), fr: "graine du tirage", en: "seed of the draw" };
const METHOD: Setting =
    Setting { name: "method", default: Some("bca"), fr: "bca ou percentile", en: "bca or percentile" };

fn told(value: impl Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| {
        Refusal::undefined(
            format!("le résultat ne s’écrit pas : {error}"),
            format!("the result cannot be written: {error}"),
        )
    })
}

#[cfg(test)]
mod tests;
