//! What an answer must become on its way to the client, and what was seen of it.

use std::borrow::Cow;
use std::sync::Arc;

use super::usage::{Estimate, ImpactsOf, Usage};

/// What to change in an answer. The default changes nothing but what the protocol demands.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// The client set `stream_options.include_usage`. The engine is always asked.
    pub usage_asked: bool,
    /// The name the answer must carry.
    pub rename: Option<Rename>,
    pub reasoning: Reasoning,
    pub cleaning: Cleaning,
    /// Each tool call in one delta, whole (Mistral's own SDK).
    pub coalesce_tool_calls: bool,
    /// What to count when the engine gives no usage.
    pub estimate: Estimate,
    /// Impacts put inside `usage` wherever it is sent.
    pub impacts: Option<ImpactsOf>,
    pub bounds: Bounds,
}

/// The public name of a model. Any other `model` an engine writes in its answer, be it its own name
/// or a path on its disk, is replaced by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    quoted: Arc<str>,
}

impl Rename {
    #[must_use]
    pub fn to(public_id: &str) -> Self {
        Self { quoted: serde_json::Value::from(public_id).to_string().into() }
    }

    /// The name as a JSON string, quotes included.
    #[must_use]
    pub fn quoted(&self) -> &str {
        &self.quoted
    }
}

/// Where the engine puts its reasoning; clients always find it in `reasoning_content`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reasoning {
    /// The model does not reason, or the engine already says `reasoning_content`.
    #[default]
    Untouched,
    /// The engine says `reasoning` beside `content`.
    Field,
    /// Between `<think>` tags in the content. `opened`: the chat template has written the first
    /// tag, the answer begins inside.
    ThinkTags { opened: bool },
}

/// What to take away around the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cleaning {
    /// A code fence around the whole answer.
    pub fence: bool,
    /// A first line like « Voici le texte corrigé : ».
    pub preamble: bool,
}

impl Cleaning {
    #[must_use]
    pub fn any(self) -> bool {
        self.fence || self.preamble
    }
}

/// Bounds on what an engine may send, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub event: usize,
    pub total: u64,
    /// Of the tool calls held back for [`Rules::coalesce_tool_calls`].
    pub tool_calls: usize,
    /// Choices of one answer that are told apart.
    pub choices: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { event: super::sse::MAX_EVENT, total: 256 << 20, tool_calls: 1 << 20, choices: 128 }
    }
}

impl Rules {
    /// Whether a delta may have to change, its role aside.
    #[must_use]
    pub(crate) fn edit_deltas(&self) -> bool {
        self.reasoning != Reasoning::Untouched || self.cleaning.any() || self.coalesce_tool_calls
    }
}

/// What was seen of one answer, for the record and the ledger.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observed {
    /// The engine's own numbers, the last it gave.
    pub usage: Option<Usage>,
    /// Deltas that carried text, reasoning or tool calls: nearly the tokens of a stream.
    pub content_events: u64,
    /// Bytes of text, reasoning and tool-call arguments that the engine wrote, escapes undone.
    pub text_bytes: u64,
    /// Some text, reasoning or tool call has come: the time to first token can be read.
    pub saw_content: bool,
    /// The last one seen.
    pub finish_reason: Option<Cow<'static, str>>,
    /// The engine said `[DONE]`, or, not streamed, answered whole.
    pub done: bool,
    /// What the engine said went wrong, cut at a few hundred characters. For the log, never for a client.
    pub engine_error: Option<String>,
    /// Bytes given out for the client.
    pub bytes_out: u64,
}

impl Observed {
    /// The engine's usage, else the estimate; and whether it is one.
    #[must_use]
    pub fn usage_or(&self, estimate: &Estimate) -> (Usage, bool) {
        match self.usage {
            Some(usage) => (usage, false),
            None => (estimate.usage(self.text_bytes), true),
        }
    }

    pub(crate) fn saw_text(&mut self, bytes: usize) {
        if bytes > 0 {
            self.content_events += 1;
            self.saw_content = true;
            self.text_bytes += bytes as u64;
        }
    }
}

/// A finish reason without an allocation when it is one everybody knows.
pub(crate) fn finish_reason(quoted: &str) -> Option<Cow<'static, str>> {
    Some(Cow::Borrowed(match quoted {
        "\"stop\"" => "stop",
        "\"length\"" => "length",
        "\"tool_calls\"" => "tool_calls",
        "\"content_filter\"" => "content_filter",
        "\"function_call\"" => "function_call",
        "\"\"" => return None,
        _ => {
            let text = super::scan::unquote(quoted)?;
            return Some(Cow::Owned(text.chars().take(32).collect()));
        }
    }))
}
