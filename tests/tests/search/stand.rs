//! What these tests stand on: collections whose chunks are given, and an engine that embeds, ranks and answers.

use serde_json::{Value, json};
use tests::engine::{Embeddings, Rerank, RerankStyle};
use tests::{Backend, FakeEngine, Key, TestApp};

pub const DIMENSIONS: usize = 16;
pub const VECTORS: &str = "vecteurs";
pub const CHAT: &str = "causeur";
pub const RANKS: &str = "classeur";

pub struct Stand {
    pub app: TestApp,
    pub engine: FakeEngine,
    pub key: Key,
}

/// Models on one engine, each on a hosting of its own where it matters.
pub fn configuration(engine: &FakeEngine, more: &str) -> String {
    let url = engine.url();
    let program = tests::process::binary().display().to_string();
    let model = |id: &str, rest: &str, hosting: &str| {
        format!(
            "  - {{id: {id}, {rest}, deployments: [{{name: {id}-d, url: '{url}', engine: openai, hosting: {hosting}}}]}}\n"
        )
    };
    format!(
        "models:\n{}{}{}{}retrieval:\n  embedding_model: {VECTORS}\n  rerank_model: {RANKS}\n  ingestion: {{program: {program:?}}}\n{more}",
        model(VECTORS, &format!("type: embeddings, dimensions: {DIMENSIONS}, context_length: 512"), "state"),
        model(CHAT, "type: chat, context_length: 32768", "state"),
        model("causeur-europe", "type: chat, context_length: 32768", "european"),
        model(RANKS, "type: rerank", "state"),
    )
}

impl Stand {
    pub async fn start(backend: Backend) -> Stand {
        Stand::with(backend, "").await
    }

    /// `more` is YAML of the section `retrieval`.
    pub async fn with(backend: Backend, more: &str) -> Stand {
        let engine = FakeEngine::start().await;
        engine.script_model(VECTORS, Embeddings::of(DIMENSIONS));
        engine.script_model(RANKS, Rerank::new(RerankStyle::AsAsked));
        let app = TestApp::on(backend, &configuration(&engine, more)).await;
        let key = app.key("Ministère A", "internal").await;
        Stand { app, engine, key }
    }

    pub async fn collection(&self, name: &str) -> i64 {
        collection(&self.app, &self.key, &json!({"name": name})).await
    }

    /// A document of chunks, searchable: its id.
    pub async fn document(&self, collection: i64, name: &str, metadata: &Value, chunks: &[Value]) -> i64 {
        document(&self.app, &self.key, collection, name, metadata, chunks).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.app.post(path, &self.key.secret, body).await
    }

    /// The results of a search that is answered.
    pub async fn search(&self, body: &Value) -> Vec<Value> {
        let (status, answer) = self.post("/v1/search", body).await;
        assert_eq!(status, 200, "{body}: {answer}");
        answer["data"].as_array().expect("a list").clone()
    }

    /// The path that a refusal names.
    pub async fn refused(&self, body: &Value) -> (u16, String) {
        let (status, answer) = self.post("/v1/search", body).await;
        let words = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(!words.is_empty() && answer["detail"] == words, "{answer}");
        (status, answer["error"]["param"].as_str().unwrap_or_default().to_owned())
    }
}

pub async fn collection(app: &TestApp, key: &Key, body: &Value) -> i64 {
    let (status, made) = app.post("/v1/collections", &key.secret, body).await;
    assert_eq!(status, 201, "{made}");
    made["id"].as_i64().expect("an id")
}

pub async fn document(
    app: &TestApp,
    key: &Key,
    collection: i64,
    name: &str,
    metadata: &Value,
    chunks: &[Value],
) -> i64 {
    let form =
        [("collection_id", collection.to_string()), ("name", name.to_owned()), ("metadata", metadata.to_string())];
    let request = app.request(reqwest::Method::POST, "/v1/documents", &key.secret);
    let text: Vec<String> = form.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(text.join("&"));
    let (status, made) = tests::read(request.send().await.expect("an answer")).await;
    assert!(matches!(status, 200..=202), "{status} {made}");
    let id = made["id"].as_i64().expect("an id");
    for some in chunks.chunks(64) {
        let (status, added) =
            app.post(&format!("/v1/documents/{id}/chunks"), &key.secret, &json!({"chunks": some})).await;
        assert_eq!(status, 201, "searchable when it is answered: {added}");
    }
    id
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// A chunk without fields of its own.
pub fn chunk(content: &str) -> Value {
    json!({"content": content})
}

/// The contents of results.
pub fn contents(results: &[Value]) -> Vec<String> {
    results.iter().map(|result| result["chunk"]["content"].as_str().expect("a content").to_owned()).collect()
}

/// What both databases are asked alike.
pub async fn on_both<F: Future<Output = ()>>(story: impl Fn(Backend) -> F) {
    story(Backend::Sqlite).await;
    if std::env::var_os(tests::database::POSTGRES).is_some() {
        story(Backend::Postgres).await;
    }
}
