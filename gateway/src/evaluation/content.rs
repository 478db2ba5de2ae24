//! What is kept of a request: its messages, its answers, the passages found for it. Every text is redacted before it leaves
//! this file.

use std::collections::BTreeMap;

use ::eval::redact::redact;
use rag::Language;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::recorder::Endpoint;
use crate::recorder::capture::{Answer, Job, Passage};
use crate::store::evaluation::{EvaluationRecord, Kept, content_hash};

/// Deepest JSON inside JSON that is read as such: arguments of tools hold texts that hold JSON.
const DEPTH: usize = 4;

/// Redacts texts and counts what was masked.
#[derive(Default)]
struct Redactor {
    masked: BTreeMap<String, u64>,
}

/// The redacted content, as it is stored.
#[derive(Serialize)]
struct Content {
    messages: Vec<Value>,
    answers: Vec<Value>,
    passages: Vec<Passage>,
}

/// The record and redacted content of a request; `None` when what was noted is no conversation.
pub fn keep(job: Job) -> Option<Kept> {
    let Job { record, taken, body, messages, answer, passages, .. } = job;
    let mut redactor = Redactor::default();
    let asked: Value = match &messages {
        Some(rendered) => json!({"messages": serde_json::from_str::<Value>(rendered).ok()?}),
        None => serde_json::from_slice(&body).ok()?,
    };
    drop((body, messages));
    let messages = match record.endpoint {
        Endpoint::Completions => vec![json!({"role": "user", "content": redactor.value(asked.get("prompt")?, 0)})],
        _ => asked.get("messages")?.as_array()?.iter().map(|message| redactor.message(message)).collect(),
    };
    let answers = match answer {
        Answer::Nothing => return None,
        Answer::Whole(body) => whole(&serde_json::from_slice(&body).ok()?),
        Answer::Events(text) => events(&text),
    };
    let cut = record.outcome != crate::recorder::Outcome::Success;
    let cited = cited(&passages, &answers);
    let answers: Vec<Value> = answers.into_iter().map(|answer| redactor.answer(answer, cut)).collect();
    let passages = passages
        .into_iter()
        .map(|passage| Passage {
            text: redactor.text(&passage.text),
            document: passage.document.map(|name| redactor.text(&name)),
            cited: passage.number.is_some_and(|number| cited.contains(&number)),
            ..passage
        })
        .collect();
    let language = language(&messages);
    let content = serde_json::to_string(&Content { messages, answers, passages }).ok()?;
    let salt = salt()?;
    let record = EvaluationRecord {
        at: record.started_at,
        organization_id: record.organization_id,
        project_id: record.project_id?,
        end_user: record.end_user.map(Into::into),
        endpoint: record.endpoint.as_str().to_owned(),
        streamed: record.streamed,
        model: record.model_served.unwrap_or_default().into(),
        deployment: record.deployment.map(Into::into),
        data_class: record.data_class.into(),
        language,
        use_case: taken.use_case,
        prompt_id: record.prompt_id.map(Into::into),
        prompt_version: record.prompt_version.map(Into::into),
        prompt_hash: record.prompt_hash.map(Into::into),
        outcome: record.outcome.as_str().to_owned(),
        notice: taken.notice.to_string(),
        rule: taken.rule,
        probability: taken.probability,
        masked: redactor.masked,
        content_hash: content_hash(&salt, &content),
        id: record.id.into(),
    };
    Some(Kept { record, salt, content })
}

/// Numbers of the passages that the first answer cites.
#[cfg(feature = "retrieval")]
fn cited(passages: &[Passage], answers: &[Value]) -> Vec<usize> {
    let text = answers.first().and_then(|answer| answer["content"].as_str()).unwrap_or_default();
    let mut citations =
        rag::cite::Citations::of(passages.iter().filter_map(|passage| passage.number).max().unwrap_or(0));
    citations.push(text);
    citations.cited()
}

/// Without retrieval nothing is found, and nothing is cited.
#[cfg(not(feature = "retrieval"))]
fn cited(_: &[Passage], _: &[Value]) -> Vec<usize> {
    Vec::new()
}

fn salt() -> Option<String> {
    let mut noise = [0_u8; 16];
    getrandom::fill(&mut noise).ok()?;
    Some(crate::store::chain::hex(&noise))
}

/// Of what users wrote last.
fn language(messages: &[Value]) -> Option<String> {
    let last = messages.iter().rev().find(|message| message["role"] == "user")?;
    let texts: Vec<&str> = match &last["content"] {
        Value::String(text) => vec![text],
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => return None,
    };
    Some(match Language::of_blocks(texts.into_iter())? {
        Language::French => "fr".to_owned(),
        Language::English => "en".to_owned(),
    })
}

impl Redactor {
    fn text(&mut self, text: &str) -> String {
        // PostgreSQL stores no NUL, not even escaped in JSON that it is to read.
        let redacted = match text.contains('\0') {
            true => redact(&text.replace('\0', "")),
            false => redact(text),
        };
        for (kind, count) in redacted.masked {
            let name = serde_json::to_value(kind).ok().and_then(|name| name.as_str().map(str::to_owned));
            *self.masked.entry(name.unwrap_or_default()).or_default() += u64::try_from(count).unwrap_or(u64::MAX);
        }
        redacted.text
    }

    /// Redacts every text of a value, names of fields and long numbers too.
    fn value(&mut self, value: &Value, depth: usize) -> Value {
        match value {
            Value::String(text) => {
                let inner = text.trim_start().starts_with(['{', '[']) && depth < DEPTH;
                match inner.then(|| serde_json::from_str::<Value>(text)) {
                    Some(Ok(inner)) => Value::String(self.value(&inner, depth + 1).to_string()),
                    _ => Value::String(self.text(text)),
                }
            }
            Value::Number(number) => {
                let text = number.to_string();
                let redacted = self.text(&text);
                if redacted == text { value.clone() } else { Value::String(redacted) }
            }
            Value::Array(list) => list.iter().map(|one| self.value(one, depth)).collect(),
            Value::Object(map) => {
                Value::Object(map.iter().map(|(name, one)| (self.text(name), self.value(one, depth))).collect())
            }
            Value::Null | Value::Bool(_) => value.clone(),
        }
    }

    /// One message: who speaks, what is said, which tools are called. Anything else, a name above all, is left out.
    fn message(&mut self, message: &Value) -> Value {
        let mut kept = Map::new();
        if let Some(role) = message["role"].as_str().filter(|role| crate::recorder::capture::is_word(role)) {
            kept.insert("role".to_owned(), role.into());
        }
        match &message["content"] {
            Value::Array(parts) => {
                let parts = parts.iter().map(|part| self.part(part)).collect();
                kept.insert("content".to_owned(), Value::Array(parts));
            }
            Value::Null => {}
            content => {
                kept.insert("content".to_owned(), self.value(content, 0));
            }
        }
        for name in ["reasoning_content", "refusal", "tool_calls", "function_call"] {
            if let Some(said) = message.get(name).filter(|said| !said.is_null()) {
                kept.insert(name.to_owned(), self.value(said, 0));
            }
        }
        Value::Object(kept)
    }

    /// One part of a content. Images, sounds and files are not kept: nothing masks what they show.
    fn part(&mut self, part: &Value) -> Value {
        let kind = part["type"].as_str().filter(|kind| crate::recorder::capture::is_word(kind)).unwrap_or("other");
        match part["text"].as_str() {
            Some(text) => json!({"type": "text", "text": self.text(text)}),
            None => json!({"type": kind, "omitted": true}),
        }
    }

    /// One answer. What was cut in the middle loses its last, unfinished sentence: half an address would not be seen.
    fn answer(&mut self, mut answer: Value, cut: bool) -> Value {
        let finish = answer["finish_reason"].as_str().map(str::to_owned);
        let finish = finish.filter(|word| crate::recorder::capture::is_word(word));
        let cut = cut || finish.as_deref() == Some("length");
        if cut {
            for name in ["content", "reasoning_content", "refusal"] {
                if let Some(text) = answer[name].as_str().map(|text| finished(text).to_owned()) {
                    answer[name] = text.into();
                }
            }
            // Arguments that are not whole are no JSON, and hold nobody's whole name.
            if let Some(map) = answer.as_object_mut() {
                map.remove("tool_calls");
                map.remove("function_call");
            }
        }
        let mut kept = self.message(&answer);
        if let Some(map) = kept.as_object_mut() {
            map.remove("role");
            map.insert("finish_reason".to_owned(), finish.map_or(Value::Null, Value::from));
            if cut {
                map.insert("cut".to_owned(), true.into());
            }
        }
        kept
    }
}

/// A text up to the end of its last finished sentence.
fn finished(text: &str) -> &str {
    let mut end = 0;
    let mut before = ' ';
    for (at, now) in text.char_indices() {
        if now == '\n' || (now.is_whitespace() && matches!(before, '.' | '!' | '?' | '…' | ':')) {
            end = at;
        }
        before = now;
    }
    &text[..end]
}

/// The answers of a whole body, each with its finish reason.
fn whole(body: &Value) -> Vec<Value> {
    let choices = body["choices"].as_array().map(Vec::as_slice).unwrap_or_default();
    let read = |choice: &Value| {
        let mut answer = match choice.get("message") {
            Some(Value::Object(message)) => message.clone(),
            _ => Map::from_iter([("content".to_owned(), choice["text"].clone())]),
        };
        answer.insert("finish_reason".to_owned(), choice["finish_reason"].clone());
        Value::Object(answer)
    };
    choices.iter().map(read).collect()
}

/// The answers of a stream, put together.
fn events(text: &[u8]) -> Vec<Value> {
    let mut answers: BTreeMap<u64, Map<String, Value>> = BTreeMap::new();
    // Events went out whole; whatever was cut is no JSON and is passed over.
    for line in text.split(|byte| *byte == b'\n') {
        let Some(data) = line.strip_prefix(b"data:") else { continue };
        let Ok(chunk) = serde_json::from_slice::<Value>(data) else { continue };
        for choice in chunk["choices"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let answer = answers.entry(choice["index"].as_u64().unwrap_or(0)).or_default();
            if let Some(text) = choice["text"].as_str() {
                append(answer, "content", text);
            }
            let delta = &choice["delta"];
            for name in ["content", "reasoning_content", "refusal"] {
                if let Some(text) = delta[name].as_str() {
                    append(answer, name, text);
                }
            }
            for call in delta["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default() {
                tool_call(answer, call);
            }
            if !choice["finish_reason"].is_null() {
                answer.insert("finish_reason".to_owned(), choice["finish_reason"].clone());
            }
        }
    }
    answers.into_values().map(Value::Object).collect()
}

fn append(answer: &mut Map<String, Value>, name: &str, text: &str) {
    match answer.get_mut(name) {
        Some(Value::String(said)) => said.push_str(text),
        _ => drop(answer.insert(name.to_owned(), text.into())),
    }
}

/// Adds a piece of a tool call: its name comes first, its arguments in pieces.
fn tool_call(answer: &mut Map<String, Value>, piece: &Value) {
    let index = piece["index"].as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or(0).min(127);
    let calls = answer.entry("tool_calls").or_insert_with(|| Value::Array(Vec::new()));
    let Value::Array(calls) = calls else { return };
    while calls.len() <= index {
        calls.push(json!({"name": "", "arguments": ""}));
    }
    let Some(Value::Object(call)) = calls.get_mut(index) else { return };
    for name in ["name", "arguments"] {
        if let Some(text) = piece["function"][name].as_str() {
            append(call, name, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_put_together_before_it_is_redacted() {
        let text = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"jean.du\"}}]}\n\n\
            : keepalive\n\n\
            data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"pont@exam\"}}]}\n\n\
            data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ple.fr ?\",\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"nir\\\": 18505780\"}}]}}]}\n\n\
            data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"0608491}\"}}]},\"finish_reason\":\"stop\"}]}\n\n\
            data: [DONE]\n\n";
        let mut redactor = Redactor::default();
        let answers: Vec<Value> = events(text).into_iter().map(|answer| redactor.answer(answer, false)).collect();
        assert_eq!(answers[0]["content"], "[email] ?");
        assert_eq!(answers[0]["tool_calls"][0]["arguments"], r#"{"nir":"[NIR]"}"#, "{answers:?}");
        assert_eq!(answers[0]["finish_reason"], "stop");
        assert_eq!((redactor.masked["email"], redactor.masked["nir"]), (1, 1));
    }

    #[test]
    fn what_was_cut_ends_with_a_sentence() {
        assert_eq!(finished("Bonjour. Écrivez à jean.du"), "Bonjour.");
        assert_eq!(finished("jean.dupont@exam"), "");
        assert_eq!(finished("Un.\nDeux"), "Un.");
        let mut redactor = Redactor::default();
        let answer = json!({"content": "Voilà. NIR 1 85 05 78 006", "finish_reason": "length"});
        let kept = redactor.answer(answer, false);
        assert_eq!(kept, json!({"content": "Voilà.", "finish_reason": "length", "cut": true}));
    }

    #[test]
    fn names_images_and_unknown_fields_are_left_out() {
        let mut redactor = Redactor::default();
        let kept = redactor.message(&json!({"role": "user", "name": "jean", "user_id": 7, "content": [
            {"type": "text", "text": "Je suis Mme Marie Durand"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}));
        assert_eq!(
            kept,
            json!({"role": "user", "content": [{"type": "text", "text": "Je suis Mme [nom]"}, {"type": "image_url", "omitted": true}]})
        );
    }
}
