//! What an engine's refusal means: the caller's fault, a full engine, or a broken one.

use http::StatusCode;
use serde::Deserialize;

use crate::error::{ApiError, short};

/// What to do after an answer that is not a success.
#[derive(Debug)]
pub enum Verdict {
    /// The caller's request is at fault: say so, try nobody else.
    Caller(ApiError),
    /// This engine is full: another may take it.
    Busy,
    /// This engine is broken or badly configured: another may take it.
    Broken,
}

/// The error bodies of engines: `{"error": {"message"}}`, `{"error": "…"}`, `{"message"}`, `{"detail"}`.
#[derive(Deserialize)]
struct Said<'b> {
    #[serde(borrow, default)]
    error: Option<&'b serde_json::value::RawValue>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    detail: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Inner {
    #[serde(default)]
    message: Option<String>,
}

/// Reads an engine's refusal.
pub fn judge(status: StatusCode, body: &[u8], context_length: Option<u64>) -> Verdict {
    match status.as_u16() {
        // The engine refuses *our* key, or does not know the model the configuration names: not the caller's doing.
        401 | 403 | 404 | 405 | 407 => Verdict::Broken,
        408 | 429 | 503 => Verdict::Busy,
        413 => Verdict::Caller(context_exceeded(context_length)),
        400..=499 => Verdict::Caller(caller(body, context_length)),
        // llama.cpp and Ollama answer 500 to prompts that do not fit or do not render.
        500 => match message(body) {
            Some(text) if is_about_context(&text) => Verdict::Caller(context_exceeded(context_length)),
            _ => Verdict::Broken,
        },
        _ => Verdict::Broken,
    }
}

fn message(body: &[u8]) -> Option<String> {
    let said: Said = serde_json::from_slice(body).ok()?;
    let inner = said.error.and_then(|raw| {
        serde_json::from_str::<Inner>(raw.get())
            .ok()
            .and_then(|inner| inner.message)
            .or_else(|| serde_json::from_str::<String>(raw.get()).ok())
    });
    inner.or(said.message).or_else(|| match said.detail {
        Some(serde_json::Value::String(text)) => Some(text),
        Some(serde_json::Value::Array(list)) => list.first().and_then(|one| one["msg"].as_str().map(str::to_owned)),
        _ => None,
    })
}

fn is_about_context(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    [
        "context length",
        "context size",
        "context window",
        "maximum context",
        "too many tokens",
        "input is too long",
        "exceed_context",
        "too large to process",
    ]
    .iter()
    .any(|words| text.contains(words))
}

fn context_exceeded(context_length: Option<u64>) -> ApiError {
    let (french, english) = match context_length {
        Some(length) => (
            format!("La demande dépasse le contexte du modèle ({length} tokens, réponse comprise). Raccourcissez-la."),
            format!("The request exceeds the model’s context ({length} tokens, answer included). Shorten it."),
        ),
        None => (
            "La demande dépasse le contexte du modèle. Raccourcissez-la.".to_owned(),
            "The request exceeds the model’s context. Shorten it.".to_owned(),
        ),
    };
    ApiError::bad_request(french, english).code("context_length_exceeded").param("messages")
}

fn caller(body: &[u8], context_length: Option<u64>) -> ApiError {
    let said = message(body);
    if said.as_deref().is_some_and(is_about_context) {
        return context_exceeded(context_length);
    }
    match said.filter(|text| is_fit_to_show(text)) {
        Some(text) => {
            let text = short_sentence(&text);
            ApiError::bad_request(
                format!("Le moteur du modèle refuse la requête : {text}"),
                format!("The model’s engine refuses the request: {text}"),
            )
        }
        None => ApiError::bad_request(
            "Le moteur du modèle refuse la requête : un paramètre ou un message ne lui convient pas.",
            "The model’s engine refuses the request: a parameter or a message does not suit it.",
        ),
    }
}

/// An engine's words reach a client only when they hold no address, no path and no trace of its code.
fn is_fit_to_show(text: &str) -> bool {
    let word = |w: &str| {
        let slashes = w.matches('/').count();
        w.contains("://") || slashes >= 2 || w.starts_with('/') || is_address(w)
    };
    !text.trim().is_empty()
        && !["Traceback", "File \"", "Bearer ", "::", ".py", ".cpp", "0x", "localhost"]
            .iter()
            .any(|mark| text.contains(mark))
        && !text.split_whitespace().any(word)
}

fn is_address(word: &str) -> bool {
    let host = word.trim_matches(|c: char| !c.is_ascii_alphanumeric()).split(':').next().unwrap_or_default();
    host.parse::<std::net::Ipv4Addr>().is_ok()
}

fn short_sentence(text: &str) -> String {
    if text.chars().count() > 300 {
        format!("{}…", text.chars().take(300).filter(|c| !c.is_control()).collect::<String>())
    } else if text.len() <= 100 {
        short(text)
    } else {
        text.chars().filter(|c| !c.is_control()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::server::Language;

    fn caller_message(status: u16, body: &str) -> Option<String> {
        match judge(StatusCode::from_u16(status).unwrap(), body.as_bytes(), Some(4096)) {
            Verdict::Caller(error) => Some(format!("{} {}", error.reason(), error.message(Language::En))),
            _ => None,
        }
    }

    #[test]
    fn a_long_prompt_is_told_as_such_whatever_the_engine() {
        for (status, body) in [
            (
                400,
                r#"{"object":"error","message":"This model's maximum context length is 4096 tokens. However…","type":"BadRequestError"}"#,
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error"}}"#,
            ),
            (500, r#"{"error":{"message":"input is too large to process. increase the physical batch size"}}"#),
            (413, "Payload too large"),
        ] {
            let told = caller_message(status, body).unwrap_or_default();
            assert!(told.starts_with("context_length_exceeded") && told.contains("4096"), "{body} → {told}");
        }
    }

    #[test]
    fn an_engines_words_are_shown_only_when_clean() {
        let told = caller_message(400, r#"{"error":{"message":"temperature must be non-negative"}}"#).unwrap();
        assert!(told.contains("temperature must be non-negative"));
        for leak in [
            "could not fetch http://10.0.0.4/x",
            "no file /models/llama.gguf",
            "host 10.1.2.3:8000 refused",
            "Traceback (most recent call last)",
        ] {
            let told = caller_message(422, &serde_json::json!({"detail": leak}).to_string()).unwrap();
            assert!(!told.contains(leak), "{told}");
        }
    }

    #[test]
    fn what_is_not_the_callers_doing_is_not_blamed_on_them() {
        for status in [401, 403, 404, 429, 500, 502, 503] {
            assert_eq!(caller_message(status, r#"{"error":{"message":"nope"}}"#), None, "{status}");
        }
    }
}
