//! What these tests stand on: a gateway with an embedding engine that computes vectors from texts, and forms.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use guichet::retrieval::Retrieval;
use rag::index::Space;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AnyPool, AssertSqlSafe};
use tests::engine::Embeddings;
use tests::{Backend, FakeEngine, Key, TestApp, read};

/// Numbers of each vector.
pub const DIMENSIONS: usize = 8;
pub const MODEL: &str = "vecteurs";
/// A machine that does other things may take its time.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Stand {
    pub app: TestApp,
    pub engine: FakeEngine,
    /// A project's key of « Ministère A ».
    pub key: Key,
}

/// A configuration with retrieval; `more` is YAML of the section.
pub fn configuration(engine: &FakeEngine, more: &str) -> String {
    let program = tests::process::binary().display().to_string();
    format!(
        "models:\n  - {{id: {MODEL}, aliases: [anciens-vecteurs], type: embeddings, dimensions: {DIMENSIONS}, \
         context_length: 64, deployments: [{{name: v, url: '{url}', engine: openai, hosting: state}}]}}\n  \
         - {{id: causeur, type: chat, deployments: [{{name: c, url: '{url}', engine: openai, hosting: state}}]}}\n\
         retrieval:\n  embedding_model: {MODEL}\n  ingestion: {{program: {program:?}, file_limit: 1MiB}}\n{more}",
        url = engine.url()
    )
}

impl Stand {
    pub async fn start(backend: Backend) -> Stand {
        Stand::with(backend, "").await
    }

    pub async fn with(backend: Backend, more: &str) -> Stand {
        let engine = FakeEngine::start().await;
        engine.script_model(MODEL, Embeddings::of(DIMENSIONS));
        let app = TestApp::on(backend, &configuration(&engine, more)).await;
        let key = app.key("Ministère A", "internal").await;
        Stand { app, engine, key }
    }

    pub fn retrieval(&self) -> &Retrieval {
        let running = self.app.running.as_ref().expect("it runs in this process");
        running.app.retrieval.as_ref().expect("retrieval is on")
    }

    /// Chunks that the index holds.
    pub async fn points(&self) -> u64 {
        self.retrieval().index.count(&Space::new(MODEL, DIMENSIONS)).await.expect("the index counts")
    }

    /// Rows of the database that a query counts.
    pub async fn rows(&self, query: &str) -> i64 {
        sqlx::any::install_default_drivers();
        let pool = AnyPool::connect(&self.app.database().url).await.expect("the database");
        let count = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&pool).await.expect("a count");
        pool.close().await;
        count
    }

    /// Files of documents on the disk, those that are arriving included.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.app.folder.path().join("data/documents")];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.expect("an entry").path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files
    }

    /// Waits for what happens in the background.
    pub async fn until(&self, what: &str, wanted: impl AsyncFn() -> bool) {
        let started = Instant::now();
        while !wanted().await {
            assert!(started.elapsed() < PATIENCE, "{what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn collection(&self, name: &str) -> i64 {
        made(self.app.post("/v1/collections", &self.key.secret, &json!({"name": name})).await)
    }

    pub async fn upload(&self, key: &Key, fields: &[(&str, &str)], file: Option<(&str, &[u8])>) -> (u16, Value) {
        upload(&self.app, &key.secret, fields, file, &[]).await
    }
}

/// The id of what was made.
pub fn made((status, object): (u16, Value)) -> i64 {
    assert!(matches!(status, 201 | 202), "{status} {object}");
    object["id"].as_i64().unwrap_or_else(|| panic!("no id in {object}"))
}

/// A form as SDKs send it.
pub fn form(fields: &[(&str, &str)], file: Option<(&str, &[u8])>) -> (String, Vec<u8>) {
    tests::form::form(fields, file, "text/plain")
}

pub async fn upload(
    app: &TestApp,
    secret: &str,
    fields: &[(&str, &str)],
    file: Option<(&str, &[u8])>,
    headers: &[(&str, &str)],
) -> (u16, Value) {
    let (kind, body) = form(fields, file);
    let mut request = app.request(Method::POST, "/v1/documents", secret).header("content-type", kind).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    read(request.send().await.expect("an answer")).await
}

/// The same without a file, URL-encoded.
pub async fn encoded(app: &TestApp, secret: &str, fields: &[(&str, &str)]) -> (u16, Value) {
    let mut url = reqwest::Url::parse("http://localhost").expect("a URL");
    url.query_pairs_mut().extend_pairs(fields);
    let body = url.query().unwrap_or_default().to_owned();
    let request = app.request(Method::POST, "/v1/documents", secret).body(body);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    read(request.send().await.expect("an answer")).await
}

/// A member's key, with a role on an organization, or on the instance.
pub async fn member(app: &TestApp, email: &str, organization: i64, grant: Value) -> String {
    let form = json!({"email": email, "name": "Camille", "organization_id": organization});
    let id = made(app.post("/v1/admin/members", &app.admin_key, &form).await);
    let (status, granted) = app.post(&format!("/v1/admin/members/{id}/grants"), &app.admin_key, &grant).await;
    assert_eq!(status, 201, "{granted}");
    let (status, key) = app.post("/v1/admin/keys", &app.admin_key, &json!({"member_id": id, "name": "k"})).await;
    assert_eq!(status, 201, "{key}");
    key["key"].as_str().expect("a key").to_owned()
}

pub fn ids(list: &Value) -> Vec<i64> {
    let data = list["data"].as_array().unwrap_or_else(|| panic!("no list: {list}"));
    data.iter().map(|object| object["id"].as_i64().expect("an id")).collect()
}
