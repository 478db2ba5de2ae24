//! What evaluation keeps of requests, and does not: content of projects that agreed, redacted ([`capture`]); chains that show
//! what was touched ([`chain`]); what goes by itself or on request ([`retention`], [`erasure`]); draws ([`samples`]);
//! [`feedback`]; datasets and what is run over
//! them ([`runs`]); who may read what ([`roles`]); `kill -9` ([`crash`]); the page of documentation ([`page`]). On both
//! databases.

#![expect(clippy::expect_used, clippy::panic, reason = "in tests, a panic is how a failure is told")]

mod capture;
mod chain;
mod crash;
mod erasure;
mod feedback;
mod page;
mod retention;
mod roles;
mod runs;
mod samples;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Row};
use tests::app::{Key, PATIENCE};
use tests::{Backend, Chat, FakeEngine, TestApp, model};

/// What a person should never find again, as the texts below say it.
const SECRETS: [&str; 7] = [
    "camille.martin@exemple.fr",
    "06 12 34 56 78",
    "1 85 05 78 006 084 91",
    "FR76 3000 6000 0112 3456 7890 189",
    "4111 1111 1111 1111",
    "12 rue des Lilas",
    "Keroual",
];

/// A user's message that holds them all, and words that may stay.
fn confession(witness: &str) -> String {
    format!(
        "Bonjour, je suis Mme Keroual et je vous écris pour une question sur ma carte ({witness}). Mon adresse est \
         12 rue des Lilas, 75011 Paris, mon courriel camille.martin@exemple.fr, mon téléphone 06 12 34 56 78, mon numéro \
         1 85 05 78 006 084 91, mon compte FR76 3000 6000 0112 3456 7890 189 et ma carte 4111 1111 1111 1111."
    )
}

/// An answer that says some of them again.
const ECHO: &str = "Bien noté, Mme Keroual : nous écrirons à camille.martin@exemple.fr.";

/// A gateway that evaluates, on an engine that says [`ECHO`].
pub(crate) async fn gateway(backend: Backend, evaluation: &str) -> (TestApp, FakeEngine) {
    let engine = FakeEngine::start().await;
    engine.script(Chat::obliging(ECHO));
    let app = TestApp::on(backend, &configuration(&engine, evaluation)).await;
    (app, engine)
}

pub(crate) fn configuration(engine: &FakeEngine, evaluation: &str) -> String {
    format!("{evaluation}\nmodels:\n{}{}", small(engine, "petit"), small(engine, "grand"))
}

fn small(engine: &FakeEngine, id: &str) -> String {
    model(id, "chat", &engine.url(), "")
}

pub(crate) const ON: &str = "evaluation: {}";

/// Lets content of a project be kept.
pub(crate) async fn consent(app: &TestApp, key: &Key) {
    let path = format!("/v1/admin/projects/{}/consent", key.project_id);
    let request = app.request(reqwest::Method::PUT, &path, &app.admin_key).json(&json!({"notice": "2026-1"}));
    let (status, given) = tests::read(request.send().await.expect("an answer")).await;
    assert_eq!((status, &given["notice"]), (200, &json!("2026-1")), "{given}");
}

/// One chat; the id of the request.
pub(crate) async fn ask(app: &TestApp, key: &Key, body: &Value) -> String {
    let response = app.send("/v1/chat/completions", &key.secret, body).await;
    let id = response.headers()["x-request-id"].to_str().expect("an id").to_owned();
    let status = response.status();
    let text = response.text().await.expect("a body");
    assert!(status.is_success(), "{status} {text}");
    id
}

pub(crate) fn chat(model: &str, text: &str, streamed: bool) -> Value {
    json!({"model": model, "stream": streamed, "messages": [{"role": "user", "content": text}]})
}

/// The key of a member with these roles.
pub(crate) async fn member(app: &TestApp, organization: Option<i64>, grants: &[Value]) -> String {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let email = format!("m{}@exemple.org", COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let form = json!({"email": email, "name": "Camille", "organization_id": organization});
    let (status, made) = app.post("/v1/admin/members", &app.admin_key, &form).await;
    assert_eq!(status, 201, "{made}");
    for grant in grants {
        let path = format!("/v1/admin/members/{}/grants", made["id"]);
        let (status, granted) = app.post(&path, &app.admin_key, grant).await;
        assert_eq!(status, 201, "{granted}");
    }
    let (status, key) = app.post("/v1/admin/keys", &app.admin_key, &json!({"member_id": made["id"]})).await;
    assert_eq!(status, 201, "{key}");
    key["key"].as_str().expect("a key").to_owned()
}

/// An evaluator of the instance.
pub(crate) async fn evaluator(app: &TestApp) -> String {
    member(app, None, &[json!({"role": "evaluator"})]).await
}

/// The evaluation records, newest first, once there are `count`.
pub(crate) async fn kept(app: &TestApp, evaluator: &str, count: usize) -> Vec<Value> {
    let started = Instant::now();
    loop {
        let (status, list) = app.get("/v1/eval/records?limit=1000", evaluator).await;
        assert_eq!(status, 200, "{list}");
        let records = list["data"].as_array().expect("a list").clone();
        if records.len() >= count || started.elapsed() > PATIENCE {
            assert_eq!(records.len(), count, "{records:#?}");
            return records;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One record with its content.
pub(crate) async fn content(app: &TestApp, evaluator: &str, id: &str) -> Value {
    let (status, record) = app.get(&format!("/v1/eval/records/{id}"), evaluator).await;
    assert_eq!(status, 200, "{record}");
    record
}

/// Runs a statement on a gateway's own database, behind its back.
pub(crate) async fn sql(app: &TestApp, statement: &str) -> u64 {
    sqlx::any::install_default_drivers();
    let mut connection = sqlx::AnyConnection::connect(&app.database().url).await.expect("the database");
    let done = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}")).rows_affected()
}

/// Where a text is found: files of the folder, columns of PostgreSQL.
async fn places(folder: &Path, url: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(&path).is_ok_and(|bytes| holds(&bytes, text.as_bytes())) {
                found.push(path.display().to_string());
            }
        }
    }
    if url.starts_with("postgres") {
        let mut connection = sqlx::PgConnection::connect(url).await.expect("the database");
        let columns = sqlx::query(
            "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = 'public' \
             AND data_type = 'text'",
        );
        for row in columns.fetch_all(&mut connection).await.expect("columns") {
            let (table, column): (String, String) = (row.get(0), row.get(1));
            let query = format!("SELECT COUNT(*) FROM {table} WHERE position($1 in {column}) > 0");
            let count: i64 =
                sqlx::query_scalar(AssertSqlSafe(query)).bind(text).fetch_one(&mut connection).await.expect("a count");
            if count > 0 {
                found.push(format!("{table}.{column}"));
            }
        }
    }
    found
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// None of the secrets is anywhere.
async fn nothing_leaks(folder: &Path, url: &str) {
    for secret in SECRETS {
        let found = places(folder, url, secret).await;
        assert!(found.is_empty(), "{secret} in {found:?}");
    }
}
