//! The three files of an evaluation of retrieval, in the forms of BEIR and TREC.
//!
//! Documents and queries are JSONL: `{"id" (or "_id"), "title", "text", …}`, `{"id", "text", …}`. Judgements are lines
//! `query 0 document grade`, or `query document grade` under a heading.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use crate::cli::Failure;

/// A document of the corpus.
pub struct Text {
    pub id: String,
    pub title: String,
    pub text: String,
}

/// A query.
pub struct Asked {
    pub id: String,
    pub text: String,
    /// What its judgements are under: its id, unless another field was named.
    pub judged_as: String,
    /// Queries of one unit are drawn together when intervals are made.
    pub unit: String,
}

/// Grades of documents, by what queries are judged as.
pub type Judgements = HashMap<String, HashMap<String, i64>>;

/// `key=value` or `key!=value`; several must all hold.
#[derive(Clone, Debug)]
pub struct Condition {
    key: String,
    value: String,
    equal: bool,
}

impl std::str::FromStr for Condition {
    type Err = String;

    fn from_str(said: &str) -> Result<Condition, String> {
        let (key, value) = said
            .split_once('=')
            .filter(|(key, _)| !key.trim_end_matches('!').is_empty())
            .ok_or_else(|| "écrivez CLÉ=VALEUR ou CLÉ!=VALEUR / write KEY=VALUE or KEY!=VALUE".to_owned())?;
        let equal = !key.ends_with('!');
        Ok(Condition { key: key.trim_end_matches('!').to_owned(), value: value.to_owned(), equal })
    }
}

impl Condition {
    fn holds(&self, document: &Value) -> bool {
        let is = |value: &Value| match value {
            Value::String(text) => *text == self.value,
            Value::Null => false,
            other => {
                let written = other.to_string();
                written == self.value
            }
        };
        let found = match document.get(&self.key) {
            Some(Value::Array(values)) => values.iter().any(is),
            Some(value) => is(value),
            None => false,
        };
        found == self.equal
    }
}

/// The documents that meet the conditions, in the order of the file.
pub fn corpus(file: &Path, conditions: &[Condition]) -> Result<Vec<Text>, Failure> {
    let mut seen = HashSet::new();
    let mut texts = Vec::new();
    lines(file, |value, place| {
        if conditions.iter().all(|condition| condition.holds(&value)) {
            let text = Text { id: id(&value, place)?, title: field(&value, "title"), text: field(&value, "text") };
            if !seen.insert(text.id.clone()) {
                return Err(twice(place, &text.id));
            }
            texts.push(text);
        }
        Ok(())
    })?;
    Ok(texts)
}

/// The queries; `judged_as` and `unit` name fields other than the id.
pub fn queries(file: &Path, judged_as: Option<&str>, unit: Option<&str>) -> Result<Vec<Asked>, Failure> {
    let mut seen = HashSet::new();
    let mut queries = Vec::new();
    lines(file, |value, place| {
        let id = id(&value, place)?;
        if !seen.insert(id.clone()) {
            return Err(twice(place, &id));
        }
        let named = |name: Option<&str>| match name {
            None => Ok(id.clone()),
            Some(name) => match value.get(name) {
                Some(Value::String(text)) => Ok(text.clone()),
                Some(Value::Number(number)) => Ok(number.to_string()),
                _ => Err(Failure(format!("{place} : « {name} » manque / “{name}” is missing"))),
            },
        };
        let (judged_as, unit) = (named(judged_as)?, named(unit)?);
        queries.push(Asked { text: field(&value, "text"), judged_as, unit, id: id.clone() });
        Ok(())
    })?;
    Ok(queries)
}

/// The judgements of documents that are there.
pub fn judgements(file: &Path, there: &HashSet<&str>) -> Result<Judgements, Failure> {
    let mut judgements = Judgements::new();
    let reader = BufReader::new(std::fs::File::open(file).map_err(|error| unreadable(file, &error))?);
    for (number, line) in (1..).zip(reader.lines()) {
        let line = line.map_err(|error| unreadable(file, &error))?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let (query, document, grade) = match words[..] {
            [] => continue,
            [query, _, document, grade] | [query, document, grade] => (query, document, grade),
            _ => return Err(broken(file, number)),
        };
        match grade.parse() {
            Ok(grade) if there.contains(document) => {
                judgements.entry(query.to_owned()).or_default().insert(document.to_owned(), grade);
            }
            Ok(_) => {}
            // The heading of BEIR's files.
            Err(_) if number == 1 => {}
            Err(_) => return Err(broken(file, number)),
        }
    }
    Ok(judgements)
}

/// The queries that somebody judged a document of the corpus relevant for; the others say nothing.
pub fn judged<'a>(queries: &'a [Asked], judgements: &'a Judgements) -> Vec<(&'a Asked, &'a HashMap<String, i64>)> {
    let of = |query: &'a Asked| {
        let grades = judgements.get(&query.judged_as)?;
        grades.values().any(|grade| *grade > 0).then_some((query, grades))
    };
    let by_id: BTreeMap<&str, _> = queries.iter().filter_map(of).map(|found| (found.0.id.as_str(), found)).collect();
    by_id.into_values().collect()
}

fn lines(file: &Path, mut each: impl FnMut(Value, &str) -> Result<(), Failure>) -> Result<(), Failure> {
    let reader = BufReader::new(std::fs::File::open(file).map_err(|error| unreadable(file, &error))?);
    for (number, line) in (1..).zip(reader.lines()) {
        let line = line.map_err(|error| unreadable(file, &error))?;
        if line.trim().is_empty() {
            continue;
        }
        let value: Value = serde_json::from_str(&line).map_err(|_| broken(file, number))?;
        each(value, &format!("{}:{number}", file.display()))?;
    }
    Ok(())
}

fn id(value: &Value, place: &str) -> Result<String, Failure> {
    match value.get("id").or_else(|| value.get("_id")) {
        Some(Value::String(id)) if !id.is_empty() && !id.contains(char::is_whitespace) => Ok(id.clone()),
        Some(Value::Number(id)) => Ok(id.to_string()),
        _ => Err(Failure(format!(
            "{place} : « id » manque ou contient des blancs / “id” is missing or has blanks in it"
        ))),
    }
}

fn field(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    let name = file.display();
    Failure(format!("{name} ne se lit pas : {error} / {name} cannot be read: {error}"))
}

fn broken(file: &Path, number: usize) -> Failure {
    let name = file.display();
    Failure(format!("{name}:{number} : ligne inutilisable / this line cannot be used"))
}

fn twice(place: &str, id: &str) -> Failure {
    Failure(format!("{place} : « {id} » est déjà plus haut / “{id}” is already above"))
}
