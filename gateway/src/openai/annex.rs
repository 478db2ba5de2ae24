//! Fields of ours put into an answer once its text is known.
//!
//! In a stream they go into the chunk that says why the first choice ended. Every client reads that chunk, which has a
//! choice like those before it, and skips fields it does not know; a chunk of its own, without choices, breaks clients
//! that look at `choices[0]`, and after `[DONE]` nobody reads. Nothing is held back for it.

use bytes::{Bytes, BytesMut};

use super::chunk::{Chunk, Data, Said, data};
use super::object::Object;
use super::scan::unquote;
use super::splice::Edits;
use super::sse::Splitter;

/// Names and JSON of the fields.
pub type Fields = Vec<(&'static str, String)>;

/// Makes them from the text of an answer.
type Make = Box<dyn FnOnce(&str) -> Fields + Send>;

/// Text kept for it; an answer that is longer is judged by its beginning.
const LONGEST: usize = 1 << 20;

/// What is to be put into one answer.
pub struct Annex {
    text: String,
    splitter: Splitter,
    /// From the text of the answer; `None` once it was put in.
    make: Option<Make>,
}

impl std::fmt::Debug for Annex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Annex").field("done", &self.make.is_none()).finish_non_exhaustive()
    }
}

impl Annex {
    pub fn new(make: impl FnOnce(&str) -> Fields + Send + 'static) -> Annex {
        Annex { text: String::new(), splitter: Splitter::default(), make: Some(Box::new(make)) }
    }

    /// Whole events on their way to the client: the same, but for the one that the fields go into.
    pub fn stream(&mut self, piece: Bytes) -> Bytes {
        if self.make.is_none() {
            return piece;
        }
        self.splitter.push(piece.clone());
        let mut out: Option<BytesMut> = None;
        let mut events = Vec::new();
        while let Ok(Some(event)) = self.splitter.next() {
            events.push(event.bytes);
        }
        for (nth, event) in events.iter().enumerate() {
            let changed = match data(event) {
                Data::Json(text) => self.event(&text),
                _ => None,
            };
            if let Some(changed) = changed {
                let mut all: BytesMut = events.iter().take(nth).flat_map(|event| event.iter().copied()).collect();
                all.extend_from_slice(format!("data: {changed}\n\n").as_bytes());
                out = Some(all);
            } else if let Some(out) = &mut out {
                out.extend_from_slice(event);
            }
        }
        out.map_or(piece, BytesMut::freeze)
    }

    /// A whole answer, with the fields.
    pub fn whole(mut self, body: Bytes) -> Bytes {
        let Ok(text) = std::str::from_utf8(&body) else { return body };
        let Some(chunk) = Chunk::parse(text) else { return body };
        let first = chunk.choices.iter().flatten().find(|choice| choice.index.unwrap_or(0) == 0);
        if let Some(said) = first.and_then(|choice| Said::parse(choice.message?)) {
            self.hear(&said);
        }
        self.put(text).map_or_else(|| body.clone(), Bytes::from)
    }

    /// One chunk: what it says is kept, and the chunk is given back with the fields when it is the last of its choice.
    fn event(&mut self, text: &str) -> Option<String> {
        let chunk = Chunk::parse(text)?;
        let choice = chunk.choices.iter().flatten().find(|choice| choice.index.unwrap_or(0) == 0)?;
        if let Some(said) = choice.delta.and_then(Said::parse) {
            self.hear(&said);
        }
        choice.finish_reason.filter(|reason| reason.get() != "null")?;
        self.put(text)
    }

    fn hear(&mut self, said: &Said<'_>) {
        if let Some(content) = said.content.and_then(|raw| unquote(raw.get()))
            && self.text.len() + content.len() <= LONGEST
        {
            self.text.push_str(&content);
        }
    }

    fn put(&mut self, text: &str) -> Option<String> {
        let object = Object::parse(text).ok()?;
        let fields = self.make.take()?(&self.text);
        let mut edits = Edits::of(&object);
        for (name, json) in fields {
            edits.set(name, json.into_bytes());
        }
        String::from_utf8(edits.finish(Bytes::copy_from_slice(text.as_bytes())).to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn annex() -> Annex {
        Annex::new(|text| vec![("heard", Value::from(text).to_string())])
    }

    fn event(content: &str, finish: Value) -> String {
        let chunk =
            json!({"id": "c", "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]});
        format!("data: {chunk}\n\n")
    }

    #[test]
    fn the_last_chunk_of_the_choice_carries_the_fields_and_the_others_their_bytes() {
        let mut annex = annex();
        let first = Bytes::from(event("Bon", Value::Null) + ": keepalive\n\n");
        let out = annex.stream(first.clone());
        assert_eq!(out.as_ptr(), first.as_ptr(), "untouched events are not copied");
        let both = event("jour", Value::Null) + &event("", json!("stop")) + "data: [DONE]\n\n";
        let out = annex.stream(Bytes::from(both));
        let out = std::str::from_utf8(&out).unwrap();
        let events: Vec<&str> = out.split_terminator("\n\n").collect();
        assert_eq!(events[0], event("jour", Value::Null).trim_end());
        let last: Value = serde_json::from_str(events[1].strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!((&last["heard"], &last["choices"][0]["finish_reason"]), (&json!("Bonjour"), &json!("stop")));
        assert_eq!(events[2], "data: [DONE]");
        let usage = Bytes::from_static(b"data: {\"choices\":[],\"usage\":{}}\n\n");
        assert_eq!(annex.stream(usage.clone()), usage);
    }

    #[test]
    fn a_whole_answer_carries_them_too() {
        let body = json!({"choices": [{"index": 0, "message": {"content": "Bonjour"}}], "usage": {"total_tokens": 3}});
        let out: Value = serde_json::from_slice(&annex().whole(Bytes::from(body.to_string()))).unwrap();
        assert_eq!((&out["heard"], &out["usage"]["total_tokens"]), (&json!("Bonjour"), &json!(3)));
    }

    #[test]
    fn an_answer_without_text_has_them_as_well() {
        let body = json!({"choices": [{"index": 0, "message": {"content": null, "tool_calls": []}}]});
        let out: Value = serde_json::from_slice(&annex().whole(Bytes::from(body.to_string()))).unwrap();
        assert_eq!(out["heard"], "");
    }
}
