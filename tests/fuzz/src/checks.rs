//! What must hold for any bytes. Fuzz targets call these, and an ordinary test replays the corpus through them.

use std::collections::VecDeque;

use bytes::Bytes;
use guichet::config::load::{Origin, from_text};
use guichet::openai::embeddings::{self, Format};
use guichet::openai::rerank::{self, Asked};
use guichet::openai::usage::Estimate;
use guichet::openai::{Cleaning, Edits, End, Head, Outcome, Reasoning, Rename, Rules, Transcript, rewrite};
use guichet::policy::key::ApiKey;
use serde_json::{Map, Value, json};

/// A request that is read can be edited, and the edited bytes say what the edited value says.
pub fn head(bytes: &[u8]) {
    let Ok(head) = Head::parse(bytes) else { return };
    let _ = (head.messages().is_ok(), head.parameters());
    let mut edits = Edits::new(&head);
    edits.set("model", &b"\"x\""[..]);
    edits.set("added", &b"[1]"[..]);
    edits.remove("stream");
    edits.remove("n");
    let edited = edits.finish(Bytes::copy_from_slice(bytes));
    // What no reader of whole values can read (a number too large, half a surrogate) cannot be compared.
    let Ok(mut wanted) = serde_json::from_slice::<Map<String, Value>>(bytes) else { return };
    wanted.insert("model".to_owned(), json!("x"));
    wanted.insert("added".to_owned(), json!([1]));
    wanted.remove("stream");
    wanted.remove("n");
    let seen: Map<String, Value> = serde_json::from_slice(&edited).expect("edited JSON is JSON");
    assert_eq!(seen, wanted);
    // And nothing to edit is nothing changed.
    let body = Bytes::copy_from_slice(bytes);
    assert_eq!(Edits::new(&head).finish(body.clone()), body);
}

/// The rules that a byte stands for.
fn rules(byte: u8) -> Rules {
    let bit = |at: u8| byte >> at & 1 == 1;
    Rules {
        usage_asked: bit(0),
        rename: bit(1).then(|| Rename::to("public/é")),
        reasoning: match byte >> 2 & 3 {
            0 => Reasoning::Untouched,
            1 => Reasoning::Field,
            2 => Reasoning::ThinkTags { opened: false },
            _ => Reasoning::ThinkTags { opened: true },
        },
        cleaning: Cleaning { fence: bit(4), preamble: bit(5) },
        coalesce_tool_calls: bit(6),
        ..Rules::default()
    }
}

fn relayed(stream: &Bytes, cuts: &[usize], rules: Rules) -> (Vec<u8>, Outcome) {
    let mut transcript = Transcript::new(rules);
    let mut out = VecDeque::new();
    let mut at = 0;
    for cut in cuts.iter().copied().chain([stream.len()]) {
        if cut > at {
            transcript.push(stream.slice(at..cut), &mut out);
            at = cut;
        }
    }
    let outcome = transcript.finish(End::Eof, &mut out);
    (out.into_iter().flatten().collect(), outcome)
}

/// The same events with one kind of line end: a cut between CR and LF may cost the LF, which ends no line of its own.
fn lines(stream: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(stream).replace("\r\n", "\n").replace('\r', "\n");
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    text
}

/// However a stream is cut on its way, the client gets the same events and the same end. The first byte says the rules,
/// the second how far apart the cuts are.
pub fn stream(bytes: &[u8]) {
    let [mode, step, rest @ ..] = bytes else { return };
    let stream = Bytes::copy_from_slice(rest);
    let step = usize::from(*step).max(1);
    let cuts: Vec<usize> = (1..).map(|n| n * step).take_while(|cut| *cut < rest.len()).collect();
    let (whole, end) = relayed(&stream, &[], rules(*mode));
    let (cut, other) = relayed(&stream, &cuts, rules(*mode));
    assert_eq!(lines(&cut), lines(&whole));
    assert_eq!(other, end);
    let done = whole.ends_with(b"data: [DONE]\n\n");
    assert_eq!(done, end == Outcome::Complete, "the end mark is on whole answers, and on no other");
}

/// Whatever an engine answers, what a client gets for it is right or nothing: chats, vectors and scores. The first byte
/// says the rules and the number of texts sent.
pub fn answers(bytes: &[u8]) {
    let [mode, rest @ ..] = bytes else { return };
    let body = Bytes::copy_from_slice(rest);
    if let Ok((out, _)) = rewrite(body.clone(), &rules(*mode))
        && let Ok(answer) = serde_json::from_slice::<Value>(&out)
    {
        assert!(answer["choices"].as_array().is_some_and(|choices| !choices.is_empty()), "{answer}");
    }
    let count = usize::from(*mode) % 4;
    let estimate = Estimate::default();
    for format in [Format::Float, Format::Base64] {
        let Ok((out, _)) = embeddings::rewrite(&body, format, "m", "id", count, &estimate) else { continue };
        let answer: Value = serde_json::from_slice(&out).expect("an answer is JSON");
        let vectors = answer["data"].as_array().expect("vectors");
        assert_eq!(vectors.len(), count);
        let of_kind = |one: &Value| match format {
            Format::Float => one["embedding"].is_array(),
            Format::Base64 => one["embedding"].is_string(),
        };
        assert!(vectors.iter().all(of_kind) && answer["usage"].is_object(), "{answer}");
    }
    let documents = (0..count).map(|at| at.to_string()).collect();
    let asked = Asked { query: "q".to_owned(), documents, top_n: None, return_documents: true };
    if let Ok((out, _)) = rerank::rewrite(&body, &asked, "m", "id", &estimate) {
        let answer: Value = serde_json::from_slice(&out).expect("an answer is JSON");
        let results = answer["results"].as_array().expect("results");
        let scores: Vec<f64> = results.iter().filter_map(|one| one["relevance_score"].as_f64()).collect();
        assert!(scores.len() == results.len() && scores.is_sorted_by(|a, b| a >= b), "{answer}");
        assert!(results.iter().all(|one| one["index"].as_u64().is_some_and(|at| (at as usize) < count)), "{answer}");
    }
}

/// What is taken for a key says who it is, in letters and digits.
pub fn key(bytes: &[u8]) {
    let Some(presented) = ApiKey::parse(bytes) else { return };
    assert!(bytes.is_ascii() && bytes.len() == 70);
    assert_eq!(Some(presented.id.as_str().as_bytes()), bytes.get(4..20));
    // One letter changed anywhere is another key or none.
    for at in 0..bytes.len() {
        let mut other = bytes.to_vec();
        other[at] ^= 1;
        assert!(ApiKey::parse(&other).is_none(), "the checksum misses a change at {at}");
    }
}

/// Any text is a configuration or a list of what is wrong with it.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(problems) = from_text(&Origin::Embedded, text, Vec::new()) {
        assert!(!problems.is_empty() && problems.iter().all(|problem| !problem.message.is_empty()));
    }
}
