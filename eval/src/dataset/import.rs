//! Reading datasets. A line that is not an item is kept aside, with its number.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};

use super::{Dataset, Format, Item};
use crate::refusal::{Refusal, Result};
use crate::table::{Broken, Table};

/// Which column plays which role, where names differ from all that are known.
#[derive(Clone, Debug, Default)]
pub struct Columns(pub BTreeMap<String, String>);

/// What was read.
#[derive(Debug)]
pub struct Imported {
    pub dataset: Dataset,
    pub broken: Vec<Broken>,
}

/// A row of any format: where it starts (a line; in Parquet, the row's number), and its values.
pub(super) struct Record {
    pub line: u64,
    pub values: Map<String, Value>,
}

/// Names a role goes by: ours, then evalap's (`query`, `output_true`), then compar:IA's (`opening_msg`,
/// `conversation_pair_id`, `visitor_id`).
const ROLES: [(&str, &[&str]); 5] = [
    ("id", &["id", "item", "question_id", "conversation_pair_id"]),
    ("question", &["question", "query", "opening_msg", "prompt"]),
    ("reference", &["reference", "output_true", "expected", "answer"]),
    ("passages", &["passages", "context"]),
    ("cluster", &["cluster", "visitor_id"]),
];

/// Names that a role goes by, where its column is not told.
fn known(role: &str) -> &'static [&'static str] {
    ROLES.iter().find(|(name, _)| *name == role).map_or(&[], |(_, names)| names)
}

impl Dataset {
    /// Reads a file.
    ///
    /// # Errors
    /// A file of another format, or none of whose lines is an item. Some lines that are none are no error: see
    /// [`Imported::broken`].
    pub fn import(bytes: &[u8], format: Format, columns: &Columns) -> Result<Imported> {
        for role in columns.0.keys() {
            if !ROLES.iter().any(|(name, _)| name == role) {
                return Err(Refusal::input(
                    format!("« {role} » n’est pas un rôle (id, question, reference, passages, cluster)"),
                    format!("“{role}” is not a role (id, question, reference, passages, cluster)"),
                ));
            }
        }
        let (records, mut broken) = records(bytes, format)?;
        let (mut items, mut seen) = (Vec::new(), HashSet::new());
        for record in records {
            match item(record.values, record.line, columns) {
                Ok(item) if seen.insert(item.id.clone()) => items.push(item),
                Ok(item) => broken.push(Broken::new(
                    record.line,
                    format!("l’identifiant « {} » est déjà pris", item.id),
                    format!("the id “{}” is taken", item.id),
                )),
                Err((fr, en)) => broken.push(Broken::new(record.line, fr, en)),
            }
        }
        broken.sort_by_key(|broken| broken.line);
        if items.is_empty() {
            return Err(nothing(&broken, ("un élément", "an item")));
        }
        Ok(Imported { dataset: Dataset { items }, broken })
    }
}

/// Why a file gives nothing: its first line that is not what is wanted.
pub(super) fn nothing(broken: &[Broken], (fr, en): (&str, &str)) -> Refusal {
    match broken.first() {
        Some(first) => Refusal::input(
            format!("aucune ligne n’est {fr} ; ligne {} : {}", first.line, first.fr),
            format!("no line is {en}; line {}: {}", first.line, first.en),
        ),
        None => Refusal::input("il n’y a aucune ligne", "there is no line"),
    }
}

/// Rows of a file, and lines that are none.
pub(super) fn records(bytes: &[u8], format: Format) -> Result<(Vec<Record>, Vec<Broken>)> {
    match format {
        Format::Jsonl => Ok(lines(bytes)),
        Format::Csv => {
            let table = Table::read(bytes)?;
            let rows = table.rows().iter().map(|row| {
                let cells = table.header().iter().enumerate();
                let values = cells.map(|(place, name)| (name.clone(), Value::from(row.text(place)))).collect();
                Record { line: row.line, values }
            });
            Ok((rows.collect(), table.broken().to_vec()))
        }
        #[cfg(feature = "parquet")]
        Format::Parquet => {
            let rows = crate::parquet::rows(bytes.to_vec())?;
            let numbered = rows.into_iter().zip(1..).map(|(values, line)| Record { line, values });
            Ok((numbered.collect(), Vec::new()))
        }
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => {
            Err(Refusal::input("ce programme ne lit pas le Parquet", "this program does not read Parquet"))
        }
    }
}

fn lines(bytes: &[u8]) -> (Vec<Record>, Vec<Broken>) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let (mut records, mut broken) = (Vec::new(), Vec::new());
    for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if text.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice::<Map<String, Value>>(text) {
            Ok(values) => records.push(Record { line, values }),
            Err(error) => broken.push(Broken::new(
                line,
                format!("ce n’est pas un objet JSON : {error}"),
                format!("this is not a JSON object: {error}"),
            )),
        }
    }
    (records, broken)
}

fn item(mut values: Map<String, Value>, line: u64, columns: &Columns) -> std::result::Result<Item, (String, String)> {
    let mut take = |role: &str| match columns.0.get(role) {
        Some(name) => values.remove(name),
        None => known(role).iter().find_map(|name| values.remove(*name)),
    };
    let absent = |value: &Value| value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
    let mut text = |role: &str| take(role).filter(|value| !absent(value)).map(said);
    let Some(question) = text("question") else {
        let names = match columns.0.get("question") {
            Some(name) => name.clone(),
            None => known("question").join(", "),
        };
        return Err((format!("il n’y a pas de question ({names})"), format!("there is no question ({names})")));
    };
    let (id, reference, cluster) = (text("id"), text("reference"), text("cluster"));
    let passages = match take("passages") {
        Some(Value::Array(list)) => list.into_iter().map(said).collect(),
        // A cell of a table holds the list as JSON, or is one passage.
        Some(Value::String(text)) if !text.trim().is_empty() => {
            serde_json::from_str(&text).unwrap_or_else(|_| vec![text])
        }
        _ => Vec::new(),
    };
    let mut fields = BTreeMap::new();
    if let Some(Value::Object(own)) = values.remove("fields") {
        fields.extend(own.into_iter().map(|(name, value)| (name, said(value))));
    }
    fields.extend(values.into_iter().filter(|(_, value)| !absent(value)).map(|(name, value)| (name, said(value))));
    let id = id.unwrap_or_else(|| format!("l{line}"));
    Ok(Item { id, question, reference, passages, cluster, fields })
}

/// A value as text: a string is itself, all else its JSON.
pub(super) fn said(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
