//! Part 2, the configuration: examples that load and a reference that cannot lag behind ([`examples`]), problems told at
//! once ([`problems`]), a new file without dropping a request ([`reload`]), and an orderly end ([`drain`]).

#![expect(clippy::expect_used, reason = "in tests, a panic is how a failure is told")]

mod drain;
mod examples;
mod problems;
mod reload;

use std::path::PathBuf;

use tests::{FakeEngine, Key, TestApp, model};

/// The project's own folder.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// One model under this name, on one engine.
fn one_model(engine: &FakeEngine, name: &str) -> String {
    format!("models:\n{}", model(name, "chat", &engine.url(), ""))
}

/// A stream that has begun and goes on when the engine's gate opens.
async fn begun(app: &TestApp, key: &Key, model: &str) -> reqwest::Response {
    let mut body = tests::chat(model);
    body["stream"] = serde_json::json!(true);
    let mut response = app.send("/v1/chat/completions", &key.secret, &body).await;
    assert_eq!(response.status(), 200);
    let first = response.chunk().await.expect("a stream").expect("a first piece");
    assert!(first.starts_with(b"data: "), "{first:?}");
    response
}
