//! Metadata of documents and chunks: what filters look at. Text, numbers, booleans, and lists of them; a date is text, as
//! `2024-05-31` or RFC 3339.

use serde_json::{Map, Value};

use crate::error::{ApiError, ApiResult, short};

const FIELDS: usize = 64;
/// Characters of a name; bytes of a text.
const NAME: usize = 255;
const TEXT: usize = 8 << 10;
const LIST: usize = 256;

/// Metadata that came as a text of JSON; an empty one is none.
///
/// # Errors
/// 400 at `metadata`.
pub fn read(text: &str) -> ApiResult<Map<String, Value>> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    let value = serde_json::from_str(text).map_err(|error| {
        let place = format!("{}:{}", error.line(), error.column());
        ApiError::bad_request(
            format!("« metadata » n’est pas un texte JSON (à {place})."),
            format!("“metadata” is no JSON text (at {place})."),
        )
        .param("metadata")
    })?;
    check(value, "metadata")
}

/// Checked metadata; what is null is left out.
///
/// # Errors
/// 400 at the field at fault, under `path`.
pub fn check(value: Value, path: &str) -> ApiResult<Map<String, Value>> {
    let fields = match value {
        Value::Null => return Ok(Map::new()),
        Value::Object(fields) => fields,
        _ => return Err(wrong(path, "un objet JSON est attendu", "a JSON object is expected")),
    };
    let fields: Map<String, Value> = fields.into_iter().filter(|(_, value)| !value.is_null()).collect();
    if fields.len() > FIELDS {
        return Err(wrong(path, "au plus 64 champs", "at most 64 fields"));
    }
    for (name, value) in &fields {
        let at = || format!("{path}.{}", short(name));
        if name.trim().is_empty() || name.chars().count() > NAME || name.chars().any(char::is_control) {
            return Err(wrong(&at(), "un nom a de 1 à 255 caractères", "a name has 1 to 255 characters"));
        }
        let fits = match value {
            Value::Array(list) => list.len() <= LIST && list.iter().all(is_plain),
            value => is_plain(value),
        };
        if !fits {
            return Err(wrong(
                &at(),
                "texte (8 Kio au plus), nombre, booléen, ou liste de ceux-ci (256 au plus)",
                "text (8 KiB at most), number, boolean, or a list of them (256 at most)",
            ));
        }
    }
    Ok(fields)
}

fn is_plain(value: &Value) -> bool {
    match value {
        Value::String(text) => text.len() <= TEXT && !text.contains('\0'),
        Value::Number(_) | Value::Bool(_) => true,
        _ => false,
    }
}

fn wrong(path: &str, french: &str, english: &str) -> ApiError {
    ApiError::bad_request(format!("« {path} » : {french}."), format!("“{path}”: {english}.")).param(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_filters_can_look_at_is_taken() {
        let taken = read(r#"{"theme": "travail", "année": 2024, "en_vigueur": true, "tags": ["a", 1], "rien": null}"#);
        let wanted = json!({"theme": "travail", "année": 2024, "en_vigueur": true, "tags": ["a", 1]});
        assert_eq!(Value::Object(taken.unwrap()), wanted);
        assert!(read(" ").unwrap().is_empty() && check(Value::Null, "metadata").unwrap().is_empty());
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let many: Map<String, Value> = (0..65).map(|nth| (nth.to_string(), nth.into())).collect();
        for (value, path) in [
            (json!([1]), "metadata"),
            (json!({"a": {"b": 1}}), "metadata.a"),
            (json!({"a": [[1]]}), "metadata.a"),
            (json!({"a": "x".repeat(8193)}), "metadata.a"),
            (json!({"a": "x\u{0}"}), "metadata.a"),
            (json!({"": 1}), "metadata."),
            (Value::Object(many), "metadata"),
        ] {
            let body = check(value, "metadata").unwrap_err().body(crate::config::server::Language::Fr);
            assert_eq!(body["error"]["param"], path, "{body}");
        }
        let error = read("{\"a\": ").unwrap_err();
        assert_eq!(error.body(crate::config::server::Language::Fr)["error"]["param"], "metadata");
    }
}
