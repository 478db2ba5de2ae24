//! Filters on metadata, from JSON: `{key, type, value}`, or `and`/`or` of several.

use rag::index::{Bound, Filter};
use serde_json::{Map, Value};

use crate::error::{ApiError, ApiResult};

/// Bounds on what clients send.
const DEEPEST: usize = 8;
const MOST: usize = 64;

/// Reads a filter; `path` is where it is in the request.
///
/// # Errors
/// 400 with the path of what is wrong.
pub fn read(value: &Value, path: &str) -> ApiResult<Filter> {
    let mut left = MOST;
    one(value, path, 0, &mut left)
}

fn one(value: &Value, path: &str, depth: usize, left: &mut usize) -> ApiResult<Filter> {
    *left = left
        .checked_sub(1)
        .ok_or_else(|| wrong(path, format!("plus de {MOST} conditions."), format!("more than {MOST} conditions.")))?;
    if depth > DEEPEST {
        let (french, english) = (format!("plus de {DEEPEST} niveaux."), format!("more than {DEEPEST} levels."));
        return Err(wrong(path, french, english));
    }
    // A bare list: every one.
    if let Value::Array(filters) = value {
        return Ok(Filter::And(several(filters, path, depth, left)?));
    }
    let Value::Object(fields) = value else {
        return Err(wrong(path, "il faut un objet.", "an object is expected."));
    };
    for word in ["and", "or"] {
        if let Some(inside) = fields.get(word) {
            let path = format!("{path}.{word}");
            let Value::Array(filters) = inside else {
                return Err(wrong(&path, "il faut une liste.", "a list is expected."));
            };
            unknown(fields, &[word], &path)?;
            return Ok(join(word, several(filters, &path, depth, left)?));
        }
    }
    // Albert's and OpenAI's compound form: `{operator (or type): "and", filters: [...]}`.
    if let Some(inside) = fields.get("filters") {
        let operator = if fields.contains_key("operator") { "operator" } else { "type" };
        let path_in = format!("{path}.filters");
        let Value::Array(filters) = inside else {
            return Err(wrong(&path_in, "il faut une liste.", "a list is expected."));
        };
        let word = match fields.get(operator).and_then(Value::as_str) {
            None | Some("and") => "and",
            Some("or") => "or",
            Some(_) => return Err(wrong(&format!("{path}.{operator}"), "and ou or.", "and or or.")),
        };
        unknown(fields, &["filters", operator], path)?;
        return Ok(join(word, several(filters, &path_in, depth, left)?));
    }
    comparison(fields, path)
}

fn join(word: &str, filters: Vec<Filter>) -> Filter {
    if word == "and" { Filter::And(filters) } else { Filter::Or(filters) }
}

fn several(filters: &[Value], path: &str, depth: usize, left: &mut usize) -> ApiResult<Vec<Filter>> {
    if filters.is_empty() {
        return Err(wrong(path, "la liste est vide.", "the list is empty."));
    }
    (0..)
        .zip(filters)
        .map(|(nth, filter): (usize, _)| one(filter, &format!("{path}[{nth}]"), depth + 1, left))
        .collect()
}

fn comparison(fields: &Map<String, Value>, path: &str) -> ApiResult<Filter> {
    unknown(fields, &["key", "type", "value", "from", "to"], path)?;
    let key = match fields.get("key") {
        Some(Value::String(key)) if !key.is_empty() => key.clone(),
        _ => return Err(wrong(&format!("{path}.key"), "il faut un nom.", "a name is expected.")),
    };
    let at_type = format!("{path}.type");
    let kind = match fields.get("type") {
        None => "eq",
        Some(Value::String(kind)) => kind,
        Some(_) => return Err(wrong(&at_type, "il faut un texte.", "a text is expected.")),
    };
    let at_value = format!("{path}.value");
    let value = || fields.get("value").filter(|value| !value.is_null());
    let missing = || wrong(&at_value, "la valeur manque.", "the value is missing.");
    let text = || match value() {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(_) => Err(wrong(&at_value, "il faut un texte non vide.", "a text that is not empty is expected.")),
        None => Err(missing()),
    };
    Ok(match kind {
        "eq" => match value().ok_or_else(missing)? {
            value @ (Value::String(_) | Value::Number(_) | Value::Bool(_)) => Filter::Eq { key, value: value.clone() },
            _ => {
                let (french, english) =
                    ("il faut un texte, un nombre ou un booléen.", "a text, number or boolean is expected.");
                return Err(wrong(&at_value, french, english));
            }
        },
        "sw" => Filter::StartsWith { key, text: text()? },
        "ew" => Filter::EndsWith { key, text: text()? },
        "co" => Filter::Contains { key, text: text()? },
        "ge" | "gte" => Filter::Range { key, from: Some(bound(value().ok_or_else(missing)?, &at_value)?), to: None },
        "le" | "lte" => Filter::Range { key, from: None, to: Some(bound(value().ok_or_else(missing)?, &at_value)?) },
        "range" => range(fields, key, path)?,
        _ => {
            let known = "eq, sw, ew, co, ge, le, range, and, or";
            return Err(wrong(&at_type, format!("il faut {known}."), format!("use {known}.")));
        }
    })
}

fn range(fields: &Map<String, Value>, key: String, path: &str) -> ApiResult<Filter> {
    let end = |name: &str| {
        let value = fields.get(name).filter(|value| !value.is_null());
        value.map(|value| bound(value, &format!("{path}.{name}"))).transpose()
    };
    let (from, to) = (end("from")?, end("to")?);
    match (from, to) {
        (None, None) => Err(wrong(&format!("{path}.from"), "« from » ou « to » manque.", "“from” or “to” is missing.")),
        (Some(Bound::Number(_)), Some(Bound::Date(_))) | (Some(Bound::Date(_)), Some(Bound::Number(_))) => {
            Err(wrong(&format!("{path}.to"), "les deux bornes sont du même genre.", "both bounds are of one kind."))
        }
        _ => Ok(Filter::Range { key, from, to }),
    }
}

/// A number, or a date: `2024-05-31`, or RFC 3339.
fn bound(value: &Value, path: &str) -> ApiResult<Bound> {
    let date = |text: &str| {
        let day = |text: &str| {
            let day = text.parse::<jiff::civil::Date>().ok()?;
            jiff::tz::TimeZone::UTC.to_timestamp(day.to_datetime(jiff::civil::Time::midnight())).ok()
        };
        text.parse::<jiff::Timestamp>().ok().or_else(|| day(text)).map(jiff::Timestamp::as_millisecond)
    };
    match value {
        Value::Number(number) => number.as_f64().map(Bound::Number),
        Value::String(text) => date(text).map(Bound::Date),
        _ => None,
    }
    .ok_or_else(|| {
        let (french, english) =
            ("il faut un nombre, ou une date (2024-05-31).", "a number or a date (2024-05-31) is expected.");
        wrong(path, french, english)
    })
}

fn unknown(fields: &Map<String, Value>, known: &[&str], path: &str) -> ApiResult<()> {
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let name = crate::error::short(name);
            Err(wrong(&format!("{path}.{name}"), "ce champ n’existe pas ici.", "there is no such field here."))
        }
    }
}

/// A 400 that names the field.
pub(super) fn wrong(path: &str, french: impl AsRef<str>, english: impl AsRef<str>) -> ApiError {
    let (french, english) = (french.as_ref(), english.as_ref());
    ApiError::bad_request(format!("« {path} » : {french}"), format!("“{path}”: {english}")).param(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::server::Language;

    fn path(value: &Value) -> String {
        let body = read(value, "metadata_filters").unwrap_err().body(Language::En);
        body["error"]["param"].as_str().unwrap().to_owned()
    }

    #[test]
    fn the_forms_of_clients_are_read() {
        let eq = |key: &str| Filter::Eq { key: key.to_owned(), value: json!("a") };
        let simple = json!({"key": "k", "type": "eq", "value": "a"});
        assert_eq!(read(&simple, "f").unwrap(), eq("k"));
        let other = json!({"key": "l", "value": "a"});
        let both = Filter::And(vec![eq("k"), eq("l")]);
        assert_eq!(read(&json!({"and": [simple, other]}), "f").unwrap(), both);
        assert_eq!(read(&json!([simple, other]), "f").unwrap(), both);
        assert_eq!(read(&json!({"operator": "and", "filters": [simple, other]}), "f").unwrap(), both);
        assert_eq!(read(&json!({"type": "or", "filters": [simple]}), "f").unwrap(), Filter::Or(vec![eq("k")]));
    }

    #[test]
    fn bounds_are_numbers_or_dates() {
        let day = json!({"key": "d", "type": "ge", "value": "2024-05-31"});
        let from = Some(Bound::Date(1_717_113_600_000));
        assert_eq!(read(&day, "f").unwrap(), Filter::Range { key: "d".to_owned(), from, to: None });
        let span = json!({"key": "n", "type": "range", "from": 1, "to": 2.5});
        let (from, to) = (Some(Bound::Number(1.0)), Some(Bound::Number(2.5)));
        assert_eq!(read(&span, "f").unwrap(), Filter::Range { key: "n".to_owned(), from, to });
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        let cases = [
            (json!(3), "metadata_filters"),
            (json!({"type": "eq", "value": 1}), "metadata_filters.key"),
            (json!({"key": "k", "type": "like", "value": "a"}), "metadata_filters.type"),
            (json!({"key": "k", "type": "sw", "value": 3}), "metadata_filters.value"),
            (json!({"key": "k", "type": "eq", "value": null}), "metadata_filters.value"),
            (json!({"key": "k", "type": "eq", "value": {}}), "metadata_filters.value"),
            (json!({"key": "k", "type": "range"}), "metadata_filters.from"),
            (json!({"key": "k", "type": "range", "from": 1, "to": "2024-01-01"}), "metadata_filters.to"),
            (json!({"key": "k", "type": "ge", "value": "demain"}), "metadata_filters.value"),
            (json!({"and": [{"key": "k", "value": 1}, {"or": []}]}), "metadata_filters.and[1].or"),
            (json!({"and": {}}), "metadata_filters.and"),
            (json!({"operator": "not", "filters": [{"key": "k", "value": 1}]}), "metadata_filters.operator"),
            (json!({"key": "k", "value": 1, "boost": 2}), "metadata_filters.boost"),
        ];
        for (value, wanted) in cases {
            assert_eq!(path(&value), wanted, "{value}");
        }
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let mut deep = json!({"key": "k", "value": 1});
        for _ in 0..20 {
            deep = json!({"and": [deep]});
        }
        assert!(read(&deep, "f").is_err());
        let many: Vec<Value> = (0..100).map(|n| json!({"key": "k", "value": n})).collect();
        assert!(read(&json!({"or": many}), "f").is_err());
    }
}
