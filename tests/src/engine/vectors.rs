//! Embeddings and reranking. Both are computed from the text, so a test can tell what text arrived.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::calls::Call;
use super::reply::Reply;

/// Answers an embeddings request.
#[derive(Clone, Debug)]
pub struct Embeddings {
    dimensions: usize,
    base64: bool,
    usage: bool,
}

impl Embeddings {
    /// Vectors of this length; base64 where asked.
    pub fn of(dimensions: usize) -> Self {
        Self { dimensions, base64: true, usage: true }
    }

    /// Gives floats even where base64 is asked, as many engines do.
    #[must_use]
    pub fn floats_only(mut self) -> Self {
        self.base64 = false;
        self
    }

    /// Gives no usage.
    #[must_use]
    pub fn without_usage(mut self) -> Self {
        self.usage = false;
        self
    }

    pub(super) fn reply(&self, call: &Call) -> Reply {
        let body = call.json();
        let inputs = inputs(&body["input"]);
        let base64 = self.base64 && body["encoding_format"] == "base64";
        let data: Vec<Value> = inputs
            .iter()
            .enumerate()
            .map(|(index, text)| {
                let vector = vector(text, self.dimensions);
                let embedding = if base64 { json!(encode(&vector)) } else { json!(vector) };
                json!({"object": "embedding", "index": index, "embedding": embedding})
            })
            .collect();
        let mut answer = json!({
            "id": format!("embd-fake-{}", call.id), "object": "list", "model": body["model"], "data": data,
        });
        if self.usage {
            let tokens: usize = inputs.iter().map(|text| text.split_whitespace().count()).sum();
            answer["usage"] = json!({"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0});
        }
        Reply::json(200, &answer)
    }
}

/// The unit vector that stands for a text: the same text always has the same one, exact in 32 bits.
pub fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes() {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let raw: Vec<f32> = (0..dimensions)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f32::from(i16::from_le_bytes([(state >> 40) as u8, (state >> 48) as u8])) / 32_768.0
        })
        .collect();
    let length = raw.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    raw.iter().map(|value| value / length).collect()
}

fn encode(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

/// A text each; token ids stand as `tokens:1,2,3`, which no text hashes to by chance.
fn inputs(input: &Value) -> Vec<String> {
    match input {
        Value::Array(items) if items.first().is_some_and(Value::is_number) => vec![tokens(items)],
        Value::Array(items) => items.iter().flat_map(inputs).collect(),
        Value::String(text) => vec![text.clone()],
        _ => Vec::new(),
    }
}

fn tokens(ids: &[Value]) -> String {
    let ids: Vec<String> = ids.iter().map(Value::to_string).collect();
    format!("tokens:{}", ids.join(","))
}

/// How an engine ranks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RerankStyle {
    /// TEI's when the request has `texts`, Cohere's otherwise.
    AsAsked,
    /// `{"results": [{"index", "relevance_score", "document"}]}`, best first.
    Cohere,
    /// `[{"index", "score"}]`, best first, without usage.
    Tei,
}

/// Answers a rerank request. The score is the share of the query's words that a document holds.
#[derive(Clone, Debug)]
pub struct Rerank {
    style: RerankStyle,
}

impl Rerank {
    pub fn new(style: RerankStyle) -> Self {
        Self { style }
    }

    pub(super) fn reply(&self, call: &Call) -> Reply {
        let body = call.json();
        let tei = match self.style {
            RerankStyle::AsAsked => body["texts"].is_array(),
            style => style == RerankStyle::Tei,
        };
        let query = body["query"].as_str().unwrap_or_default();
        let documents = body[if tei { "texts" } else { "documents" }].as_array().cloned().unwrap_or_default();
        let texts: Vec<&str> =
            documents.iter().map(|item| item.as_str().or(item["text"].as_str()).unwrap_or("")).collect();
        let mut ranked: Vec<(usize, f64)> =
            texts.iter().enumerate().map(|(at, text)| (at, score(query, text))).collect();
        ranked.sort_by(|left, right| right.1.total_cmp(&left.1));
        if tei {
            let scores: Vec<Value> =
                ranked.iter().map(|(index, score)| json!({"index": index, "score": score})).collect();
            return Reply::json(200, &json!(scores));
        }
        ranked.truncate(body["top_n"].as_u64().and_then(|top| usize::try_from(top).ok()).unwrap_or(usize::MAX));
        let results: Vec<Value> = ranked
            .iter()
            .map(|(index, score)| {
                json!({"index": index, "relevance_score": score, "document": {"text": texts.get(*index)}})
            })
            .collect();
        let tokens = texts.iter().map(|text| text.split_whitespace().count()).sum::<usize>();
        Reply::json(
            200,
            &json!({
                "id": format!("rerank-fake-{}", call.id), "model": body["model"],
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens}, "results": results,
            }),
        )
    }
}

fn score(query: &str, text: &str) -> f64 {
    let text = text.to_lowercase();
    let words: Vec<String> = query.to_lowercase().split_whitespace().map(str::to_owned).collect();
    let found = words.iter().filter(|word| text.contains(word.as_str())).count();
    found as f64 / words.len().max(1) as f64
}
