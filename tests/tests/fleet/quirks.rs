//! What each kind of engine is sent: one sender, one table of differences.

use serde_json::{Value, json};
use tests::engine::{Embeddings, Rerank, RerankStyle};
use tests::{Backend, Chat, FakeEngine, Process, TestApp, chat};

/// One row: what differs for a kind of engine.
struct Row {
    engine: &'static str,
    health: &'static str,
    stream_options: bool,
    max_completion_tokens: bool,
    /// Asked for base64 when the client asks it; else for floats.
    base64: bool,
    /// Path, and the field that holds the documents; none for an engine that does not rank.
    rerank: Option<(&'static str, &'static str)>,
}

const fn row(engine: &'static str, health: &'static str, rerank: Option<(&'static str, &'static str)>) -> Row {
    Row { engine, health, stream_options: true, max_completion_tokens: true, base64: false, rerank }
}

const COHERE: Option<(&str, &str)> = Some(("/v1/rerank", "documents"));

const TABLE: [Row; 7] = [
    Row { base64: true, ..row("vllm", "/health", COHERE) },
    row("sglang", "/health", COHERE),
    Row { base64: true, max_completion_tokens: false, ..row("llamacpp", "/health", COHERE) },
    Row { max_completion_tokens: false, ..row("ollama", "/api/version", None) },
    Row { base64: true, ..row("tei", "/health", Some(("/rerank", "texts"))) },
    Row { stream_options: false, max_completion_tokens: false, ..row("mistral", "/v1/models", None) },
    row("openai", "/v1/models", COHERE),
];

/// A gateway with a model of each type on an engine of that kind.
async fn with(row: &Row, engine: &FakeEngine) -> TestApp {
    let mut more = "fleet: {health_interval: 100ms}\nmodels:\n".to_owned();
    for kind in ["chat", "embeddings", "rerank"] {
        if kind != "rerank" || row.rerank.is_some() {
            more += &format!(
                "  - {{id: public-{kind}, type: {kind}, deployments: [{{name: {kind}-d, url: '{}', engine: {}, \
                 engine_model: inner/{kind}, hosting: state}}]}}\n",
                engine.url(),
                row.engine
            );
        }
    }
    TestApp::start(&more).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_engine_gets_its_own_words() {
    for row in &TABLE {
        let name = row.engine;
        let engine = FakeEngine::start().await;
        let app = with(row, &engine).await;
        let key = app.key("A", "internal").await;
        assert!(engine.until(|counts| counts.paths.contains_key(row.health)).await, "{name}: {:?}", engine.counts());

        engine.script(Chat::text("oui"));
        let mut body = chat("public-chat");
        body["max_completion_tokens"] = json!(7);
        body["top_k"] = json!(40);
        body["chat_template_kwargs"] = json!({"enable_thinking": false});
        for stream in [false, true] {
            body["stream"] = json!(stream);
            let (status, answer) = app.post("/v1/chat/completions", &key.secret, &body).await;
            assert_eq!(status, 200, "{name}: {answer}");
            let call = engine.last();
            let sent = call.json();
            assert_eq!((call.path.as_str(), &sent["model"]), ("/v1/chat/completions", &json!("inner/chat")), "{name}");
            let (known, other) = match row.max_completion_tokens {
                true => ("max_completion_tokens", "max_tokens"),
                false => ("max_tokens", "max_completion_tokens"),
            };
            assert_eq!((&sent[known], &sent[other]), (&json!(7), &Value::Null), "{name}: {sent}");
            let options = match stream && row.stream_options {
                true => json!({"include_usage": true}),
                false => Value::Null,
            };
            assert_eq!(sent["stream_options"], options, "{name}: {sent}");
            // What is nobody's business goes as it came.
            assert_eq!(
                (&sent["top_k"], &sent["chat_template_kwargs"]),
                (&body["top_k"], &body["chat_template_kwargs"])
            );
            assert_eq!(sent["messages"], body["messages"], "{name}");
        }
        // The client's own options are not sent to who does not know them.
        body["stream_options"] = json!({"include_usage": true});
        let (status, text) = app.post("/v1/chat/completions", &key.secret, &body).await;
        assert_eq!(status, 200, "{name}: {text}");
        assert_eq!(engine.last().json()["stream_options"].is_null(), !row.stream_options, "{name}");
        assert!(text.as_str().is_some_and(|text| text.contains("\"usage\"")), "{name}: asked, so given: {text}");

        engine.script(if row.base64 { Embeddings::of(4) } else { Embeddings::of(4).floats_only() });
        let body = json!({"model": "public-embeddings", "input": ["a", "b"], "encoding_format": "base64"});
        let (status, answer) = app.post("/v1/embeddings", &key.secret, &body).await;
        assert_eq!(status, 200, "{name}: {answer}");
        assert!(answer["data"][1]["embedding"].is_string(), "{name}: {answer}");
        let call = engine.last();
        assert_eq!(call.path, "/v1/embeddings", "{name}");
        let wanted = if row.base64 { "base64" } else { "float" };
        assert_eq!(call.json()["encoding_format"], wanted, "{name}");

        let Some((path, field)) = row.rerank else { continue };
        engine.script(Rerank::new(if field == "texts" { RerankStyle::Tei } else { RerankStyle::Cohere }));
        let body = json!({"model": "public-rerank", "query": "eau", "documents": ["feu", "eau"], "top_n": 1});
        let (status, answer) = app.post("/v1/rerank", &key.secret, &body).await;
        assert_eq!(status, 200, "{name}: {answer}");
        assert_eq!(answer["results"], json!([{"index": 1, "relevance_score": 1.0}]), "{name}");
        assert_eq!(answer["data"], json!([{"object": "score", "index": 1, "score": 1.0}]), "{name}");
        let call = engine.last();
        assert_eq!((call.path.as_str(), &call.json()[field]), (path, &json!(["feu", "eau"])), "{name}");
    }
}

/// A rerank model on an engine that does not rank is a mistake of the configuration, told before anyone calls.
#[tokio::test]
async fn an_engine_that_does_not_rank_serves_no_rerank_model() {
    use guichet::config::load::{Origin, from_text};
    for engine in TABLE.iter().filter(|row| row.rerank.is_none()).map(|row| row.engine) {
        let text = format!(
            "hostings: {{h: {{operator: X, state_operated: true, country: FR, jurisdiction: FR, qualification: none, \
             zone: z}}}}\nmodels: [{{id: r, type: rerank, deployments: [{{name: d, url: 'http://127.0.0.1:1/v1', \
             engine: {engine}, hosting: h}}]}}]\n"
        );
        let problems = from_text(&Origin::Embedded, &text, Vec::new()).expect_err("it is refused");
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert_eq!(problems[0].path, "models[0].deployments[0].engine", "{problems:#?}");
    }
}

/// The key of an engine goes to that engine, probes included, and nowhere else: not to clients, not to the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engines_key_is_sent_to_it_and_never_shown() {
    const SECRET: &str = "sk-engine-9f8e7d6c";
    let (engine, other) = (FakeEngine::start().await, FakeEngine::start().await);
    engine.require_key(SECRET);
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("engine.key");
    std::fs::write(&file, format!("{SECRET}\n")).expect("the key is written");
    let line = |id: &str, engine: &FakeEngine, key: &str| {
        format!(
            "  - {{id: {id}, type: chat, deployments: [{{name: {id}-d, url: '{}', engine: openai, hosting: state{key}}}]}}\n",
            engine.url()
        )
    };
    let more = format!(
        "log: {{level: debug, requests: all}}\nfleet: {{health_interval: 100ms}}\nmodels:\n{}{}",
        line("keyed", &engine, &format!(", api_key: {{file: {:?}}}", file.display().to_string())),
        line("open", &other, "")
    );
    let gateway = Process::start(Backend::Sqlite, &more).await;
    let key = gateway.key("A", "internal").await;
    let mut shown = String::new();
    for id in ["keyed", "open"] {
        let (status, answer) = gateway.chat(&key, id).await;
        assert_eq!(status, 200, "{answer}");
        shown += &answer.to_string();
    }
    assert_eq!(engine.last().header("authorization"), Some(format!("Bearer {SECRET}").as_str()));
    assert_eq!(other.last().header("authorization"), None, "neither the caller's key nor another engine's");
    crate::fleet::until_colour(&gateway, &key, "keyed", &["green"]).await;
    // Refused by the engine: our misconfiguration, told without its words.
    engine.require_key("another");
    let (status, answer) = gateway.chat(&key, "keyed").await;
    assert_eq!((status, answer["error"]["code"].as_str()), (502, Some("upstream_error")), "{answer}");
    shown += &answer.to_string();
    for path in ["/v1/models", "/metrics", "/health/models", "/v1/admin/records", "/openapi.json"] {
        shown += &gateway.get(path, &gateway.admin_key).await.1.to_string();
    }
    let log = std::fs::read_to_string(gateway.folder.path().join("guichet.log")).expect("the log");
    assert!(log.contains("request"), "{log}");
    for text in [&shown, &log] {
        assert!(!text.contains(SECRET) && !text.contains(&key.secret), "a secret is shown");
    }
    assert!(!shown.contains(&engine.address().to_string()), "where engines are is nobody's business");
}
