//! What these tests stand on: a gateway with an embedding engine that computes vectors from texts, and collections.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rag::index::{Point, Space, VectorIndex};
use reqwest::Method;
use serde_json::{Value, json};
use tests::engine::Embeddings;
use tests::{Backend, FakeEngine, Key, Process, TestApp, read};

/// Numbers of each vector.
pub const DIMENSIONS: usize = 16;
/// The embedding model.
pub const MODEL: &str = "vecteurs";
/// A machine that does other things may take its time.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Stand {
    pub app: TestApp,
    pub engine: FakeEngine,
    pub key: Key,
    pub collection: i64,
}

/// An engine whose vectors depend on the text alone.
pub async fn engine() -> FakeEngine {
    let engine = FakeEngine::start().await;
    engine.script_model(MODEL, Embeddings::of(DIMENSIONS));
    engine
}

/// A configuration with retrieval; `ingestion` and `ocr` are YAML of one line, `more` comes after.
pub fn configuration(engine: &FakeEngine, ingestion: &str, more: &str) -> String {
    let program = tests::process::binary().display().to_string();
    let ingestion = if ingestion.is_empty() { String::new() } else { format!(", {ingestion}") };
    format!(
        "fleet: {{health_interval: 200ms, eject: 200ms, connect_timeout: 2s}}\nmodels:\n  - {{id: {MODEL}, type: embeddings, \
         dimensions: {DIMENSIONS}, context_length: 512, prefixes: {{query: 'query: ', passage: 'passage: '}}, deployments: \
         [{{name: v, url: '{}', engine: openai, hosting: state}}]}}\nretrieval:\n  embedding_model: {MODEL}\n  \
         ingestion: {{program: {program:?}{ingestion}}}\n{more}",
        engine.url()
    )
}

impl Stand {
    pub async fn start(backend: Backend) -> Stand {
        Stand::with(backend, "", "").await
    }

    pub async fn with(backend: Backend, ingestion: &str, more: &str) -> Stand {
        let engine = engine().await;
        let app = TestApp::on(backend, &configuration(&engine, ingestion, more)).await;
        let key = app.key("Ministère A", "internal").await;
        let collection = collection(&app, &key, "fonds").await;
        Stand { app, engine, key, collection }
    }

    /// A gateway whose scans are read by a model on this engine, which the European rule of sensitive data forbids.
    pub async fn with_ocr_model(backend: Backend, ocr: &FakeEngine) -> Stand {
        let engine = engine().await;
        let text = configuration(&engine, "", "  ocr: {kind: model, model: lecture}\n");
        let model = format!(
            "models:\n  - {{id: lecture, type: ocr, deployments: [{{name: o, url: '{}', engine: mistral, engine_model: \
             mistral-ocr-latest, hosting: european}}]}}\n",
            ocr.url()
        );
        let app = TestApp::on(backend, &text.replace("models:\n", &model)).await;
        let key = app.key("Ministère A", "internal").await;
        let collection = collection(&app, &key, "fonds").await;
        Stand { app, engine, key, collection }
    }

    /// Uploads without waiting: the document's id.
    pub async fn upload(&self, name: &str, content: impl Into<Vec<u8>>) -> i64 {
        upload(&self.app, &self.key, self.collection, name, content.into()).await
    }

    /// Uploads, and waits for its end: what is told of it.
    pub async fn ingest(&self, name: &str, content: impl Into<Vec<u8>>) -> Value {
        let id = self.upload(name, content).await;
        ended(&self.app, &self.key, id).await
    }

    /// What the index holds.
    pub async fn points(&self) -> Vec<Point> {
        let running = self.app.running.as_ref().expect("it runs in this process");
        let retrieval = running.app.retrieval.as_ref().expect("retrieval is on");
        points(&*retrieval.index).await
    }

    pub async fn chunks(&self, document: i64) -> Vec<Value> {
        chunks(&self.app, &self.key, document).await
    }
}

pub fn space() -> Space {
    Space::new(MODEL, DIMENSIONS)
}

pub async fn points(index: &dyn VectorIndex) -> Vec<Point> {
    let mut all: Vec<Point> = Vec::new();
    loop {
        let after = all.last().map(|point| point.chunk);
        let some = index.scroll(&space(), after, 500).await.expect("the index is read");
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

pub async fn collection(app: &TestApp, key: &Key, name: &str) -> i64 {
    let (status, made) = app.post("/v1/collections", &key.secret, &json!({"name": name})).await;
    assert!(status == 200 || status == 201, "{status} {made}");
    made["id"].as_i64().unwrap_or_else(|| panic!("no id in {made}"))
}

/// A form as browsers and SDKs send it.
pub fn form(fields: &[(&str, &str)], file: Option<(&str, &[u8])>) -> (String, Vec<u8>) {
    tests::form::form(fields, file, "application/octet-stream")
}

/// Uploads and answers at once: status and body.
pub async fn post(app: &TestApp, key: &Key, fields: &[(&str, &str)], file: Option<(&str, &[u8])>) -> (u16, Value) {
    let (kind, body) = form(fields, file);
    let request = app.request(Method::POST, "/v1/documents", &key.secret).header("content-type", kind).body(body);
    read(request.header("prefer", "respond-async").send().await.expect("an answer")).await
}

pub async fn upload(app: &TestApp, key: &Key, collection: i64, name: &str, content: Vec<u8>) -> i64 {
    let collection = collection.to_string();
    let (status, made) = post(app, key, &[("collection_id", &collection)], Some((name, &content))).await;
    assert!((200..300).contains(&status), "{name}: {status} {made}");
    made["id"].as_i64().unwrap_or_else(|| panic!("no id in {made}"))
}

pub async fn state(app: &TestApp, key: &Key, id: i64) -> Value {
    let (status, state) = app.get(&format!("/v1/documents/{id}"), &key.secret).await;
    assert_eq!(status, 200, "{state}");
    state
}

/// Waits until a document is done or has failed.
pub async fn ended(app: &TestApp, key: &Key, id: i64) -> Value {
    until(app, key, id, |state| state["status"] == "done" || state["status"] == "failed").await
}

/// Waits until a document is as wanted.
pub async fn until(app: &TestApp, key: &Key, id: i64, wanted: impl Fn(&Value) -> bool) -> Value {
    let started = Instant::now();
    loop {
        let state = state(app, key, id).await;
        if wanted(&state) {
            return state;
        }
        assert!(started.elapsed() < PATIENCE, "it stays so: {state}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The chunks of a document, in order.
pub async fn chunks(app: &TestApp, key: &Key, document: i64) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let path = format!("/v1/documents/{document}/chunks?limit=100&offset={}", all.len());
        let (status, page) = app.get(&path, &key.secret).await;
        assert_eq!(status, 200, "{page}");
        let page = page["data"].as_array().expect("a list");
        if page.is_empty() {
            return all;
        }
        all.extend(page.iter().cloned());
    }
}

/// A corpus of so many documents, the same at each call: most short, some of several chunks.
pub fn corpus(documents: usize) -> BTreeMap<String, String> {
    let words = ["préfet", "congé", "salarié", "arrêté", "commune", "délai", "recours", "agent", "permis", "voirie"];
    let mut random = fastrand::Rng::with_seed(7);
    let mut sentence = |nth: usize| {
        let said: Vec<&str> = (0..12).map(|_| words[random.usize(..words.len())]).collect();
        format!("Alinéa {nth} : {}.", said.join(" "))
    };
    (0..documents)
        .map(|nth| {
            let paragraphs = if nth % 10 == 0 { 120 } else { 2 };
            let text: Vec<String> = (0..paragraphs).map(&mut sentence).collect();
            (format!("fiche-{nth:03}.md"), format!("# Fiche {nth}\n\n{}\n", text.join("\n\n")))
        })
        .collect()
}

/// A gateway in a process of its own, with a key and a collection.
pub async fn process(backend: Backend, engine: &FakeEngine, ingestion: &str) -> (Process, Key, i64) {
    let gateway = Process::start(backend, &configuration(engine, ingestion, "")).await;
    let key = gateway.key("Ministère A", "internal").await;
    let collection = collection(&gateway, &key, "fonds").await;
    (gateway, key, collection)
}
