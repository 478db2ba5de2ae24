//! What a search asks, in the names of three generations of clients.

use rag::index::Filter;
use serde::Serialize;
use serde_json::{Map, Value};

use super::filter::{self, wrong};
use crate::error::ApiResult;

/// Bounds on what one search asks.
const MOST_RESULTS: usize = 100;
const DEEPEST: usize = 10_000;
const MOST_COLLECTIONS: usize = 100;
const MOST_DOCUMENTS: usize = 500;
/// Of a question, in bytes: more than any embedding model reads.
const LONGEST_QUERY: usize = 64 << 10;

/// How chunks are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// By meaning.
    #[default]
    Semantic,
    /// By words.
    Lexical,
    /// Both, fused by reciprocal rank.
    Hybrid,
}

impl Method {
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Semantic => "semantic",
            Method::Lexical => "lexical",
            Method::Hybrid => "hybrid",
        }
    }

    pub const fn by_meaning(self) -> bool {
        matches!(self, Method::Semantic | Method::Hybrid)
    }

    pub const fn by_words(self) -> bool {
        matches!(self, Method::Lexical | Method::Hybrid)
    }
}

/// One search, read and within bounds.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    pub query: String,
    /// Those named; may be empty when documents are named.
    pub collections: Vec<i64>,
    pub documents: Vec<i64>,
    pub filter: Option<Filter>,
    /// 1 to 100.
    pub limit: usize,
    pub offset: usize,
    pub method: Method,
    /// k of the fusion.
    pub rff_k: u32,
    /// Compared with the score that is shown.
    pub score_threshold: Option<f64>,
    pub rerank: Option<Rerank>,
    /// One result a document, its best chunk.
    pub by_document: bool,
    pub highlight: bool,
}

/// Results put in order by a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rerank {
    /// Absent: the one of the configuration.
    pub model: Option<String>,
}

impl SearchRequest {
    /// Reads the fields of a search; `path` goes before their names in errors.
    ///
    /// # Errors
    /// 400 with the path of what is wrong.
    pub fn read(fields: &Map<String, Value>, path: &str) -> ApiResult<SearchRequest> {
        let read = Reader { fields, path };
        let (name, query) = read.either(&["query", "prompt"]).unwrap_or(("query", &Value::Null));
        let query = match query {
            Value::String(query) if !query.trim().is_empty() => query.clone(),
            _ => return Err(read.wrong(name, "il faut un texte non vide.", "a text that is not empty is expected.")),
        };
        if query.len() > LONGEST_QUERY {
            return Err(read.wrong(name, "la question est trop longue.", "the query is too long."));
        }
        SearchRequest { query, ..SearchRequest::arguments(fields, path)? }.bounded(path)
    }

    /// The same without a question, which comes from elsewhere.
    ///
    /// # Errors
    /// As [`SearchRequest::read`].
    pub fn arguments(fields: &Map<String, Value>, path: &str) -> ApiResult<SearchRequest> {
        let read = Reader { fields, path };
        SearchRequest {
            query: String::new(),
            collections: read.ids(&["collection_ids", "collections"], MOST_COLLECTIONS)?,
            documents: read.ids(&["document_ids", "documents"], MOST_DOCUMENTS)?,
            filter: match read.either(&["metadata_filters"]) {
                Some((name, value)) => Some(filter::read(value, &read.at(name))?),
                None => None,
            },
            limit: read.count(&["limit", "k"], 10)?,
            offset: read.count(&["offset"], 0)?,
            method: read.method()?,
            rff_k: u32::try_from(read.count(&["rff_k", "rrf_k"], 60)?).unwrap_or(u32::MAX),
            score_threshold: match read.either(&["score_threshold"]) {
                None => None,
                Some((_, Value::Number(number))) => number.as_f64(),
                Some((name, _)) => return Err(read.wrong(name, "il faut un nombre.", "a number is expected.")),
            },
            rerank: read.rerank()?,
            by_document: match read.either(&["group_by"]) {
                None => false,
                Some((_, Value::String(word))) if word == "document" => true,
                Some((name, _)) => return Err(read.wrong(name, "il faut « document ».", "use “document”.")),
            },
            highlight: read.boolean("highlight")?,
        }
        .bounded(path)
    }

    fn bounded(self, path: &str) -> ApiResult<SearchRequest> {
        let at = |name: &str| format!("{path}{name}");
        if !(1..=MOST_RESULTS).contains(&self.limit) {
            let (french, english) = (format!("de 1 à {MOST_RESULTS}."), format!("from 1 to {MOST_RESULTS}."));
            return Err(wrong(&at("limit"), french, english));
        }
        if self.offset > DEEPEST - self.limit {
            let most = DEEPEST - MOST_RESULTS;
            return Err(wrong(&at("offset"), format!("au plus {most}."), format!("at most {most}.")));
        }
        if self.rff_k == 0 || self.rff_k > 10_000 {
            return Err(wrong(&at("rff_k"), "de 1 à 10000.", "from 1 to 10000."));
        }
        if self.collections.is_empty() && self.documents.is_empty() {
            let (french, english) = ("nommez au moins une collection.", "name at least one collection.");
            return Err(wrong(&at("collection_ids"), french, english));
        }
        Ok(self)
    }
}

struct Reader<'a> {
    fields: &'a Map<String, Value>,
    path: &'a str,
}

impl<'a> Reader<'a> {
    fn at(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    fn wrong(&self, name: &str, french: &str, english: &str) -> crate::error::ApiError {
        wrong(&self.at(name), french, english)
    }

    /// The first of the names that says something; null counts as absent.
    fn either<'n>(&self, names: &[&'n str]) -> Option<(&'n str, &'a Value)> {
        names.iter().find_map(|name| Some((*name, self.fields.get(*name).filter(|value| !value.is_null())?)))
    }

    fn count(&self, names: &[&str], default: usize) -> ApiResult<usize> {
        let Some((name, value)) = self.either(names) else { return Ok(default) };
        let whole = value.as_u64().or_else(|| {
            let number = value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..1e9).contains(number))?;
            Some(number as u64)
        });
        whole.and_then(|count| usize::try_from(count).ok()).ok_or_else(|| {
            self.wrong(name, "il faut un nombre entier positif.", "a positive whole number is expected.")
        })
    }

    fn boolean(&self, name: &str) -> ApiResult<bool> {
        match self.either(&[name]) {
            None => Ok(false),
            Some((_, Value::Bool(said))) => Ok(*said),
            Some(_) => Err(self.wrong(name, "il faut true ou false.", "true or false is expected.")),
        }
    }

    /// Whole numbers, or texts that are; each once.
    fn ids(&self, names: &[&str], most: usize) -> ApiResult<Vec<i64>> {
        let Some((name, value)) = self.either(names) else { return Ok(Vec::new()) };
        let Value::Array(values) = value else {
            return Err(self.wrong(name, "il faut une liste d’identifiants.", "a list of ids is expected."));
        };
        let mut ids = Vec::with_capacity(values.len().min(most));
        for (nth, value) in values.iter().enumerate() {
            let id = value.as_i64().or_else(|| value.as_str()?.parse().ok()).filter(|id| *id > 0);
            let id = id.ok_or_else(|| {
                self.wrong(&format!("{name}[{nth}]"), "il faut un identifiant entier.", "a whole number is expected.")
            })?;
            if !ids.contains(&id) {
                ids.push(id);
            }
            if ids.len() > most {
                let (french, english) = (format!("au plus {most} identifiants."), format!("at most {most} ids."));
                return Err(wrong(&self.at(name), french, english));
            }
        }
        Ok(ids)
    }

    fn method(&self) -> ApiResult<Method> {
        match self.either(&["method"]) {
            None => Ok(Method::default()),
            Some((_, Value::String(word))) if word == "semantic" => Ok(Method::Semantic),
            Some((_, Value::String(word))) if word == "lexical" => Ok(Method::Lexical),
            Some((_, Value::String(word))) if word == "hybrid" => Ok(Method::Hybrid),
            Some((name, _)) => {
                Err(self.wrong(name, "il faut semantic, lexical ou hybrid.", "use semantic, lexical or hybrid."))
            }
        }
    }

    fn rerank(&self) -> ApiResult<Option<Rerank>> {
        let expected = |name: &str| {
            self.wrong(name, "il faut true, ou le nom d’un modèle.", "true or the name of a model is expected.")
        };
        match self.either(&["rerank"]) {
            None | Some((_, Value::Bool(false))) => Ok(None),
            Some((_, Value::Bool(true))) => Ok(Some(Rerank { model: None })),
            Some((_, Value::String(model))) if !model.is_empty() => Ok(Some(Rerank { model: Some(model.clone()) })),
            Some((_, Value::Object(fields))) => match fields.get("model") {
                None | Some(Value::Null) => Ok(Some(Rerank { model: None })),
                Some(Value::String(model)) => Ok(Some(Rerank { model: Some(model.clone()) })),
                Some(_) => Err(expected("rerank.model")),
            },
            Some((name, _)) => Err(expected(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::server::Language;

    fn read(value: &Value) -> ApiResult<SearchRequest> {
        SearchRequest::read(value.as_object().unwrap(), "")
    }

    #[test]
    fn old_names_mean_the_same() {
        let new = read(&json!({"query": "q", "collection_ids": [1, 2], "limit": 3, "method": null})).unwrap();
        let old = read(&json!({"prompt": "q", "collections": ["1", 2, 2], "k": 3.0})).unwrap();
        assert_eq!(format!("{new:?}"), format!("{old:?}"));
        assert_eq!((new.method, new.limit, new.offset, new.rff_k), (Method::Semantic, 3, 0, 60));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (value, param) in [
            (json!({"collections": [1]}), "query"),
            (json!({"prompt": 3, "collections": [1]}), "prompt"),
            (json!({"query": "q"}), "collection_ids"),
            (json!({"query": "q", "collection_ids": [1], "limit": 0}), "limit"),
            (json!({"query": "q", "collection_ids": [1], "limit": 101}), "limit"),
            (json!({"query": "q", "collection_ids": [1], "offset": 1_000_000}), "offset"),
            (json!({"query": "q", "collection_ids": [1], "offset": -1}), "offset"),
            (json!({"query": "q", "collection_ids": [1, "x"]}), "collection_ids[1]"),
            (json!({"query": "q", "collection_ids": 1}), "collection_ids"),
            (json!({"query": "q", "collection_ids": [1], "method": "fuzzy"}), "method"),
            (json!({"query": "q", "collection_ids": [1], "rff_k": 0}), "rff_k"),
            (json!({"query": "q", "collection_ids": [1], "score_threshold": "0.6"}), "score_threshold"),
            (json!({"query": "q", "collection_ids": [1], "rerank": 3}), "rerank"),
            (json!({"query": "q", "collection_ids": [1], "group_by": "page"}), "group_by"),
            (
                json!({"query": "q", "collection_ids": [1], "metadata_filters": {"key": "k", "type": "x", "value": 1}}),
                "metadata_filters.type",
            ),
        ] {
            let error = read(&value).unwrap_err().body(Language::Fr);
            assert_eq!(error["error"]["param"], param, "{value}: {error}");
        }
    }
}
