//! Well-formed chat answers, and the ways in which they end badly.

mod render;

use std::time::Duration;

use serde_json::Value;

use super::play::Gate;

/// Where an engine puts what the model thought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reasoning {
    /// The field `reasoning_content` (llama.cpp, SGLang, older vLLM).
    ReasoningContent,
    /// The field `reasoning` (newer vLLM, Ollama).
    Reasoning,
    /// `<think>…</think>` at the head of the content.
    ThinkTags,
    /// `…</think>`: the chat template had already opened the tag.
    ThinkTagsUnopened,
}

/// How a text becomes deltas.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Split {
    /// One word each, with the space before it.
    Words,
    /// So many characters each.
    Chars(usize),
    /// At these character positions.
    At(Vec<usize>),
    /// One delta.
    Whole,
}

/// Where an engine tells its token counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Usage {
    /// As OpenAI: a chunk without choices, if `include_usage` was asked; always in a plain answer.
    WhenAsked,
    /// That chunk even where nobody asked.
    Always,
    /// In the finish chunk, and in no other.
    InFinish,
    /// In every chunk, as vLLM's continuous usage.
    EveryChunk,
    /// Nowhere.
    Never,
}

/// How an answer ends. All but `Done` and `NoDone` strike after [`Chat::cut`]'s number of events. In a plain (not streamed)
/// answer the three cuts stop half-way through the body, `Error` is a 200 with the error as its body, and `Silence` never
/// answers.
#[derive(Clone, PartialEq, Debug)]
pub enum Ending {
    /// Finish chunk, usage, `[DONE]`.
    Done,
    /// All of it but `[DONE]`.
    NoDone,
    /// The HTTP message ends in order, the stream in the middle: what most clients take for a whole answer.
    CleanEof,
    /// The connection closes in the middle of the HTTP message.
    Truncated,
    /// The connection is reset.
    Reset,
    /// One event with this JSON (`{"error": {…}}`), then the HTTP message ends in order.
    Error(Value),
    /// The same with `[DONE]` after it, as vLLM does.
    ErrorThenDone(Value),
    /// Nothing more is said, the connection stays.
    Silence,
    /// The same delta for ever.
    Endless,
}

/// A chat answer. Streamed if the request says so, as a legacy completion if that is what was asked.
#[derive(Clone, Debug)]
pub struct Chat {
    text: String,
    split: Split,
    reasoning: Option<(String, Reasoning)>,
    tools: Vec<(String, String)>,
    obliging: bool,
    uses_tools: bool,
    alternation: bool,
    usage: Usage,
    tokens: Option<(u64, u64)>,
    cached: Option<u64>,
    first_byte: Duration,
    delay: Duration,
    gate: Option<(usize, Gate)>,
    ending: Ending,
    cut: usize,
    finish: Option<String>,
    torn: Option<usize>,
}

impl Chat {
    /// Answers exactly this.
    pub fn text(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            split: Split::Words,
            reasoning: None,
            tools: Vec::new(),
            obliging: false,
            uses_tools: false,
            alternation: false,
            usage: Usage::WhenAsked,
            tokens: None,
            cached: None,
            first_byte: Duration::ZERO,
            delay: Duration::ZERO,
            gate: None,
            ending: Ending::Done,
            cut: 3,
            finish: None,
            torn: None,
        }
    }

    /// Answers this text in exactly these deltas.
    pub fn pieces(pieces: &[&str]) -> Self {
        let mut at = 0;
        let ends = pieces.iter().map(|piece| {
            at += piece.chars().count();
            at
        });
        let ends = ends.collect();
        Self::text(&pieces.concat()).split(Split::At(ends))
    }

    /// Answers this text unless the request says better: `response_format` is filled from its schema, `max_tokens` cuts
    /// (a token is a delta), and the field `"fake_echo": true` gets the request's own body back as the content.
    pub fn obliging(text: &str) -> Self {
        Self { obliging: true, ..Self::text(text) }
    }

    /// Calls the request's tool (the one of `tool_choice`, else the first) with arguments made from its schema, until a
    /// tool's answer is the last message; then, without tools, or with `tool_choice: "none"`, answers the text.
    #[must_use]
    pub fn using_tools(mut self) -> Self {
        self.uses_tools = true;
        self
    }

    /// Calls this tool with these arguments (JSON text), whatever was asked. Again for several calls in one answer.
    #[must_use]
    pub fn tool(mut self, name: &str, arguments: &str) -> Self {
        self.tools.push((name.to_owned(), arguments.to_owned()));
        self
    }

    /// How the text (and reasoning) is cut into deltas.
    #[must_use]
    pub fn split(mut self, split: Split) -> Self {
        self.split = split;
        self
    }

    /// Thinks this first.
    #[must_use]
    pub fn reasoning(mut self, thought: &str, place: Reasoning) -> Self {
        self.reasoning = Some((thought.to_owned(), place));
        self
    }

    /// Refuses with 400 messages that break strict user/assistant alternation after one optional system message, and
    /// roles it does not know, as the templates of Mistral and Gemma do.
    #[must_use]
    pub fn alternating(mut self) -> Self {
        self.alternation = true;
        self
    }

    #[must_use]
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }

    /// Counts told as usage; otherwise 12 and the number of deltas.
    #[must_use]
    pub fn tokens(mut self, prompt: u64, completion: u64) -> Self {
        self.tokens = Some((prompt, completion));
        self
    }

    /// Prompt tokens told to have come from the engine's cache.
    #[must_use]
    pub fn cached(mut self, tokens: u64) -> Self {
        self.cached = Some(tokens);
        self
    }

    /// Silence before the first byte, status line included.
    #[must_use]
    pub fn first_byte(mut self, pause: Duration) -> Self {
        self.first_byte = pause;
        self
    }

    /// Silence before each event but the first.
    #[must_use]
    pub fn delay(mut self, pause: Duration) -> Self {
        self.delay = pause;
        self
    }

    /// Stops after so many events (the role delta is the first) until the test opens the gate; 0 holds back the status line.
    #[must_use]
    pub fn gate(mut self, after: usize, gate: &Gate) -> Self {
        self.gate = Some((after, gate.clone()));
        self
    }

    /// Ends so, after so many events (the role delta is the first).
    #[must_use]
    pub fn cut(mut self, after: usize, ending: Ending) -> Self {
        self.cut = after;
        self.ending = ending;
        self
    }

    /// `finish_reason`; otherwise `stop`, `length` or `tool_calls` as is true.
    #[must_use]
    pub fn finish(mut self, reason: &str) -> Self {
        self.finish = Some(reason.to_owned());
        self
    }

    /// Cuts the stream into HTTP chunks of so many bytes, through events and characters.
    #[must_use]
    pub fn torn(mut self, bytes: usize) -> Self {
        self.torn = Some(bytes);
        self
    }
}
