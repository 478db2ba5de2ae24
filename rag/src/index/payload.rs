//! What is stored beside a chunk's vectors, so that the engine itself answers every filter: nothing is sifted after
//! the search, which would return short pages.
//!
//! | field | holds | answers |
//! |---|---|---|
//! | `c` | the collection's id, as a keyword; indexed, tenant | the scope |
//! | `d` | the document's id, as a keyword; indexed | the scope, deletion |
//! | `f` | `key␁value` for each text, number, boolean; indexed, one index for all keys there will ever be | `Eq` |
//! | `e` | by key: each text as `␂text␃` | `StartsWith` looks for `␂text`, `EndsWith` for `text␃`, `Contains` for `text` |
//! | `m` | by key: the metadata as it came | `Range` |
//!
//! `e` and `m` have no index: the engine reads them of those chunks that scope and equalities leave. Without a
//! full-text index, its text match is exact, byte by byte.

use serde_json::{Map, Value, json};

use super::{Bound, Filter, IndexError, Point, Scope};

pub(super) const COLLECTION: &str = "c";
pub(super) const DOCUMENT: &str = "d";
pub(super) const FACTS: &str = "f";
const METADATA: &str = "m";
const EDGES: &str = "e";

/// The longest fact, in bytes; of longer texts it holds the start, and `e` tells them apart.
const LONGEST_FACT: usize = 256;

/// A condition in the words that both engines have.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Check {
    /// The field, or an item of it, is one of these.
    Keyword(String, Vec<String>),
    /// The field, or an item of it, has this in it.
    Text(String, String),
    Numbers(String, Option<f64>, Option<f64>),
    /// Unix milliseconds.
    Dates(String, Option<i64>, Option<i64>),
    All(Vec<Check>),
    Any(Vec<Check>),
}

/// The payload of a point.
pub(super) fn payload(point: &Point) -> Value {
    let mut facts = Vec::new();
    let (mut metadata, mut edges) = (Map::new(), Map::new());
    for (key, value) in &point.metadata {
        let field = field(key);
        let mut marked = Vec::new();
        for item in items(value) {
            facts.extend(fact(key, item).map(|(fact, _)| Value::String(fact)));
            if let Value::String(text) = item {
                marked.push(Value::String(format!("\u{2}{}\u{3}", unmarked(text))));
            }
        }
        if !marked.is_empty() {
            edges.insert(field.clone(), Value::Array(marked));
        }
        metadata.insert(field, value.clone());
    }
    json!({
        COLLECTION: point.collection.to_string(),
        DOCUMENT: point.document.to_string(),
        FACTS: facts,
        EDGES: edges,
        METADATA: metadata,
    })
}

/// Collection, document and metadata of a payload.
pub(super) fn read(payload: &Map<String, Value>) -> Result<(u64, u64, Map<String, Value>), IndexError> {
    let id = |name: &str| payload.get(name).and_then(Value::as_str).and_then(|text| text.parse().ok());
    let (Some(collection), Some(document)) = (id(COLLECTION), id(DOCUMENT)) else {
        return Err(IndexError::Engine("a stored point names no collection or no document".to_owned()));
    };
    let mut metadata = Map::new();
    if let Some(Value::Object(fields)) = payload.get(METADATA) {
        metadata.extend(fields.iter().map(|(field, value)| (key(field), value.clone())));
    }
    Ok((collection, document, metadata))
}

/// What a point must satisfy to be inside; `None` when the filter lets nothing through.
pub(super) fn within(scope: &Scope, filter: Option<&Filter>) -> Option<Check> {
    let ids = |ids: &[u64]| ids.iter().map(u64::to_string).collect();
    let mut all = vec![Check::Keyword(COLLECTION.to_owned(), ids(scope.collections()))];
    if let Some(documents) = scope.documents() {
        all.push(Check::Keyword(DOCUMENT.to_owned(), ids(documents)));
    }
    if let Some(filter) = filter {
        all.push(compile(filter)?);
    }
    Some(Check::All(all))
}

/// What a collection holds, or what it holds of a document.
pub(super) fn held(collection: u64, document: Option<u64>) -> Check {
    let mut all = vec![Check::Keyword(COLLECTION.to_owned(), vec![collection.to_string()])];
    all.extend(document.map(|document| Check::Keyword(DOCUMENT.to_owned(), vec![document.to_string()])));
    Check::All(all)
}

/// `None` lets nothing through: engines take an empty list of conditions as no condition.
fn compile(filter: &Filter) -> Option<Check> {
    let edge = |key: &str| format!("{EDGES}.{}", field(key));
    Some(match filter {
        Filter::Eq { key, value } => {
            let (fact, whole) = fact(key, value)?;
            let is = Check::Keyword(FACTS.to_owned(), vec![fact]);
            match value {
                Value::String(text) if !whole => {
                    Check::All(vec![is, Check::Text(edge(key), format!("\u{2}{}\u{3}", unmarked(text)))])
                }
                _ => is,
            }
        }
        Filter::StartsWith { key, text } => Check::Text(edge(key), format!("\u{2}{}", unmarked(text))),
        Filter::EndsWith { key, text } => Check::Text(edge(key), format!("{}\u{3}", unmarked(text))),
        Filter::Contains { key, text } => {
            let text = unmarked(text);
            // Engines need something to look for.
            Check::Text(edge(key), if text.is_empty() { "\u{2}".to_owned() } else { text })
        }
        Filter::Range { key, from, to } => {
            let path = format!("{METADATA}.{}", field(key));
            let number = |bound: Option<Bound>| match bound {
                Some(Bound::Number(number)) => Some(number),
                _ => None,
            };
            let date = |bound: Option<Bound>| match bound {
                Some(Bound::Date(date)) => Some(date),
                _ => None,
            };
            match (from, to) {
                (Some(Bound::Number(_)), Some(Bound::Date(_))) | (Some(Bound::Date(_)), Some(Bound::Number(_))) => {
                    return None;
                }
                (Some(Bound::Date(_)), _) | (_, Some(Bound::Date(_))) => Check::Dates(path, date(*from), date(*to)),
                (Some(Bound::Number(_)), _) | (_, Some(Bound::Number(_))) => {
                    Check::Numbers(path, number(*from), number(*to))
                }
                // No bound: whatever is a number or a date.
                (None, None) => Check::Any(vec![
                    Check::Numbers(path.clone(), Some(f64::MIN), None),
                    Check::Dates(path, Some(FIRST_DATE), None),
                ]),
            }
        }
        Filter::And(filters) => Check::All(filters.iter().map(compile).collect::<Option<_>>()?),
        Filter::Or(filters) => {
            let any: Vec<Check> = filters.iter().filter_map(compile).collect();
            if any.is_empty() {
                return None;
            }
            Check::Any(any)
        }
    })
}

/// The year 1, which engines still read.
const FIRST_DATE: i64 = -62_135_596_800_000;

/// The value itself, or the items of a list.
fn items(value: &Value) -> std::slice::Iter<'_, Value> {
    match value {
        Value::Array(items) => items.iter(),
        other => std::slice::from_ref(other).iter(),
    }
}

/// What stands in `f` for this, and whether it says the whole value. `None` for values that never match.
fn fact(key: &str, value: &Value) -> Option<(String, bool)> {
    // As a field, in which no mark can be.
    let mut fact = format!("{}\u{1}", field(key));
    match value {
        Value::String(text) => {
            fact.push('"');
            fact.push_str(text);
        }
        Value::Bool(yes) => fact.push_str(if *yes { "true" } else { "false" }),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(whole), ..) => fact.push_str(&whole.to_string()),
            (_, Some(whole), _) => fact.push_str(&whole.to_string()),
            // `1.0` is written `1`.
            (.., float) => fact.push_str(&float?.to_string()),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    }
    let whole = fact.len() <= LONGEST_FACT;
    if !whole {
        let end = (0..=LONGEST_FACT).rev().find(|at| fact.is_char_boundary(*at)).unwrap_or(0);
        fact.truncate(end);
    }
    Some((fact, whole))
}

/// Without the marks that `e` puts around texts.
fn unmarked(text: &str) -> String {
    text.replace(['\u{2}', '\u{3}'], "")
}

/// A metadata key as a field of a payload: ASCII letters, digits and `_` stand for themselves, all else as
/// `-hexadecimal-`, so that no key reaches into another field.
fn field(key: &str) -> String {
    let mut field = String::with_capacity(key.len());
    for letter in key.chars() {
        match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => field.push(letter),
            other => field.push_str(&format!("-{:x}-", u32::from(other))),
        }
    }
    // An empty key needs a field too.
    if field.is_empty() { "--".to_owned() } else { field }
}

/// The key that has this field.
fn key(field: &str) -> String {
    let mut key = String::with_capacity(field.len());
    for (nth, part) in field.split('-').enumerate() {
        if nth % 2 == 0 {
            key.push_str(part);
        } else {
            key.extend(u32::from_str_radix(part, 16).ok().and_then(char::from_u32));
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_point_is_read_back_whatever_its_keys(keys in prop::collection::vec(".{0,12}", 0..6)) {
            let metadata: Map<String, Value> = keys.into_iter().map(|key| (key, json!([1, "deux", null]))).collect();
            let point = Point {
                chunk: 1, collection: u64::MAX, document: 3, dense: vec![1.0], sparse: Default::default(), metadata,
            };
            let Value::Object(payload) = payload(&point) else { panic!("no object") };
            prop_assert_eq!(read(&payload), Ok((u64::MAX, 3, point.metadata)));
        }
    }

    #[test]
    fn types_stay_apart_and_numbers_are_numbers() {
        let fact = |value: Value| fact("k", &value).map(|(fact, _)| fact);
        assert_ne!(fact(json!("1")), fact(json!(1)));
        assert_ne!(fact(json!("true")), fact(json!(true)));
        assert_eq!(fact(json!(1)), fact(json!(1.0)));
        assert_eq!(fact(json!(1.5)), fact(json!(1.50)));
        assert_eq!(fact(json!({})), None);
        assert_ne!(super::fact("a\u{1}\"b", &json!("c")), super::fact("a", &json!("b\u{1}\"c")));
    }

    #[test]
    fn a_filter_that_lets_nothing_through_is_none() {
        let never = Filter::Or(vec![]);
        assert_eq!(compile(&never), None);
        assert_eq!(compile(&Filter::And(vec![Filter::And(vec![]), never.clone()])), None);
        let is = Filter::Eq { key: "a".to_owned(), value: json!(1) };
        assert!(compile(&Filter::Or(vec![never, is])).is_some());
        let mixed = Filter::Range { key: "a".to_owned(), from: Some(Bound::Number(1.0)), to: Some(Bound::Date(1)) };
        assert_eq!(compile(&mixed), None);
    }
}
