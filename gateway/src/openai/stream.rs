//! A stream observed, forwarded as it came, and edited only where a rule says so.
//!
//! Whole events go out; untouched ones that stand side by side in one frame go out as one slice of it.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::choice::{ChoiceState, Fate};
use super::chunk::{Choice, Chunk, Data, Said, bounded, data};
pub use super::chunk::{First, first_event};
use super::object::{Object, offset, range_in};
use super::rules::{Observed, Rules, finish_reason};
use super::splice::{Edits, Patch};
use super::sse::{Event, Splitter};
use super::usage::Usage;

/// Whether the stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Open,
    /// The engine has said all; what follows would be ignored.
    Done,
    /// The engine said that it failed, said garbage, or passed a bound.
    Cut(Why),
}

/// Why a stream is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It ended, or broke, in the middle.
    Ended,
    /// The engine sent an error.
    Error,
    /// What came is no chunk.
    Garbage,
    /// An event, or the whole, passed its bound.
    TooLarge,
}

/// How the engine's side ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// In order.
    Eof,
    /// Broken, or given up.
    Failed,
}

/// What the client got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The whole answer, `[DONE]` included.
    Complete,
    /// A part of it. The caller says so, and closes without `[DONE]`.
    Cut(Why),
}

const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// One stream on its way through.
#[derive(Debug)]
pub struct Transcript {
    rules: Rules,
    splitter: Splitter,
    observed: Observed,
    choices: Vec<ChoiceState>,
    /// `"id":…,"object":…,"created":…` of the first chunk, for chunks of our own.
    head: String,
    usage_sent: bool,
    state: Flow,
}

/// What becomes of one event.
enum Act {
    Pass,
    Drop,
    Replace(Bytes),
    Done,
    Cut(Why),
}

impl Transcript {
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            splitter: Splitter::new(rules.bounds.event),
            rules,
            observed: Observed::default(),
            choices: Vec::new(),
            head: String::new(),
            usage_sent: false,
            state: Flow::Open,
        }
    }

    #[must_use]
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// Takes one frame from the engine and gives what the client gets for it.
    pub fn push(&mut self, frame: Bytes, out: &mut VecDeque<Bytes>) -> Flow {
        if self.state != Flow::Open {
            return self.state;
        }
        self.splitter.push(frame);
        let mut run: Option<Range<usize>> = None;
        loop {
            let event = match self.splitter.next() {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(_) => {
                    self.state = Flow::Cut(Why::TooLarge);
                    break;
                }
            };
            let act = self.act(&event.bytes);
            match (act, event) {
                (Act::Pass, Event { bytes, offset: Some(start) }) => match &mut run {
                    Some(run) if run.end == start => run.end = start + bytes.len(),
                    _ => {
                        self.give_run(run.take(), out);
                        run = Some(start..start + bytes.len());
                    }
                },
                (Act::Pass, Event { bytes, offset: None }) => self.give(bytes, out),
                (Act::Drop, _) => {}
                (Act::Replace(bytes), _) => {
                    self.give_run(run.take(), out);
                    self.give(bytes, out);
                }
                (Act::Done, _) => {
                    self.give_run(run.take(), out);
                    self.end_well(out);
                    break;
                }
                (Act::Cut(why), _) => {
                    self.state = Flow::Cut(why);
                    break;
                }
            }
            let given = self.observed.bytes_out + run.as_ref().map_or(0, |run| run.len() as u64);
            if given > self.rules.bounds.total {
                self.state = Flow::Cut(Why::TooLarge);
                break;
            }
        }
        self.give_run(run, out);
        self.splitter.let_go();
        self.state
    }

    /// The engine's side is over: what is left to give, and whether the answer is whole.
    pub fn finish(&mut self, end: End, out: &mut VecDeque<Bytes>) -> Outcome {
        if self.state == Flow::Open && end == End::Eof {
            // Some engines end their last event with the connection.
            if let Some(tail) = self.splitter.finish() {
                match self.act(&tail) {
                    Act::Pass => {
                        self.give(tail, out);
                        self.give(Bytes::from_static(b"\n\n"), out);
                    }
                    Act::Replace(bytes) => self.give(bytes, out),
                    Act::Done => self.end_well(out),
                    Act::Drop | Act::Cut(_) => {}
                }
            }
        }
        match self.state {
            Flow::Done => Outcome::Complete,
            Flow::Cut(why) => Outcome::Cut(why),
            // The text is whole once every choice has said why it ended, whatever became of the connection.
            Flow::Open if !self.choices.is_empty() && self.choices.iter().all(|choice| choice.finished) => {
                self.end_well(out);
                Outcome::Complete
            }
            Flow::Open => {
                self.state = Flow::Cut(Why::Ended);
                Outcome::Cut(Why::Ended)
            }
        }
    }

    fn give(&mut self, bytes: Bytes, out: &mut VecDeque<Bytes>) {
        self.observed.bytes_out += bytes.len() as u64;
        out.push_back(bytes);
    }

    fn give_run(&mut self, run: Option<Range<usize>>, out: &mut VecDeque<Bytes>) {
        if let Some(run) = run {
            let bytes = self.splitter.frame().slice(run);
            self.give(bytes, out);
        }
    }

    /// What was held back, the usage if it was asked and has not come, and `[DONE]`.
    fn end_well(&mut self, out: &mut VecDeque<Bytes>) {
        self.observed.done = true;
        self.state = Flow::Done;
        let held: Vec<(u64, String)> =
            self.choices.iter_mut().filter_map(|choice| choice.flush().map(|delta| (choice.index, delta))).collect();
        for (index, delta) in held {
            let chunk = self.chunk(&format!("[{{\"index\":{index},\"delta\":{delta},\"finish_reason\":null}}]"), "");
            self.give(chunk, out);
        }
        if self.rules.usage_asked && !self.usage_sent {
            let (usage, _) = self.observed.usage_or(&self.rules.estimate);
            let usage = usage.to_json(self.rules.impacts.as_ref().and_then(|impacts| impacts.get(&usage)));
            let chunk = self.chunk("[]", &format!(",\"usage\":{usage}"));
            self.give(chunk, out);
            self.usage_sent = true;
        }
        self.give(DONE, out);
    }

    /// A chunk of our own, in the engine's frame.
    fn chunk(&self, choices: &str, more: &str) -> Bytes {
        let head = match self.head.as_str() {
            "" => "\"object\":\"chat.completion.chunk\"",
            head => head,
        };
        let model = self.rules.rename.as_ref().map_or("\"\"", |rename| rename.quoted());
        Bytes::from(format!("data: {{{head},\"model\":{model},\"choices\":{choices}{more}}}\n\n"))
    }

    fn act(&mut self, event: &[u8]) -> Act {
        match data(event) {
            // An engine's own comments say nothing to the client, which gets ours.
            Data::None => Act::Drop,
            Data::Done => Act::Done,
            Data::NotUtf8 => Act::Cut(Why::Garbage),
            Data::Error(text) => {
                self.observed.engine_error = Some(bounded(&text));
                Act::Cut(Why::Error)
            }
            Data::Json(text) => {
                // Only an event whose data is one slice of it can be edited in place or passed as it is.
                let within = matches!(text, std::borrow::Cow::Borrowed(_));
                let mut patch = Patch::new();
                match self.read(&text, &mut patch) {
                    Act::Pass if within && patch.is_empty() => Act::Pass,
                    Act::Pass => Act::Replace(rewritten(&text, patch)),
                    other => other,
                }
            }
        }
    }

    fn read(&mut self, text: &str, patch: &mut Patch<'_>) -> Act {
        let Some(chunk) = Chunk::parse(text) else { return Act::Cut(Why::Garbage) };
        if let Some(error) = chunk.error_text() {
            self.observed.engine_error = Some(error);
            return Act::Cut(Why::Error);
        }
        if self.head.is_empty() {
            self.remember_head(&chunk);
        }
        let usage = chunk.usage.and_then(|raw| Usage::parse(raw).map(|usage| (raw, usage)));
        if let Some((_, usage)) = usage {
            self.observed.usage = Some(usage);
        }
        if let (Some(rename), Some(model)) = (&self.rules.rename, chunk.model)
            && model.get() != rename.quoted()
        {
            patch.replace(range_in(text, model), rename.quoted().as_bytes().to_owned());
        }
        let choices = chunk.choices.as_deref().unwrap_or_default();
        if choices.is_empty() {
            let Some((raw, usage)) = usage.filter(|_| self.rules.usage_asked && !self.usage_sent) else {
                return Act::Drop;
            };
            self.usage_sent = true;
            if let Some(impacts) = self.rules.impacts.as_ref().and_then(|impacts| impacts.get(&usage))
                && let Ok(object) = Object::within(text, raw.get())
            {
                let mut own = Patch::new();
                let mut edits = Edits::of(&object);
                edits.set("impacts", impacts.to_json().into_bytes());
                edits.apply(&mut own);
                patch.extend_owned(own);
            }
            return Act::Pass;
        }
        let mut empty = 0;
        for choice in choices {
            match self.choice(text, choice, patch) {
                Ok(Fate::Keep) => {}
                Ok(Fate::Empty) => empty += 1,
                Err(why) => return Act::Cut(why),
            }
        }
        // Told in the chunk that was asked for, and not in the finish chunk too: some clients add both up.
        if self.rules.usage_asked
            && usage.is_some()
            && choices.iter().any(|choice| choice.finish_reason.is_some_and(|raw| raw.get() != "null"))
            && let Ok(object) = Object::parse(text)
        {
            let mut own = Patch::new();
            let mut edits = Edits::of(&object);
            edits.remove("usage");
            edits.apply(&mut own);
            patch.extend_owned(own);
        }
        if empty == choices.len() { Act::Drop } else { Act::Pass }
    }

    fn choice(&mut self, text: &str, choice: &Choice<'_>, patch: &mut Patch<'_>) -> Result<Fate, Why> {
        let index = choice.index.unwrap_or(0);
        let at = match self.choices.iter().position(|known| known.index == index) {
            Some(at) => at,
            None if self.choices.len() >= self.rules.bounds.choices => return Err(Why::TooLarge),
            None => {
                self.choices.push(ChoiceState::new(index, &self.rules));
                self.choices.len() - 1
            }
        };
        let reason = choice.finish_reason.filter(|raw| raw.get() != "null").and_then(|raw| finish_reason(raw.get()));
        let last = reason.is_some();
        if last {
            self.observed.finish_reason = reason;
        }
        let Some(state) = self.choices.get_mut(at) else { return Err(Why::Garbage) };
        // A text completion has no delta: its text is counted and goes as it is.
        let Some(delta) = choice.delta else {
            if let Some(said) = choice.text {
                self.observed.saw_text(super::chunk::text_len(said.get()));
            }
            state.finished |= last;
            return Ok(Fate::Keep);
        };
        let said = Said::parse(delta).unwrap_or_default();
        self.observed.saw_text(said.text_bytes());
        let mut fate = Fate::Keep;
        if self.rules.edit_deltas() {
            fate = state.edit(text, delta, &said, last, &self.rules, patch).map_err(|_| Why::TooLarge)?;
        }
        if fate == Fate::Keep && !state.role_sent {
            state.role_sent = true;
            if said.role.is_none()
                && let Some(brace) = delta.get().find('{')
            {
                let inside = offset(text, delta.get()) + brace + 1;
                let rest = delta.get().get(brace + 1..).unwrap_or_default().trim_ascii_start();
                let (before, after) = match rest.starts_with('}') {
                    true if patch.inserts_at(inside) => (",", ""),
                    true => ("", ""),
                    false => ("", ","),
                };
                patch.replace(inside..inside, format!("{before}\"role\":\"assistant\"{after}").into_bytes());
            }
        }
        state.finished |= last;
        Ok(fate)
    }

    fn remember_head(&mut self, chunk: &Chunk<'_>) {
        let fields = [("id", chunk.id), ("object", chunk.object), ("created", chunk.created)];
        let known: Vec<String> = fields
            .into_iter()
            .filter_map(|(name, raw)| raw.map(|raw| format!("\"{name}\":{}", raw.get())))
            .filter(|field| field.len() < 200)
            .collect();
        self.head = known.join(",");
    }
}

/// One event around edited JSON.
fn rewritten(text: &str, patch: Patch<'_>) -> Bytes {
    let mut out = BytesMut::with_capacity(text.len() + 128);
    out.extend_from_slice(b"data: ");
    patch.write(text.as_bytes(), &mut out);
    out.extend_from_slice(b"\n\n");
    out.freeze()
}

#[cfg(test)]
mod tests;
