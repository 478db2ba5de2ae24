//! One answer or one chunk of it, borrowed; and the engine's own error, recognised in its variants.

use memchr::memchr;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::scan::unquote;

/// A chunk of a stream, or a whole answer. Unknown fields are not read; messages are read as `M`.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "M: Deserialize<'de>"))]
pub(crate) struct Chunk<'a, M = &'a RawValue> {
    #[serde(borrow)]
    pub id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub object: Option<&'a RawValue>,
    #[serde(borrow)]
    pub created: Option<&'a RawValue>,
    #[serde(borrow)]
    pub model: Option<&'a RawValue>,
    #[serde(borrow)]
    pub choices: Option<Vec<Choice<'a, M>>>,
    #[serde(borrow)]
    pub usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub error: Option<&'a RawValue>,
    /// With `"object":"error"`, the flat form of an error.
    #[serde(borrow)]
    pub message: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "M: Deserialize<'de>"))]
pub(crate) struct Choice<'a, M = &'a RawValue> {
    pub index: Option<u64>,
    #[serde(borrow)]
    pub delta: Option<&'a RawValue>,
    pub message: Option<M>,
    #[serde(borrow)]
    pub text: Option<&'a RawValue>,
    #[serde(borrow)]
    pub finish_reason: Option<&'a RawValue>,
}

/// What a delta or a message says.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Said<'a> {
    #[serde(borrow)]
    pub role: Option<&'a RawValue>,
    #[serde(borrow)]
    pub content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    pub refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    pub tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    pub function_call: Option<&'a RawValue>,
}

impl<'a> Chunk<'a> {
    pub(crate) fn parse(json: &'a str) -> Option<Self> {
        Self::read(json)
    }
}

impl<'a, M: Deserialize<'a>> Chunk<'a, M> {
    /// The same with messages read as wanted.
    pub(crate) fn read(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// What the engine says went wrong, for the log.
    pub(crate) fn error_text(&self) -> Option<String> {
        if let Some(error) = self.error {
            return Some(message_of(error));
        }
        let flat = self.object.is_some_and(|object| object.get() == "\"error\"");
        flat.then(|| self.message.map_or_else(|| "error".to_owned(), message_of))
    }
}

impl<'a> Said<'a> {
    pub(crate) fn parse(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    /// Bytes of text this carries, escapes undone, of tool calls their arguments and frame.
    pub(crate) fn text_bytes(&self) -> usize {
        let texts = [self.content, self.reasoning_content.or(self.reasoning), self.refusal];
        let calls = [self.tool_calls, self.function_call];
        texts.into_iter().flatten().map(|raw| text_len(raw.get())).sum::<usize>()
            + calls.into_iter().flatten().map(|raw| call_len(raw.get())).sum::<usize>()
    }
}

/// Length of a JSON string once its escapes are undone; of anything else, of its bytes.
pub(crate) fn text_len(json: &str) -> usize {
    let Some(inner) = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return json.len() };
    let bytes = inner.as_bytes();
    let mut len = bytes.len();
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr(b'\\', rest)) {
        at += found;
        // `\n` is one byte; `\u00e9` is counted as the two bytes an accented letter takes.
        let (skip, less) = if bytes.get(at + 1) == Some(&b'u') { (6, 4) } else { (2, 1) };
        len = len.saturating_sub(less);
        at += skip;
    }
    len
}

fn call_len(json: &str) -> usize {
    use super::scan::{Scanner, Token};
    let mut wanted = false;
    let mut len = 0;
    for token in Scanner::new(json) {
        match token {
            Token::Key(key) => wanted = matches!(key, "\"arguments\"" | "\"name\""),
            Token::String(text) if wanted => len += text_len(text),
            _ => {}
        }
    }
    len
}

/// The message inside an error object or string, bounded.
pub(crate) fn message_of(error: &RawValue) -> String {
    #[derive(Deserialize)]
    struct Error<'a> {
        #[serde(borrow)]
        message: Option<&'a RawValue>,
    }
    let inner = serde_json::from_str::<Error<'_>>(error.get()).ok().and_then(|error| error.message);
    let raw = inner.unwrap_or(error).get();
    bounded(&unquote(raw).unwrap_or(raw.into()))
}

pub(crate) fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// The data of one event, found without a copy when it stands on one line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Data<'e> {
    /// Nothing but comments or empty fields.
    None,
    Done,
    Json(std::borrow::Cow<'e, str>),
    /// `event: error`, whatever its data.
    Error(std::borrow::Cow<'e, str>),
    NotUtf8,
}

/// Reads the fields of one event.
pub(crate) fn data(event: &[u8]) -> Data<'_> {
    let Ok(event) = std::str::from_utf8(event) else { return Data::NotUtf8 };
    let event = event.trim_matches(['\r', '\n']);
    let mut found: Option<std::borrow::Cow<'_, str>> = None;
    let mut is_error = false;
    for line in event.split(['\n', '\r']) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => match &mut found {
                None => found = Some(value.into()),
                Some(text) => {
                    // Between JSON tokens, where alone a line can break, a space is as good.
                    text.to_mut().push(' ');
                    text.to_mut().push_str(value);
                }
            },
            "event" => is_error = value == "error",
            _ => {}
        }
    }
    match found {
        Some(text) if is_error => Data::Error(text),
        Some(text) if text.trim_ascii() == "[DONE]" => Data::Done,
        Some(text) if !text.trim_ascii().is_empty() => Data::Json(text),
        _ => Data::None,
    }
}

/// What the beginning of a stream tells, before anything is sent to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum First {
    /// No whole event with data yet: read on.
    Unknown,
    /// A chunk of an answer: go.
    Good,
    /// An error, garbage, or an end with nothing before it; another engine may do better.
    /// The text is for the log.
    Error(String),
}

/// Judges the beginning of an engine's stream, so that another engine can be tried while nothing has
/// been sent. `bytes`: all that has come so far.
#[must_use]
pub fn first_event(bytes: &bytes::Bytes) -> First {
    let mut splitter = super::sse::Splitter::default();
    splitter.push(bytes.clone());
    loop {
        match splitter.next() {
            Ok(Some(event)) => match judge(&event.bytes) {
                First::Unknown => {}
                known => return known,
            },
            Ok(None) => break,
            Err(_) => return First::Error("event too large".into()),
        }
    }
    // A JSON or HTML body under an event-stream type never ends its first "event".
    let start = bytes.trim_ascii_start();
    match start.first() {
        Some(b'{' | b'<' | b'[') => First::Error(bounded(&String::from_utf8_lossy(start.get(..400).unwrap_or(start)))),
        _ => First::Unknown,
    }
}

fn judge(event: &[u8]) -> First {
    match data(event) {
        Data::None => match event.trim_ascii_start().first() {
            Some(b'{' | b'<' | b'[') => First::Error("not an event stream".into()),
            _ => First::Unknown,
        },
        Data::Done => First::Error("empty answer".into()),
        Data::NotUtf8 => First::Error("not UTF-8".into()),
        Data::Error(text) => First::Error(bounded(&text)),
        Data::Json(text) => match Chunk::parse(&text) {
            None => First::Error("malformed chunk".into()),
            Some(chunk) => chunk.error_text().map_or(First::Good, First::Error),
        },
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn data_is_read_from_any_layout() {
        let json = |text: &'static str| Data::Json(text.into());
        assert_eq!(data(b"data: {\"a\":1}\n\n"), json("{\"a\":1}"));
        assert_eq!(data(b"\ndata:{\"a\":1}\r\n\r\n"), json("{\"a\":1}"));
        assert_eq!(data(b"id: 3\r\ndata: {\r\ndata: \"a\":1}\r\n\r\n"), json("{ \"a\":1}"));
        assert_eq!(data(b": keepalive\n\n"), Data::None);
        assert_eq!(data(b"data:\n\n"), Data::None);
        assert_eq!(data(b"data: [DONE] \r\r"), Data::Done);
        assert_eq!(data(b"event: error\ndata: oops\n\n"), Data::Error("oops".into()));
        assert_eq!(data(b"data: \xff\n\n"), Data::NotUtf8);
    }

    #[test]
    fn the_first_event_decides_whether_to_go() {
        let first = |text: &'static str| first_event(&Bytes::from_static(text.as_bytes()));
        assert_eq!(first(": ping\n\n"), First::Unknown);
        assert_eq!(first("data: {\"cho"), First::Unknown);
        assert_eq!(first(": ping\n\ndata: {\"choices\":[]}\n\n"), First::Good);
        assert_eq!(
            first("data: {\"error\":{\"message\":\"CUDA\\nOOM\",\"code\":500}}\n\n"),
            First::Error("CUDAOOM".into())
        );
        assert_eq!(
            first("data: {\"object\":\"error\",\"message\":\"no\",\"code\":400}\n\n"),
            First::Error("no".into())
        );
        assert_eq!(first("data: {\"error\":\"busy\"}\n\n"), First::Error("busy".into()));
        assert_eq!(first("event: error\ndata: x\n\n"), First::Error("x".into()));
        assert_eq!(first("data: [DONE]\n\n"), First::Error("empty answer".into()));
        assert_eq!(first("data: hello\n\n"), First::Error("malformed chunk".into()));
        assert_eq!(first("{\"error\":\"a\"}"), First::Error("{\"error\":\"a\"}".into()));
        assert!(matches!(first("<html>\n\n<p>502</p>"), First::Error(_)));
    }

    #[test]
    fn text_is_measured_as_read() {
        assert_eq!(text_len(r#""abc""#), 3);
        assert_eq!(text_len(r#""a\n\"b\\""#), 5);
        assert_eq!(text_len(r#""\u00e9t\u00e9""#), 5);
        let raw = serde_json::from_str::<&RawValue>(
            r#"{"content":null,"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{\"a\""}}]}"#,
        );
        assert_eq!(Said::parse(raw.unwrap()).unwrap().text_bytes(), 1 + 4);
    }
}
