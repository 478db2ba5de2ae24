//! Rerank: two ways engines take it, one way clients get it, and two generations of clients' names.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::head::Head;
use super::usage::{Estimate, Usage};
use super::wire_error::{Expected, Remedy, WireError};

/// What is asked, whatever its names.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    pub query: String,
    pub documents: Vec<String>,
    pub top_n: Option<usize>,
    pub return_documents: bool,
}

impl Asked {
    /// Reads `query` and `documents`, or `prompt` and `input` as they were called before.
    ///
    /// # Errors
    /// When one is absent, empty or of another type.
    pub fn read(head: &Head<'_>) -> Result<Asked, WireError> {
        let either = |name: &'static str, old: &'static str| {
            head.raw(name).map(|raw| (name, raw)).or_else(|| head.raw(old).map(|raw| (old, raw)))
        };
        let (name, query) = either("query", "prompt").ok_or(WireError::Missing { field: "query" })?;
        let query: String = serde_json::from_str(query.get()).map_err(|_| WireError::wrong(name, Expected::String))?;
        let (name, list) = either("documents", "input").ok_or(WireError::Missing { field: "documents" })?;
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Document {
            Text(String),
            Object { text: String },
        }
        let list: Vec<Document> =
            serde_json::from_str(list.get()).map_err(|_| WireError::wrong(name, Expected::Documents))?;
        if list.is_empty() {
            return Err(WireError::Unsupported { field: name.to_owned(), remedy: Remedy::SendSomething });
        }
        let documents = list.into_iter().map(|document| match document {
            Document::Text(text) | Document::Object { text } => text,
        });
        Ok(Asked {
            query,
            documents: documents.collect(),
            top_n: head.count("top_n")?.map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
            return_documents: head.boolean("return_documents")?.unwrap_or(false),
        })
    }

    /// The body in Cohere's and Jina's form.
    #[must_use]
    pub fn cohere(&self, model: &str) -> Bytes {
        // All scores are asked: `top_n` is applied here, so that every engine cuts alike.
        Bytes::from(json!({"model": model, "query": self.query, "documents": self.documents}).to_string())
    }

    /// The body in text-embeddings-inference's form.
    #[must_use]
    pub fn tei(&self) -> Bytes {
        Bytes::from(json!({"query": self.query, "texts": self.documents, "truncate": true}).to_string())
    }
}

/// The engine's answer holds no scores for these documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotScores;

/// The scores an engine gave, best first, each with the place of its document.
///
/// # Errors
/// When the body holds no scores, or scores of documents that were not sent.
pub fn scores(body: &[u8], asked: &Asked) -> Result<Vec<(usize, f64)>, NotScores> {
    let answer: Value = serde_json::from_slice(body).map_err(|_| NotScores)?;
    let list = match &answer {
        Value::Array(list) => list,
        Value::Object(map) => {
            map.get("results").or_else(|| map.get("data")).and_then(Value::as_array).ok_or(NotScores)?
        }
        _ => return Err(NotScores),
    };
    let mut scores: Vec<(usize, f64)> = Vec::with_capacity(list.len());
    for one in list {
        let index = one["index"]
            .as_u64()
            .and_then(|index| usize::try_from(index).ok())
            .filter(|index| *index < asked.documents.len());
        let score = one.get("relevance_score").or_else(|| one.get("score")).and_then(Value::as_f64);
        scores.push((index.ok_or(NotScores)?, score.ok_or(NotScores)?));
    }
    if scores.is_empty() {
        return Err(NotScores);
    }
    scores.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    Ok(scores)
}

/// What the engine counted.
#[must_use]
pub fn usage(body: &[u8]) -> Option<Usage> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    answer.get("usage").and_then(|usage| serde_json::value::to_raw_value(usage).ok()).and_then(|raw| Usage::parse(&raw))
}

/// The answer for the client: best first, in both generations' forms (`results` and `data`). Returns the engine's usage.
///
/// # Errors
/// When the body holds no scores, or scores of documents that were not sent.
pub fn rewrite(
    body: &Bytes,
    asked: &Asked,
    model: &str,
    id: &str,
    estimate: &Estimate,
) -> Result<(Bytes, Option<Usage>), NotScores> {
    let mut scores = scores(body, asked)?;
    scores.truncate(asked.top_n.unwrap_or(usize::MAX));
    let usage = usage(body);
    let tokens = usage.map_or(estimate.input, |usage| usage.input);
    let results: Vec<Value> = scores
        .iter()
        .map(|(index, score)| {
            let mut result = json!({"index": index, "relevance_score": score});
            if asked.return_documents {
                result["document"] = json!({"text": asked.documents.get(*index)});
            }
            result
        })
        .collect();
    let data: Vec<Value> =
        scores.iter().map(|(index, score)| json!({"object": "score", "index": index, "score": score})).collect();
    let out = json!({"id": id, "object": "list", "model": model, "results": results, "data": data,
        "usage": {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}});
    Ok((Bytes::from(out.to_string()), usage))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: &Value) -> Result<Asked, WireError> {
        let text = body.to_string();
        Asked::read(&Head::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn old_and_new_names_are_read() {
        let new = asked(&json!({"query": "q", "documents": ["a", {"text": "b"}], "top_n": 1})).unwrap();
        assert_eq!(new.documents, ["a", "b"]);
        assert_eq!(new.top_n, Some(1));
        let old = asked(&json!({"prompt": "q", "input": ["a", "b"]})).unwrap();
        assert_eq!((old.query, old.documents), (new.query, new.documents));
        for bad in [
            json!({"query": "q"}),
            json!({"documents": ["a"]}),
            json!({"query": "q", "documents": []}),
            json!({"query": 1, "documents": ["a"]}),
            json!({"query": "q", "documents": [1]}),
        ] {
            assert!(asked(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn both_styles_of_engines_give_one_answer() {
        let asked =
            asked(&json!({"query": "q", "documents": ["a", "b", "c"], "top_n": 2, "return_documents": true})).unwrap();
        let cohere = json!({"results": [{"index": 0, "relevance_score": 0.1}, {"index": 2, "relevance_score": 0.9}, {"index": 1, "relevance_score": 0.5}], "usage": {"total_tokens": 12}});
        let tei = json!([{"index": 2, "score": 0.9}, {"index": 1, "score": 0.5}, {"index": 0, "score": 0.1}]);
        for body in [cohere, tei] {
            let (bytes, _) = rewrite(
                &Bytes::from(body.to_string()),
                &asked,
                "m",
                "id",
                &Estimate { input: 12, bytes_per_token: 4.0 },
            )
            .unwrap();
            let value: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(
                value["results"],
                json!([{"index": 2, "relevance_score": 0.9, "document": {"text": "c"}}, {"index": 1, "relevance_score": 0.5, "document": {"text": "b"}}])
            );
            assert_eq!(
                value["data"],
                json!([{"object": "score", "index": 2, "score": 0.9}, {"object": "score", "index": 1, "score": 0.5}])
            );
            assert_eq!(value["usage"]["total_tokens"], 12);
        }
        for bad in ["{}", "[]", "<html>", r#"{"results":[{"index":7,"relevance_score":1}]}"#, r#"[{"index":0}]"#] {
            assert!(rewrite(&Bytes::from(bad), &asked, "m", "id", &Estimate::default()).is_err(), "{bad}");
        }
    }
}
