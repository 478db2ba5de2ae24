//! What differs between engines, in one table. There is one sender; an engine is a row, never a file of its own.

use crate::config::model::EngineKind;

/// A path under the server's root, or under the configured base URL (which usually ends in `/v1`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    Root(&'static str),
    Base(&'static str),
}

/// How an engine takes a rerank request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RerankStyle {
    /// `{model, query, documents, top_n}` → `results[].relevance_score` (Cohere, Jina).
    Cohere,
    /// `{query, texts}` → `[{index, score}]`.
    Tei,
    /// The engine has no such call.
    Absent,
}

/// One row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quirks {
    /// Answers 2xx when the engine is well.
    pub health: Place,
    /// Where documents are reranked.
    pub rerank: Place,
    pub rerank_style: RerankStyle,
    /// Knows `stream_options.include_usage`. One that does not gives usage by itself or never.
    pub stream_options: bool,
    /// Knows `max_completion_tokens`; else it is sent as `max_tokens`.
    pub max_completion_tokens: bool,
    /// Knows `encoding_format: base64`; else floats are asked and encoded here.
    pub base64: bool,
    /// Takes `service_tier`. It is the line here that obeys it; an engine that may refuse it never sees it.
    pub service_tier: bool,
}

const OPENAI: Quirks = Quirks {
    health: Place::Base("/models"),
    rerank: Place::Base("/rerank"),
    rerank_style: RerankStyle::Cohere,
    stream_options: true,
    max_completion_tokens: true,
    base64: false,
    service_tier: false,
};

/// The row of an engine.
pub const fn quirks(kind: EngineKind) -> Quirks {
    match kind {
        EngineKind::OpenAi => OPENAI,
        EngineKind::Vllm => Quirks { health: Place::Root("/health"), base64: true, service_tier: true, ..OPENAI },
        EngineKind::Sglang => Quirks { health: Place::Root("/health"), max_completion_tokens: true, ..OPENAI },
        EngineKind::LlamaCpp => {
            Quirks { health: Place::Root("/health"), base64: true, max_completion_tokens: false, ..OPENAI }
        }
        EngineKind::Ollama => Quirks {
            health: Place::Root("/api/version"),
            rerank_style: RerankStyle::Absent,
            max_completion_tokens: false,
            ..OPENAI
        },
        EngineKind::Tei => Quirks {
            health: Place::Root("/health"),
            rerank: Place::Root("/rerank"),
            rerank_style: RerankStyle::Tei,
            base64: true,
            ..OPENAI
        },
        EngineKind::Mistral => {
            Quirks { rerank_style: RerankStyle::Absent, stream_options: false, max_completion_tokens: false, ..OPENAI }
        }
    }
}
