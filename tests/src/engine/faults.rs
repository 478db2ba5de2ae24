//! Engines at their worst, and the names under which a request can ask for them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::calls::Call;
use super::chat::{Chat, Ending, Reasoning, Split, Usage};
use super::play::Step;
use super::reply::Reply;
use super::sse::Sse;
use super::vectors::{Embeddings, Rerank, RerankStyle};
use super::{ms, rest, wire};

/// The models that `/v1/models` lists unless the test says otherwise.
pub const MODELS: [&str; 7] =
    ["fake/plain", "fake/tools", "fake/reasoning", "fake/cut", "fake/busy", "fake/embeddings", "fake/rerank"];

/// Length of the vectors of `fake/embeddings`.
pub const DIMENSIONS: usize = 8;

/// What `fake/plain` says.
pub const ANSWER: &str = "Bonjour ! Je suis un moteur de test, et ceci est ma réponse : « été ».";

/// What `fake/reasoning` thinks.
pub const THOUGHT: &str = "L’usager demande peu. Répondons peu.";

/// The behaviour of a request nobody scripted: by its path, then by its model's name. Names of the form `fake/…` that are
/// not known get vLLM's 404; any other name is answered as `fake/plain`.
pub(super) fn by_request(call: &Call) -> Reply {
    let model = call.model.as_deref().unwrap_or_default();
    if let Some(reply) = named(model) {
        return reply;
    }
    if model.starts_with("fake/") {
        return rest::no_model(model);
    }
    match call.path.trim_end_matches('/') {
        path if path.ends_with("/embeddings") => Embeddings::of(DIMENSIONS).into(),
        path if path.ends_with("/rerank") => Rerank::new(RerankStyle::AsAsked).into(),
        path if path.ends_with("/completions") => Chat::obliging(ANSWER).into(),
        _ => Reply::json(404, &json!({"detail": "Not Found"})),
    }
}

/// The behaviour that a model's name asks for.
pub fn named(model: &str) -> Option<Reply> {
    let name = model.strip_prefix("fake/")?;
    let plain = || Chat::obliging(ANSWER);
    Some(match name {
        "plain" => plain().into(),
        "slow" => plain().delay(ms(50)).into(),
        "slow-first-byte" => plain().first_byte(ms(1_000)).into(),
        "tools" => plain().using_tools().into(),
        "strict" => plain().alternating().into(),
        "reasoning" => plain().reasoning(THOUGHT, Reasoning::ReasoningContent).into(),
        "reasoning-field" => plain().reasoning(THOUGHT, Reasoning::Reasoning).into(),
        "think-tags" => plain().reasoning(THOUGHT, Reasoning::ThinkTags).split(Split::Chars(3)).into(),
        "think-unopened" => plain().reasoning(THOUGHT, Reasoning::ThinkTagsUnopened).split(Split::Chars(3)).into(),
        "fenced" => Chat::text(&format!("Voici le texte corrigé :\n\n```markdown\n{ANSWER}\n```\n")).into(),
        "no-usage" => plain().usage(Usage::Never).into(),
        "usage-in-finish" => plain().usage(Usage::InFinish).into(),
        "usage-always" => plain().usage(Usage::Always).into(),
        "usage-every-chunk" => plain().usage(Usage::EveryChunk).into(),
        "cut" => plain().cut(4, Ending::Reset).into(),
        "cut-truncated" => plain().cut(4, Ending::Truncated).into(),
        "cut-clean" => plain().cut(4, Ending::CleanEof).into(),
        "no-done" => plain().cut(0, Ending::NoDone).into(),
        "error-event" => plain().cut(4, Ending::Error(engine_error())).into(),
        "error-then-done" => plain().cut(4, Ending::ErrorThenDone(engine_error())).into(),
        "error-in-200" => plain().cut(0, Ending::Error(engine_error())).into(),
        "silence" => plain().cut(4, Ending::Silence).into(),
        "endless" => plain().delay(ms(5)).cut(4, Ending::Endless).into(),
        "busy" => busy(),
        "never" => never(),
        "html" => html(200),
        "html-502" => html(502),
        "garbage" => garbage(),
        "not-json" => Reply::whole(200, "application/json", "{\"id\": \"chatcmpl-1\", \"choices\": [{\"ind"),
        "endless-headers" => endless_headers(),
        "truncated" => truncated(),
        "huge-chunk" => huge_chunk(2 << 20),
        "embeddings" => Embeddings::of(DIMENSIONS).into(),
        "embeddings-floats" => Embeddings::of(DIMENSIONS).floats_only().into(),
        "rerank" => Rerank::new(RerankStyle::AsAsked).into(),
        "context" => context_exceeded(),
        code => refusal(code.parse().ok()?),
    })
}

fn engine_error() -> Value {
    json!({"error": {
        "message": "EngineCore encountered an issue. See stack trace (above) for the root cause at 10.0.3.7:8000.",
        "type": "InternalServerError", "param": null, "code": 500,
    }})
}

/// vLLM's error body.
pub fn vllm(status: u16, kind: &str, message: &str) -> Reply {
    let error = json!({"message": message, "type": kind, "param": null, "code": status});
    Reply::json(status, &json!({"error": error}))
}

/// llama.cpp's error body.
pub fn llamacpp(status: u16, kind: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"error": {"code": status, "message": message, "type": kind}}))
}

/// A typical refusal of each status: vLLM's, except 401 (a proxy's), 422 (FastAPI's), 503 (llama.cpp's while loading).
/// 429 and 503 carry `retry-after: 1`.
pub fn refusal(status: u16) -> Reply {
    match status {
        400 => vllm(400, "BadRequestError", "top_k must be -1 (disable), or at least 1, got -5."),
        401 => Reply::json(401, &json!({"error": "Unauthorized"})),
        404 => rest::no_model("openweight-small"),
        422 => Reply::json(
            422,
            &json!({"detail": [
                {"type": "missing", "loc": ["body", "messages"], "msg": "Field required", "input": {}},
            ]}),
        ),
        429 => busy(),
        503 => llamacpp(503, "unavailable_error", "Loading model").header("retry-after", "1"),
        500.. => vllm(status, "InternalServerError", "CUDA out of memory on host gpu-07.internal"),
        _ => vllm(status, "BadRequestError", "refused"),
    }
}

/// 429, as an engine whose queue is full.
pub fn busy() -> Reply {
    vllm(429, "TooManyRequestsError", "Too many requests, the server is overloaded.").header("retry-after", "1")
}

/// vLLM's 400 for a prompt that is too long.
pub fn context_exceeded() -> Reply {
    vllm(
        400,
        "BadRequestError",
        "This model's maximum context length is 32768 tokens. However, your request has 40000 \
        input tokens. Please reduce the length of the input messages.",
    )
}

/// llama.cpp's 400 for a prompt that is too long.
pub fn context_exceeded_llamacpp() -> Reply {
    Reply::json(
        400,
        &json!({"error": {
            "code": 400, "message": "the request exceeds the available context size, try increasing it",
            "type": "exceed_context_size_error", "n_prompt_tokens": 40_000, "n_ctx": 32_768,
        }}),
    )
}

/// Takes the request and never says a word.
pub fn never() -> Reply {
    Reply::Raw(vec![Step::Hang])
}

/// A page, as from a proxy that stands in front of a dead engine.
pub fn html(status: u16) -> Reply {
    let page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1>\
        </center>\r\n<hr><center>nginx/1.29.1</center>\r\n</body>\r\n</html>\r\n";
    Reply::whole(status, "text/html", page)
}

/// Bytes that are no HTTP.
pub fn garbage() -> Reply {
    let bytes: Vec<u8> = (0..4_096_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    Reply::Raw(vec![Step::Send(bytes.into())])
}

/// 200 and an event stream whose content is no JSON and no UTF-8.
pub fn garbage_stream() -> Reply {
    Sse::new().raw(&b"data: {\"choices\": [\xff\xfe\x00\n\ndata: }{\n\n\xc3\x28\n\n"[..]).into()
}

/// Headers that never end (a header of 1 KiB each millisecond or so, until the peer leaves).
pub fn endless_headers() -> Reply {
    let line = format!("x-filler: {}\r\n", "a".repeat(1_024));
    Reply::Raw(vec![
        Step::Send(Bytes::from_static(b"HTTP/1.1 200 OK\r\n")),
        Step::Repeat { bytes: line.into(), every: ms(1), times: u64::MAX },
    ])
}

/// A JSON answer of which `content-length` promises twice what comes.
pub fn truncated() -> Reply {
    let body = "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"mess";
    let length = (body.len() * 2).to_string();
    let head = wire::head(200, &[("content-type", "application/json"), ("content-length", &length)]);
    Reply::Raw(vec![Step::Send(head), Step::Send(body.into()), Step::Close])
}

/// A good stream with one event of at least so many bytes.
pub fn huge_chunk(bytes: usize) -> Reply {
    Chat::pieces(&["petit", &"é".repeat(bytes / 2), "petit"]).into()
}

/// A good body that never ends: plain JSON of endless whitespace, as fast as the peer reads it.
pub fn endless_body() -> Reply {
    let head = wire::head(200, &[("content-type", "application/json"), ("transfer-encoding", "chunked")]);
    let filler = wire::chunk(" ".repeat(16_384).as_bytes());
    Reply::Raw(vec![Step::Send(head), Step::Repeat { bytes: filler, every: ms(0), times: u64::MAX }])
}
