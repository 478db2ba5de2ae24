//! Part 4, models and fleet: the choice ([`choice`]), the line ([`line`]), health ([`health`]), second tries
//! ([`failover`]), timeouts and connections ([`connections`]), reloads ([`reload`]), engines behind
//! TLS ([`tls`]) and what each engine is sent ([`quirks`]).

#![expect(clippy::expect_used, reason = "in tests, a panic is how a failure is told")]

mod choice;
mod connections;
mod failover;
mod health;
mod line;
mod quirks;
mod reload;
mod tls;

use serde_json::Value;
use tests::engine::ms;
use tests::{FakeEngine, Key, TestApp, chat, read};
use tokio::task::JoinSet;

/// A fleet that notices within moments.
const QUICK: &str = "fleet: {health_interval: 100ms, failures: 3, eject: 300ms, slow_return: 600ms}\n";

/// One deployment of a model, hosted by the State; `more` follows its fields (`, capacity: 4`).
fn deployment(name: &str, engine: &FakeEngine, more: &str) -> String {
    format!("      - {{name: {name}, url: '{}', engine: openai, hosting: state{more}}}\n", engine.url())
}

/// A chat model under that name on these deployments; `more` follows its fields.
fn model(id: &str, deployments: &[String], more: &str) -> String {
    format!("  - id: {id}\n    type: chat\n{more}    deployments:\n{}", deployments.concat())
}

/// Sends so many chats at once; their statuses and bodies.
async fn at_once(app: &TestApp, key: &Key, body: &Value, count: usize) -> Vec<(u16, Value)> {
    let mut requests = JoinSet::new();
    for _ in 0..count {
        let request = app.request(reqwest::Method::POST, "/v1/chat/completions", &key.secret).json(body);
        requests.spawn(async move { read(request.send().await.expect("an answer")).await });
    }
    requests.join_all().await
}

/// A streamed chat.
fn streamed(model: &str) -> Value {
    let mut body = chat(model);
    body["stream"] = Value::Bool(true);
    body
}

/// The colour of a model on `/health/models`.
async fn colour(app: &TestApp, key: &Key, model: &str) -> String {
    let (status, health) = app.get("/health/models", &key.secret).await;
    assert_eq!(status, 200, "{health}");
    let models = health["data"].as_array().expect("a list");
    let found = models.iter().find(|one| one["id"] == model).expect("the model");
    found["status"].as_str().expect("a colour").to_owned()
}

/// Waits until a model has a colour.
async fn until_colour(app: &TestApp, key: &Key, model: &str, wanted: &[&str]) {
    let started = std::time::Instant::now();
    loop {
        let seen = colour(app, key, model).await;
        if wanted.contains(&seen.as_str()) {
            return;
        }
        assert!(started.elapsed() < tests::app::PATIENCE, "{model} stays {seen}");
        tokio::time::sleep(ms(10)).await;
    }
}

/// The name of a metric of one deployment.
fn of(metric: &str, model: &str, deployment: &str) -> String {
    format!("{metric}{{gen_ai_request_model={model:?},guichet_deployment={deployment:?}}}")
}
