//! What an answer remembers of one choice while it passes: reasoning told apart, text cleaned, tool calls gathered.

use serde_json::value::RawValue;

use super::chunk::Said;
use super::clean::Clean;
use super::object::Object;
use super::rules::{Reasoning, Rules};
use super::splice::{Edits, Patch};
use super::think::{Parts, Think};
use super::tool_calls::{ToolCalls, holds_calls, text};

/// One choice of a streamed answer.
#[derive(Debug)]
pub(crate) struct ChoiceState {
    pub index: u64,
    /// A delta with a role has gone out.
    pub role_sent: bool,
    /// Its finish reason has come.
    pub finished: bool,
    think: Option<Think>,
    clean: Option<Clean>,
    calls: ToolCalls,
}

/// What becomes of a delta.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It says something, or nothing was changed.
    Keep,
    /// All it said is held back or gone.
    Empty,
}

/// The tool calls are too many or no tool calls.
#[derive(Debug)]
pub(crate) struct BadCalls;

fn quoted(text: &str) -> Vec<u8> {
    serde_json::Value::from(text).to_string().into_bytes()
}

impl ChoiceState {
    pub(crate) fn new(index: u64, rules: &Rules) -> Self {
        let think = match rules.reasoning {
            Reasoning::ThinkTags { opened } => Some(Think::new(opened)),
            Reasoning::Untouched | Reasoning::Field => None,
        };
        Self {
            index,
            role_sent: false,
            finished: false,
            think,
            clean: rules.cleaning.any().then(|| Clean::new(rules.cleaning)),
            calls: ToolCalls::default(),
        }
    }

    /// Edits one delta of `whole`. `last`: its finish reason comes with it, so nothing may be held back any more.
    pub(crate) fn edit(
        &mut self,
        whole: &str,
        delta: &RawValue,
        said: &Said<'_>,
        last: bool,
        rules: &Rules,
        patch: &mut Patch<'_>,
    ) -> Result<Fate, BadCalls> {
        let Ok(object) = Object::within(whole, delta.get()) else { return Ok(Fate::Keep) };
        let mut edits = Edits::of(&object);
        let mut changed = false;
        let mut says = said.role.is_some()
            || said.reasoning_content.is_some()
            || said.reasoning.is_some()
            || said.refusal.is_some()
            || said.function_call.is_some();
        if rules.reasoning == Reasoning::Field && said.reasoning_content.is_none() && said.reasoning.is_some() {
            edits.rename("reasoning", "reasoning_content");
            changed = true;
        }
        let content = said.content.and_then(text);
        if (self.think.is_some() || self.clean.is_some()) && (content.is_some() || last) {
            let original = content.as_deref().unwrap_or_default();
            let parts = self.read(original, last);
            if parts.content != original {
                // An empty first content beside the role is how streams begin: it stays.
                match (parts.content.is_empty(), said.content) {
                    (true, Some(_)) if said.role.is_none() => edits.remove("content"),
                    (true, None) => {}
                    _ => edits.set("content", quoted(&parts.content)),
                }
                changed = true;
            }
            if !parts.reasoning.is_empty() {
                edits.set("reasoning_content", quoted(&parts.reasoning));
                changed = true;
            }
            says |= !parts.content.is_empty() || !parts.reasoning.is_empty();
        } else {
            says |= content.is_some();
        }
        if rules.coalesce_tool_calls {
            if let Some(calls) = said.tool_calls.filter(|calls| holds_calls(calls)) {
                self.calls.push(calls, rules.bounds.tool_calls).map_err(|_| BadCalls)?;
                edits.remove("tool_calls");
                changed = true;
            }
            if last && !self.calls.is_empty() {
                edits.set("tool_calls", self.calls.take().into_bytes());
                says = true;
                changed = true;
            }
        } else {
            says |= said.tool_calls.is_some_and(holds_calls);
        }
        if changed {
            let mut own = Patch::new();
            edits.apply(&mut own);
            patch.extend_owned(own);
        }
        Ok(if says || last || !changed { Fate::Keep } else { Fate::Empty })
    }

    /// Passes text through the reader of tags, then the cleaner.
    fn read(&mut self, text: &str, last: bool) -> Parts {
        let mut parts = Parts::default();
        match &mut self.think {
            Some(think) => {
                think.push(text, &mut parts);
                if last {
                    think.finish(&mut parts);
                }
            }
            None => text.clone_into(&mut parts.content),
        }
        if let Some(clean) = &mut self.clean {
            let mut kept = String::with_capacity(parts.content.len());
            clean.push(&parts.content, &mut kept);
            if last {
                clean.finish(&mut kept);
            }
            parts.content = kept;
        }
        parts
    }

    /// At the end without a finish reason: a delta with what was held back, if anything was.
    pub(crate) fn flush(&mut self) -> Option<String> {
        if self.finished {
            return None;
        }
        let parts = self.read("", true);
        let mut fields = Vec::new();
        if !self.role_sent {
            fields.push("\"role\":\"assistant\"".to_owned());
        }
        if !parts.reasoning.is_empty() {
            fields.push(format!("\"reasoning_content\":{}", serde_json::Value::from(parts.reasoning.as_str())));
        }
        if !parts.content.is_empty() {
            fields.push(format!("\"content\":{}", serde_json::Value::from(parts.content.as_str())));
        }
        if !self.calls.is_empty() {
            fields.push(format!("\"tool_calls\":{}", self.calls.take()));
        }
        let says = fields.len() > usize::from(!self.role_sent);
        says.then(|| format!("{{{}}}", fields.join(",")))
    }
}
