//! Retrieval: models that must exist and tell their size, an index that can be reached and trusted.

use super::{Checker, MISSING};
use crate::config::Config;
use crate::config::ingestion::{Ocr, OcrKind};
use crate::config::model::ModelType;
use crate::config::retrieval::{Index, IndexKind, Retrieval};

/// `models_known`: models were all read, so that a name not among them is wrong.
pub(super) fn check(config: &Config, models_known: bool, checker: &mut Checker<'_>) {
    let Some(retrieval) = &config.retrieval else { return };
    if !cfg!(feature = "retrieval") {
        let remedy = "take the section out, or install a guichet built with the feature `retrieval`";
        checker.tell("retrieval".to_owned(), "this guichet was built without retrieval", remedy);
        return;
    }
    if models_known {
        models(config, retrieval, checker);
    }
    index(config, &retrieval.index, checker);
    let ingestion = &retrieval.ingestion;
    for (name, zero) in [
        ("readers", ingestion.readers == 0),
        ("embedders", ingestion.embedders == 0),
        ("batch", ingestion.batch == 0),
        ("chunk_tokens", ingestion.chunk_tokens == 0),
        ("pages", ingestion.pages == 0),
        ("time", ingestion.time.0.is_zero()),
        ("memory", ingestion.memory.0 == 0),
        ("file_limit", ingestion.file_limit.0 == 0),
    ] {
        if zero {
            let message = "nothing could be ingested";
            checker.tell(format!("retrieval.ingestion.{name}"), message, "write more than 0");
        }
    }
    if let Some(ocr) = &retrieval.ocr {
        one_ocr(config, ocr, models_known, checker);
    }
    if retrieval.chat.passage_tokens == 0 {
        checker.tell("retrieval.chat.passage_tokens".to_owned(), "no passage would fit", "write for instance 4000");
    }
}

fn one_ocr(config: &Config, ocr: &Ocr, models_known: bool, checker: &mut Checker<'_>) {
    let path = "retrieval.ocr.model".to_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '/');
    match (ocr.kind, &ocr.model) {
        (OcrKind::Tesseract, Some(_)) => {
            checker.tell(path, "tesseract is no model of the catalogue", "take it out, or write kind: model");
        }
        (OcrKind::Tesseract, None) if ocr.language.is_empty() || !ocr.language.chars().all(plain) => {
            let message = "this names no language of tesseract";
            checker.tell("retrieval.ocr.language".to_owned(), message, "write for instance fra, or fra+eng");
        }
        (OcrKind::Tesseract, None) => {}
        (OcrKind::Model, None) => {
            checker.tell(path, "it is not said which model reads scans", "write the id of a model of type ocr");
        }
        (OcrKind::Model, Some(id)) => {
            let known = config.models.iter().any(|model| model.id == *id && model.r#type == ModelType::Ocr);
            if models_known && !known {
                checker.tell(path, format!("there is no model {id:?} of type ocr"), "write the id of such a model");
            }
        }
    }
}

fn models(config: &Config, retrieval: &Retrieval, checker: &mut Checker<'_>) {
    let named = |id: &str, wanted: ModelType, path: &str, checker: &mut Checker<'_>| {
        if id == MISSING {
            return;
        }
        match config.models.iter().position(|model| model.id == id) {
            None => checker.tell(
                path.to_owned(),
                format!("there is no model {id:?}"),
                "write the id of an entry of `models`, no alias",
            ),
            Some(index) => {
                let Some(model) = config.models.get(index) else { return };
                if model.r#type != wanted {
                    let word = if wanted == ModelType::Embeddings { "embeddings" } else { "rerank" };
                    let message = format!("the model {id:?} is not of type {word}");
                    checker.tell(path.to_owned(), message, "name a model of that type");
                } else if wanted == ModelType::Embeddings && model.dimensions.is_none_or(|count| count == 0) {
                    let message = format!("retrieval embeds with {id:?}, whose vectors are of unknown size");
                    checker.tell(format!("models[{index}].dimensions"), message, "write how many numbers they have");
                }
            }
        }
    };
    named(&retrieval.embedding_model, ModelType::Embeddings, "retrieval.embedding_model", checker);
    if let Some(id) = &retrieval.rerank_model {
        named(id, ModelType::Rerank, "retrieval.rerank_model", checker);
    }
}

fn index(config: &Config, index: &Index, checker: &mut Checker<'_>) {
    let path = |name: &str| format!("retrieval.index.{name}");
    if index.kind == IndexKind::Edge {
        let given = [
            ("url", index.url.is_some()),
            ("api_key", index.api_key.is_some()),
            ("hosting", index.hosting.is_some()),
            ("prefix", index.prefix.is_some()),
        ];
        for (name, _) in given.into_iter().filter(|(_, given)| *given) {
            let message = "the index of kind edge is in this process and has none";
            checker.tell(path(name), message, "take it out, or write kind: server");
        }
        return;
    }
    match &index.url {
        None => checker.tell(
            path("url"),
            "it is not said where the server is",
            "write its gRPC address: http://qdrant.interne:6334",
        ),
        Some(url) if !matches!(url.scheme(), "http" | "https") || url.host().is_none() => {
            checker.tell(
                path("url"),
                "this is no http or https address",
                "write for instance http://qdrant.interne:6334",
            );
        }
        Some(url) if !url.username().is_empty() || url.password().is_some() => {
            checker.tell(path("url"), "this address holds a password", "write the key under api_key");
        }
        Some(_) => {}
    }
    if let Some(Err(message)) = index.api_key.as_ref().map(|key| key.read()) {
        checker.tell(path("api_key"), message, "");
    }
    match &index.hosting {
        None => checker.tell(
            path("hosting"),
            "it is not said who runs the server, and so which data may go there",
            "write the name of an entry of `hostings`",
        ),
        Some(name) if !config.hostings.contains_key(name) => {
            let known: Vec<&str> = config.hostings.keys().map(String::as_str).collect();
            let remedy = format!("describe it under `hostings`, or use one of: {}", known.join(", "));
            checker.tell(path("hosting"), format!("there is no hosting named {name:?}"), remedy);
        }
        Some(_) => {}
    }
    let safe = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    if index.prefix().is_empty() || index.prefix().len() > 40 || !index.prefix().chars().all(safe) {
        checker.tell(
            path("prefix"),
            "a prefix is up to 40 lower-case letters and digits",
            "write for instance guichet",
        );
    }
}
