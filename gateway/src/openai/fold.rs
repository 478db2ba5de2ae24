//! Messages laid out for chat templates that are strict about roles: folded, never dropped.
//!
//! Where nothing has to change, the very bytes go through. Otherwise only the messages concerned are written anew.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::wire_error::{Expected, WireError};

/// Without any of these, no message is a developer's; `\u` stands for any letter behind an escape.
static HINTS: LazyLock<[Finder<'static>; 2]> = LazyLock::new(|| ["developer", "\\u"].map(Finder::new));

/// What a template demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Folding {
    /// After an optional system message: user and assistant in turn, beginning with user (Mistral, Gemma).
    pub alternate: bool,
    /// The template does not know the role `developer`.
    pub developer_to_system: bool,
}

/// One message being laid out.
struct Message<'m> {
    role: String,
    /// Its bytes, while nothing changed.
    raw: Option<&'m RawValue>,
    fields: Map<String, Value>,
}

/// The messages as this template takes them, or `None` when they already are.
///
/// A document state that an assistant message gives before any question, as Docs does, goes into the next user
/// message between marks, so that the model still sees who said it.
///
/// # Errors
/// When `messages` is no list of objects with a role.
pub fn fold_messages(messages: &RawValue, folding: Folding) -> Result<Option<String>, WireError> {
    if folding == Folding::default() {
        return Ok(None);
    }
    let text = messages.get();
    // The cheap question first: most conversations have no developer, and most templates take any order.
    if !folding.alternate && HINTS.iter().all(|hint| hint.find(text.as_bytes()).is_none()) {
        return Ok(None);
    }
    let raws: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| WireError::wrong("messages", Expected::Array))?;
    let mut list = Vec::with_capacity(raws.len());
    for (index, raw) in raws.into_iter().enumerate() {
        let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(raw.get()) else {
            return Err(WireError::wrong(format!("messages[{index}]"), Expected::Object));
        };
        let Some(role) = fields.get("role").and_then(Value::as_str).map(str::to_owned) else {
            return Err(WireError::wrong(format!("messages[{index}].role"), Expected::String));
        };
        list.push(Message { role, raw: Some(raw), fields });
    }
    let mut changed = false;
    if folding.developer_to_system {
        for message in list.iter_mut().filter(|message| message.role == "developer") {
            message.set_role("system");
            changed = true;
        }
    }
    if folding.alternate {
        let (folded, moved) = alternate(list);
        list = folded;
        changed |= moved;
    }
    if !changed {
        return Ok(None);
    }
    let parts: Vec<String> = list.into_iter().map(Message::into_json).collect();
    Ok(Some(format!("[{}]", parts.join(","))))
}

/// Lays the messages out as system?, user, assistant, user, … ; tool messages stay behind the call they answer.
fn alternate(list: Vec<Message<'_>>) -> (Vec<Message<'_>>, bool) {
    let mut out: Vec<Message<'_>> = Vec::with_capacity(list.len());
    // What must go into the next user message, in order.
    let mut owed: Vec<Value> = Vec::new();
    let mut changed = false;
    for mut message in list {
        let before = out.last().map(|last| last.role.clone()).unwrap_or_default();
        match message.role.as_str() {
            "system" | "developer" if out.is_empty() && owed.is_empty() => out.push(message),
            "system" | "developer" if matches!(before.as_str(), "system" | "developer") && owed.is_empty() => {
                join_last(&mut out, message);
                changed = true;
            }
            "system" | "developer" => {
                owed.push(marked(message.content(), "Instructions", "instructions"));
                changed = true;
            }
            // An assistant that speaks before any user gives a state: the next user message carries it.
            "assistant" if matches!(before.as_str(), "" | "system" | "developer") && !message.has_calls() => {
                owed.push(marked(message.content(), "Contexte donné par l’assistant", "context"));
                changed = true;
            }
            "assistant"
                if before == "assistant" && !message.has_calls() && !out.last().is_some_and(Message::has_calls) =>
            {
                join_last(&mut out, message);
                changed = true;
            }
            "user" => {
                if !owed.is_empty() {
                    let mut contents = std::mem::take(&mut owed);
                    contents.push(message.content());
                    message.set_content(joined(contents));
                }
                if before == "user" {
                    join_last(&mut out, message);
                    changed = true;
                } else {
                    out.push(message);
                }
            }
            _ => out.push(message),
        }
    }
    if !owed.is_empty() {
        // Nobody spoke after it: it becomes what the user says last.
        let content = joined(owed);
        match out.last_mut() {
            Some(last) if last.role == "user" => last.set_content(joined(vec![last.content(), content])),
            _ => {
                let fields =
                    Map::from_iter([("role".to_owned(), Value::from("user")), ("content".to_owned(), content)]);
                out.push(Message { role: "user".to_owned(), raw: None, fields });
            }
        }
    }
    (out, changed)
}

/// Adds a message to the last one, which has the same role.
fn join_last(out: &mut [Message<'_>], message: Message<'_>) {
    if let Some(last) = out.last_mut() {
        let content = joined(vec![last.content(), message.content()]);
        last.set_content(content);
    }
}

/// A content between marks that say where it comes from.
fn marked(content: Value, label: &str, tag: &str) -> Value {
    joined_with(vec![Value::from(format!("{label} :\n<{tag}>")), content, Value::from(format!("</{tag}>"))], "\n")
}

fn joined(contents: Vec<Value>) -> Value {
    joined_with(contents, "\n\n")
}

/// Strings become one string; as soon as one is a list of parts, all become parts.
fn joined_with(contents: Vec<Value>, between: &str) -> Value {
    let contents: Vec<Value> =
        contents.into_iter().filter(|content| !content.is_null() && content.as_str() != Some("")).collect();
    if contents.iter().all(Value::is_string) {
        let texts: Vec<&str> = contents.iter().filter_map(Value::as_str).collect();
        return Value::from(texts.join(between));
    }
    let mut parts = Vec::new();
    for content in contents {
        match content {
            Value::Array(list) => parts.extend(list),
            Value::String(text) => parts.push(serde_json::json!({"type": "text", "text": text})),
            other => parts.push(other),
        }
    }
    Value::Array(parts)
}

impl Message<'_> {
    fn content(&self) -> Value {
        self.fields.get("content").cloned().unwrap_or(Value::Null)
    }

    fn set_content(&mut self, content: Value) {
        self.raw = None;
        self.fields.insert("content".to_owned(), content);
    }

    fn set_role(&mut self, role: &str) {
        self.raw = None;
        role.clone_into(&mut self.role);
        self.fields.insert("role".to_owned(), Value::from(role));
    }

    fn has_calls(&self) -> bool {
        self.fields.get("tool_calls").and_then(Value::as_array).is_some_and(|calls| !calls.is_empty())
    }

    fn into_json(self) -> String {
        match self.raw {
            Some(raw) => raw.get().to_owned(),
            None => Value::Object(self.fields).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const STRICT: Folding = Folding { alternate: true, developer_to_system: true };

    fn fold(messages: &Value, folding: Folding) -> Option<Value> {
        let raw = RawValue::from_string(messages.to_string()).unwrap();
        fold_messages(&raw, folding).unwrap().map(|text| serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn docs_document_state_reaches_the_user_message() {
        let messages = json!([{"role": "system", "content": "Tu aides."}, {"role": "assistant", "content": "Document : <p>Bonjour</p>"},
            {"role": "user", "content": "Corrige."}]);
        let folded = fold(&messages, STRICT).unwrap();
        assert_eq!(folded[0], messages[0]);
        assert_eq!(folded[1]["role"], "user");
        let text = folded[1]["content"].as_str().unwrap();
        assert!(text.contains("<p>Bonjour</p>") && text.ends_with("Corrige."), "{text}");
        assert_eq!(folded.as_array().unwrap().len(), 2);
    }

    #[test]
    fn what_already_alternates_keeps_its_bytes() {
        let messages = json!([{"role": "system", "content": "S"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]);
        assert_eq!(fold(&messages, STRICT), None);
    }

    #[test]
    fn developer_becomes_system_only_where_asked() {
        let messages = json!([{"role": "developer", "content": "S"}, {"role": "user", "content": "a"}]);
        assert_eq!(fold(&messages, STRICT).unwrap()[0]["role"], "system");
        assert_eq!(fold(&messages, Folding { alternate: true, developer_to_system: false }), None);
        assert_eq!(fold(&messages, Folding::default()), None);
    }

    #[test]
    fn calls_and_their_results_stay_in_order() {
        let messages = json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]},
            {"role": "tool", "tool_call_id": "1", "content": "r"}, {"role": "assistant", "content": "a"}]);
        assert_eq!(fold(&messages, STRICT), None);
    }

    proptest! {
        /// No text is lost, and user and assistant take turns.
        #[test]
        fn nothing_is_dropped_and_roles_alternate(roles in proptest::collection::vec(0usize..4, 1..12), parts in any::<bool>()) {
            let names = ["system", "user", "assistant", "developer"];
            let list: Vec<Value> = roles.iter().enumerate().map(|(i, role)| {
                let text = format!("texte-{i}-fin");
                let content = if parts && i % 3 == 0 { json!([{"type": "text", "text": text}]) } else { json!(text) };
                json!({"role": names[*role], "content": content})
            }).collect();
            let folded = fold(&json!(list), STRICT).unwrap_or(json!(list));
            let all = folded.to_string();
            for i in 0..roles.len() {
                let text = format!("texte-{i}-fin");
                prop_assert!(all.contains(&text), "{} lost in {}", text, all);
            }
            let mut roles: Vec<&str> = folded.as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
            if roles.first() == Some(&"system") { roles.remove(0); }
            for (i, role) in roles.iter().enumerate() {
                prop_assert_eq!(*role, if i % 2 == 0 { "user" } else { "assistant" });
            }
        }
    }
}
