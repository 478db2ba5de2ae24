//! The generation parameters of a request as the usage record keeps them: numbers and short words,
//! never content.

use serde_json::value::RawValue;

use super::head::Head;
use super::object::Object;
use super::scan::{Scanner, Token};

/// Fields kept when they are numbers.
const NUMBERS: [&str; 10] = [
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "seed",
    "presence_penalty",
    "frequency_penalty",
];

/// Bytes that most need.
const ROOM: usize = 128;

/// Longest number or word kept.
const LONGEST: usize = 24;

/// A small JSON object of the numeric and enumerated generation parameters; `None` when there is none.
/// At most a few hundred bytes: every value is bounded and the list of names is closed.
#[must_use]
pub fn parameters(head: &Head<'_>) -> Option<String> {
    let mut out = String::with_capacity(ROOM);
    for field in head.fields() {
        let Some(raw) = field.present() else { continue };
        let value = raw.get();
        match &*field.name {
            name if NUMBERS.contains(&name)
                && value.len() <= LONGEST
                && value.starts_with(|c: char| c == '-' || c.is_ascii_digit()) =>
            {
                put(&mut out, name, value);
            }
            name @ ("reasoning_effort" | "tool_choice") => word(&mut out, name, value),
            "response_format" => {
                if let Some(kind) = Object::parse(value).ok().and_then(|format| format.raw("type")) {
                    word(&mut out, "response_format", kind.get());
                }
            }
            "tools" => put(&mut out, "tools", &elements(raw).to_string()),
            "stop" => put(&mut out, "stop", &elements(raw).to_string()),
            _ => {}
        }
    }
    if out.is_empty() {
        return None;
    }
    out.push('}');
    Some(out)
}

/// Adds a JSON string that looks like a word of an enumeration.
fn word(out: &mut String, name: &str, quoted: &str) {
    let plain = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let enumerated = |word: &str| {
        !word.is_empty()
            && word.len() <= LONGEST
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    if plain.is_some_and(enumerated) {
        put(out, name, quoted);
    }
}

fn put(out: &mut String, name: &str, json: &str) {
    out.push(if out.is_empty() { '{' } else { ',' });
    out.push('"');
    out.push_str(name);
    out.push_str("\":");
    out.push_str(json);
}

/// How many items a list has; anything else counts as one.
fn elements(raw: &RawValue) -> usize {
    if !raw.get().starts_with('[') {
        return 1;
    }
    let (mut depth, mut found) = (0usize, 0usize);
    for token in Scanner::new(raw.get()) {
        match token {
            Token::ObjectStart | Token::ArrayStart => {
                found += usize::from(depth == 1);
                depth += 1;
            }
            Token::ObjectEnd | Token::ArrayEnd => depth = depth.saturating_sub(1),
            Token::String(_) | Token::Scalar => found += usize::from(depth == 1),
            Token::Key(_) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_short_words_only() {
        let body = r#"{"model":"m","messages":[{"content":"secret"}],"temperature":0.7,"seed":1e999999999999999999999999999,
            "top_p":null,"reasoning_effort":"high","response_format":{"type":"json_schema","json_schema":{"name":"x"}},
            "tool_choice":"auto","tools":[{"type":"function","function":{"name":"a","parameters":[1,2]}},{}],
            "stop":["a","b",["c"]],"n":"secret","top_k":40}"#;
        let head = Head::parse(body.replace(r#""n":"secret","#, "").as_bytes()).map(|head| head.parameters());
        assert_eq!(
            head.unwrap().unwrap(),
            r#"{"temperature":0.7,"reasoning_effort":"high","response_format":"json_schema","tool_choice":"auto","tools":2,"stop":3,"top_k":40}"#
        );
        let silent =
            r#"{"reasoning_effort":"Mon secret","tool_choice":{"type":"function"},"temperature":"secret","model":"m"}"#;
        assert_eq!(Head::parse(silent.as_bytes()).unwrap().parameters(), None);
        assert_eq!(Head::parse(br#"{"stop":"fin"}"#).unwrap().parameters().unwrap(), r#"{"stop":1}"#);
    }
}
