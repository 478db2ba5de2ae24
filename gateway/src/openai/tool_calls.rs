//! Tool-call deltas gathered into whole calls, for a client that cannot join them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::scan::unquote;

#[derive(Deserialize)]
struct Delta<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

#[derive(Debug)]
struct Call {
    index: u64,
    /// JSON strings without their quotes: they are joined as they were sent.
    id: String,
    name: String,
    arguments: String,
}

/// The tool calls of one choice, as far as they have come.
#[derive(Debug, Default)]
pub struct ToolCalls {
    calls: Vec<Call>,
    size: usize,
}

/// The calls are larger than the bound, or not tool calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// A JSON string without its quotes; objects, which some engines send as arguments, as text.
fn inner(raw: &RawValue) -> String {
    match raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(text) => text.to_owned(),
        None => {
            let quoted = serde_json::Value::from(raw.get()).to_string();
            quoted.trim_matches('"').to_owned()
        }
    }
}

impl ToolCalls {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Adds one `tool_calls` list of a delta.
    ///
    /// # Errors
    /// When it is not such a list, or all calls together pass `max` bytes.
    pub fn push(&mut self, raw: &RawValue, max: usize) -> Result<(), Refused> {
        self.size += raw.get().len();
        if self.size > max {
            return Err(Refused);
        }
        let deltas: Vec<Delta<'_>> = serde_json::from_str(raw.get()).map_err(|_| Refused)?;
        for delta in deltas {
            let id = delta.id.map(inner).unwrap_or_default();
            let call = self.find(delta.index, &id)?;
            if call.id.is_empty() {
                call.id = id;
            }
            let Some(function) = delta.function else { continue };
            // A repeated name is the same name.
            if let Some(name) = function.name
                && call.name.is_empty()
            {
                call.name = inner(name);
            }
            if let Some(arguments) = function.arguments {
                call.arguments.push_str(&inner(arguments));
            }
        }
        Ok(())
    }

    /// The call a delta belongs to: by index; without one, a new id begins a new call.
    fn find(&mut self, index: Option<u64>, id: &str) -> Result<&mut Call, Refused> {
        let position = match index {
            Some(index) => self.calls.iter().position(|call| call.index == index),
            None => match self.calls.last() {
                Some(last) if id.is_empty() || last.id == id => Some(self.calls.len() - 1),
                _ => None,
            },
        };
        let position = match position {
            Some(position) => position,
            None => {
                let index = index.unwrap_or(self.calls.len() as u64);
                self.calls.push(Call { index, id: String::new(), name: String::new(), arguments: String::new() });
                self.calls.len() - 1
            }
        };
        self.calls.get_mut(position).ok_or(Refused)
    }

    /// The calls whole, as one `tool_calls` list; the gathering starts afresh.
    pub fn take(&mut self) -> String {
        let mut out = String::with_capacity(self.size + 16);
        out.push('[');
        for (position, call) in self.calls.drain(..).enumerate() {
            if position > 0 {
                out.push(',');
            }
            out.push_str(&format!(
                "{{\"index\":{},\"id\":\"{}\",\"type\":\"function\",\"function\":{{\"name\":\"{}\",\"arguments\":\"",
                call.index, call.id, call.name
            ));
            out.push_str(if call.arguments.is_empty() { "{}" } else { &call.arguments });
            out.push_str("\"}}");
        }
        out.push(']');
        self.size = 0;
        out
    }
}

/// Whether a delta's `tool_calls` holds anything.
pub(crate) fn holds_calls(raw: &RawValue) -> bool {
    raw.get().strip_prefix('[').is_some_and(|rest| rest.trim_ascii_start() != "]")
}

/// The text of a JSON string; `None` for anything else.
pub(crate) fn text(raw: &RawValue) -> Option<std::borrow::Cow<'_, str>> {
    unquote(raw.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(deltas: &[&str]) -> String {
        let mut calls = ToolCalls::default();
        for delta in deltas {
            calls.push(serde_json::from_str(delta).unwrap(), 1000).unwrap();
        }
        calls.take()
    }

    #[test]
    fn pieces_join_by_index() {
        let whole = r#"[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":\"é\\n\"}"}},{"index":1,"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]"#;
        assert_eq!(
            gathered(&[
                r#"[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}]"#,
                r#"[{"index":0,"function":{"name":"f","arguments":"{\"a\":"}},{"index":1,"id":"c2","function":{"name":"g","arguments":""}}]"#,
                r#"[{"index":0,"id":null,"function":{"name":null,"arguments":"\"é\\n\"}"}}]"#,
            ]),
            whole
        );
        assert_eq!(gathered(&[whole]), whole);
        serde_json::from_str::<serde_json::Value>(whole).unwrap();
    }

    #[test]
    fn without_index_a_new_id_is_a_new_call_and_objects_become_text() {
        assert_eq!(
            gathered(&[
                r#"[{"id":"a","function":{"name":"f","arguments":{"x":"y"}}},{"id":"b","function":{"name":"g"}}]"#
            ]),
            r#"[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":\"y\"}"}},{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]"#
        );
    }

    #[test]
    fn size_is_bounded_and_garbage_refused() {
        let mut calls = ToolCalls::default();
        let big = format!("[{{\"index\":0,\"function\":{{\"arguments\":\"{}\"}}}}]", "x".repeat(600));
        let raw = serde_json::from_str(&big).unwrap();
        assert_eq!(calls.push(raw, 1000), Ok(()));
        assert_eq!(calls.push(raw, 1000), Err(Refused));
        assert_eq!(ToolCalls::default().push(serde_json::from_str("\"x\"").unwrap(), 1000), Err(Refused));
    }
}
