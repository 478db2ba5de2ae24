//! When engines are full: who is served next, who waits and how long, over real HTTP.

#![expect(clippy::expect_used, reason = "in tests, a panic is how a failure is told")]

mod flood;
mod line;
mod replicas;
mod tiers;

use reqwest::Method;
use serde_json::{Value, json};
use tests::engine::Chat;
use tests::{FakeEngine, Key, TestApp, read};
use tokio::task::JoinSet;

const MODEL: &str = "petit";

/// One model whose engine holds so many requests at once.
fn saturated(engine: &FakeEngine, capacity: u32, more: &str) -> String {
    let model = tests::model(MODEL, "chat", &engine.url(), &format!(", capacity: {capacity}"));
    format!("{more}\nmodels:\n{model}")
}

/// A chat that says who asks, so that the engine's calls tell the order.
fn says(who: &str, more: &Value) -> Value {
    let mut body = json!({"model": MODEL, "messages": [{"role": "user", "content": who}]});
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more.clone());
    }
    body
}

/// Requests under way.
#[derive(Default)]
struct Requests(JoinSet<(String, u16, Value)>);

impl Requests {
    fn send(&mut self, app: &TestApp, key: &Key, body: &Value) {
        let request = app.request(Method::POST, "/v1/chat/completions", &key.secret).json(body);
        let who = body["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
        self.0.spawn(async move {
            let (status, answer) = read(request.send().await.expect("an answer")).await;
            (who, status, answer)
        });
    }

    /// Sends, and waits until it stands in line.
    async fn queue(&mut self, app: &TestApp, key: &Key, body: &Value) {
        let before = waiting(app).await;
        self.send(app, key, body);
        until_waiting(app, before + 1.0).await;
    }

    /// All answers, each a success.
    async fn all(mut self) {
        while let Some(done) = self.0.join_next().await {
            let (who, status, answer) = done.expect("the request ends");
            assert_eq!(status, 200, "{who}: {answer}");
        }
    }
}

fn waiting_metric() -> String {
    format!("guichet_queue_waiting{{gen_ai_request_model={MODEL:?}}}")
}

async fn waiting(app: &TestApp) -> f64 {
    app.metric(&waiting_metric()).await.expect("the metric")
}

async fn until_waiting(app: &TestApp, wanted: f64) {
    app.until_metric(&waiting_metric(), |seen| seen == wanted).await;
}

/// Who was served, in the order in which the engine was asked.
fn order(engine: &FakeEngine) -> Vec<String> {
    let name = |call: &tests::engine::Call| call.json()["messages"][0]["content"].as_str().unwrap_or("?").to_owned();
    engine.calls().iter().map(|call| name(call)).collect()
}

/// An answer that waits at a gate before its first byte.
fn held(gate: &tests::engine::Gate) -> Chat {
    Chat::text("Bonjour").gate(0, gate)
}
