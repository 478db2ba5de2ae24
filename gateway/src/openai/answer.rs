//! The same rules over an answer that is not streamed.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::chunk::{Chunk, Said, text_len};
use super::clean::clean_whole;
use super::object::{Object, range_in};
use super::rules::{Observed, Reasoning, Rules, finish_reason};
use super::scan::unquote;
use super::splice::{Edits, Patch};
use super::think::{Parts, Think};
use super::usage::Usage;

/// Why a body with status 200 is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAnAnswer {
    /// HTML, garbage, a list, JSON without `choices`.
    Malformed,
    /// An error in an answer's clothes; the text is for the log.
    Error(String),
}

fn quoted(text: &str) -> Vec<u8> {
    serde_json::Value::from(text).to_string().into_bytes()
}

/// A message, as far as it is read.
trait Message<'a>: Deserialize<'a> {
    /// What it says, with its bytes where it may have to change.
    fn said(self) -> Option<(Said<'a>, Option<&'a RawValue>)>;
}

impl<'a> Message<'a> for Said<'a> {
    fn said(self) -> Option<(Said<'a>, Option<&'a RawValue>)> {
        Some((self, None))
    }
}

impl<'a> Message<'a> for &'a RawValue {
    fn said(self) -> Option<(Said<'a>, Option<&'a RawValue>)> {
        Some((Said::parse(self)?, Some(self)))
    }
}

/// What the client gets for a whole chat or text completion, and what was seen of it. The same `Bytes` when nothing had
/// to change.
///
/// # Errors
/// When the body is no answer.
pub fn rewrite(body: Bytes, rules: &Rules) -> Result<(Bytes, Observed), NotAnAnswer> {
    // A message that stays as it is is read once.
    if rules.edit_deltas() { rewrite_as::<&RawValue>(&body, rules) } else { rewrite_as::<Said<'_>>(&body, rules) }
}

fn rewrite_as<'a, M: Message<'a>>(body: &'a Bytes, rules: &Rules) -> Result<(Bytes, Observed), NotAnAnswer> {
    let text = simdutf8::basic::from_utf8(body).map_err(|_| NotAnAnswer::Malformed)?;
    let chunk = Chunk::<M>::read(text).ok_or(NotAnAnswer::Malformed)?;
    if let Some(error) = chunk.error_text() {
        return Err(NotAnAnswer::Error(error));
    }
    let choices = chunk.choices.filter(|choices| !choices.is_empty()).ok_or(NotAnAnswer::Malformed)?;
    let mut observed = Observed { done: true, ..Observed::default() };
    let mut patch = Patch::new();
    for choice in choices {
        if let Some(reason) = choice.finish_reason.filter(|raw| raw.get() != "null") {
            observed.finish_reason = finish_reason(reason.get());
        }
        match (choice.message, choice.text) {
            (Some(message), _) => {
                let (said, raw) = message.said().ok_or(NotAnAnswer::Malformed)?;
                observed.saw_text(said.text_bytes());
                if let Some(message) = raw {
                    edit_message(text, message, &said, rules, &mut patch);
                }
            }
            (None, Some(said)) => observed.saw_text(text_len(said.get())),
            (None, None) => return Err(NotAnAnswer::Malformed),
        }
    }
    if let (Some(rename), Some(model)) = (&rules.rename, chunk.model)
        && model.get() != rename.quoted()
    {
        patch.replace(range_in(text, model), rename.quoted().as_bytes());
    }
    observed.usage = chunk.usage.and_then(Usage::parse);
    let (usage, estimated) = observed.usage_or(&rules.estimate);
    let impacts = rules.impacts.as_ref().and_then(|impacts| impacts.get(&usage));
    if estimated {
        let object = Object::parse(text).map_err(|_| NotAnAnswer::Malformed)?;
        let mut own = Patch::new();
        let mut edits = Edits::of(&object);
        edits.set("usage", usage.to_json(impacts).into_bytes());
        edits.apply(&mut own);
        patch.extend_owned(own);
    } else if let (Some(impacts), Some(raw)) = (impacts, chunk.usage)
        && let Ok(object) = Object::within(text, raw.get())
    {
        let mut own = Patch::new();
        let mut edits = Edits::of(&object);
        edits.set("impacts", impacts.to_json().into_bytes());
        edits.apply(&mut own);
        patch.extend_owned(own);
    }
    let changed = if patch.is_empty() {
        body.clone()
    } else {
        let mut out = bytes::BytesMut::with_capacity(body.len() + 256);
        patch.write(body, &mut out);
        out.freeze()
    };
    observed.bytes_out = changed.len() as u64;
    Ok((changed, observed))
}

/// Tells reasoning apart and cleans the content of one message.
fn edit_message(whole: &str, message: &RawValue, said: &Said<'_>, rules: &Rules, patch: &mut Patch<'_>) {
    let Ok(object) = Object::within(whole, message.get()) else { return };
    let mut edits = Edits::of(&object);
    let mut changed = false;
    if rules.reasoning == Reasoning::Field && said.reasoning_content.is_none() && said.reasoning.is_some() {
        edits.rename("reasoning", "reasoning_content");
        changed = true;
    }
    if let Some(original) = said.content.and_then(|raw| unquote(raw.get())) {
        let parts = separate(&original, rules.reasoning);
        let content = match clean_whole(&parts.content, rules.cleaning) {
            Some(cleaned) => Cow::Borrowed(cleaned),
            None => Cow::Borrowed(parts.content.as_str()),
        };
        if *content != *original {
            edits.set("content", quoted(&content));
            changed = true;
        }
        if !parts.reasoning.is_empty() {
            edits.set("reasoning_content", quoted(&parts.reasoning));
            changed = true;
        }
    }
    if changed {
        let mut own = Patch::new();
        edits.apply(&mut own);
        patch.extend_owned(own);
    }
}

/// A whole text, its reasoning told apart. A closing tag without an opening one ends reasoning that the chat template
/// had opened.
fn separate(text: &str, reasoning: Reasoning) -> Parts {
    let Reasoning::ThinkTags { opened } = reasoning else {
        return Parts { content: text.to_owned(), ..Parts::default() };
    };
    let begins = text.trim_start().starts_with("<think>");
    let unopened =
        !begins && text.find("</think>").is_some_and(|close| text.find("<think>").is_none_or(|open| close < open));
    let mut parts = Parts::default();
    let mut think = Think::new((opened && !begins && text.contains("</think>")) || unopened);
    think.push(text, &mut parts);
    think.finish(&mut parts);
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::rules::{Cleaning, Rename};
    use super::super::usage::{Estimate, Impacts, ImpactsOf};
    use super::*;

    fn answer(message: &Value) -> Value {
        json!({"id": "c", "object": "chat.completion", "model": "engine/name", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}, "timings": {"x": 1}})
    }

    fn through(body: &Value, rules: &Rules) -> (Value, Observed) {
        let (bytes, observed) = rewrite(Bytes::from(body.to_string()), rules).unwrap();
        (serde_json::from_slice(&bytes).unwrap(), observed)
    }

    #[test]
    fn nothing_to_change_is_the_same_bytes() {
        let body = Bytes::from(answer(&json!({"role": "assistant", "content": "Bonjour"})).to_string());
        let rules = Rules { rename: Some(Rename::to("engine/name")), ..Rules::default() };
        let (bytes, observed) = rewrite(body.clone(), &rules).unwrap();
        assert_eq!(bytes.as_ptr(), body.as_ptr());
        assert_eq!(observed.usage.unwrap().output, 5);
        assert_eq!(observed.finish_reason.as_deref(), Some("stop"));
    }

    #[test]
    fn model_reasoning_fence_and_impacts() {
        let rules = Rules {
            rename: Some(Rename::to("public")),
            reasoning: Reasoning::ThinkTags { opened: false },
            cleaning: Cleaning { fence: true, preamble: true },
            impacts: Some(ImpactsOf::new(|usage| Some(Impacts { kwh: usage.output as f64, kg_co2eq: 0.5 }))),
            ..Rules::default()
        };
        let content = "<think>\nhum\n</think>\n\nVoici le texte corrigé :\n\n```markdown\nBonjour\n```";
        let (value, _) = through(&answer(&json!({"role": "assistant", "content": content})), &rules);
        let message = &value["choices"][0]["message"];
        assert_eq!(message["content"], "Bonjour", "{message}");
        assert_eq!(message["reasoning_content"], "hum");
        assert_eq!(value["model"], "public");
        assert_eq!(value["usage"]["impacts"], json!({"kWh": 5, "kgCO2eq": 0.5}));
        assert_eq!(value["timings"], json!({"x": 1}), "what is unknown stays");
    }

    #[test]
    fn reasoning_that_the_template_opened_is_told_apart() {
        let rules = Rules { reasoning: Reasoning::ThinkTags { opened: false }, ..Rules::default() };
        let (value, _) = through(&answer(&json!({"content": "hum\n</think>\n\nBonjour"})), &rules);
        assert_eq!(value["choices"][0]["message"]["content"], "Bonjour");
        assert_eq!(value["choices"][0]["message"]["reasoning_content"], "hum");
    }

    #[test]
    fn the_engines_other_name_of_reasoning_is_translated() {
        let rules = Rules { reasoning: Reasoning::Field, ..Rules::default() };
        let (value, _) = through(&answer(&json!({"content": "Bonjour", "reasoning": "hum"})), &rules);
        assert_eq!(value["choices"][0]["message"], json!({"content": "Bonjour", "reasoning_content": "hum"}));
    }

    #[test]
    fn usage_is_always_there() {
        let mut body = answer(&json!({"content": "Bonjour à vous"}));
        body["usage"] = Value::Null;
        let rules = Rules { estimate: Estimate { input: 7, bytes_per_token: 4.0 }, ..Rules::default() };
        for body in [body.clone(), {
            body.as_object_mut().unwrap().remove("usage");
            body
        }] {
            let (value, observed) = through(&body, &rules);
            assert_eq!(value["usage"]["prompt_tokens"], 7);
            assert_eq!(value["usage"]["completion_tokens"], 4);
            assert_eq!(observed.usage, None);
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for body in ["<html>", "[]", "{}", "{\"choices\":[]}", "{\"choices\":[{\"index\":0}]}", "garbage", ""] {
            assert_eq!(rewrite(Bytes::from(body), &Rules::default()).unwrap_err(), NotAnAnswer::Malformed, "{body}");
        }
        let error = rewrite(Bytes::from_static(b"{\"error\":{\"message\":\"CUDA\"}}"), &Rules::default()).unwrap_err();
        assert_eq!(error, NotAnAnswer::Error("CUDA".into()));
    }
}
