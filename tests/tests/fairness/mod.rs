//! When engines are full: who is served next, who waits and how long, over real HTTP. What two replicas keep is run on two
//! processes of the real binary as well, on one PostgreSQL and one Redis, asked in turn: each queues for itself, so that
//! the bounds of a line are those of each; the exact order of one line is one replica's.

#![expect(clippy::expect_used, reason = "in tests, a panic is how a failure is told")]
#![expect(clippy::print_stdout, reason = "figures are told to who reads the output")]

mod flood;
mod line;
mod replicas;
mod tiers;

use std::ops::Deref;

use reqwest::Method;
use serde_json::{Value, json};
use tests::engine::Chat;
use tests::{Backend, FakeEngine, Gateway, Key, Redis, TestApp, read};
use tokio::task::JoinSet;

const MODEL: &str = "petit";

/// Makes of one behaviour, a function over a place, one test for each place.
macro_rules! in_each_place {
    ($($behaviour:ident),* $(,)?) => {
        mod alone {
            $(#[tokio::test]
            async fn $behaviour() { super::$behaviour($crate::fairness::Place::Alone).await; })*
        }
        mod in_two_processes {
            $(#[tokio::test]
            async fn $behaviour() { super::$behaviour($crate::fairness::Place::TwoProcesses).await; })*
        }
    };
}
pub(crate) use in_each_place;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Alone,
    /// On one PostgreSQL and one Redis, asked in turn.
    TwoProcesses,
}

/// A gateway before a saturated engine, or two as one.
struct Hall {
    gateway: Gateway,
    _redis: Option<Redis>,
}

impl Deref for Hall {
    type Target = TestApp;

    fn deref(&self) -> &TestApp {
        &self.gateway
    }
}

impl Hall {
    /// Each replica has `slots` of the engine's.
    async fn new(place: Place, engine: &FakeEngine, slots: u32, more: &str) -> Hall {
        if place == Place::Alone {
            let gateway = Gateway::here(Backend::Sqlite, &saturated(engine, slots, more)).await;
            return Hall { gateway, _redis: None };
        }
        let redis = Redis::start().await;
        let more = format!("{more}limits: {{store: {{redis: {:?}}}}}\n", redis.url);
        let gateway = Gateway::two(&saturated(engine, 2 * slots, &more)).await;
        until_capacity(&gateway, f64::from(2 * slots)).await;
        Hall { gateway, _redis: Some(redis) }
    }

    fn replicas(&self) -> u32 {
        u32::try_from(self.gateway.replicas().count()).expect("few")
    }
}

/// Of all replicas together.
async fn until_capacity(app: &TestApp, wanted: f64) {
    let name =
        format!("guichet_deployment_capacity{{gen_ai_request_model={MODEL:?},guichet_deployment=\"{MODEL}-d\"}}");
    app.until_metric(&name, |seen| seen == wanted).await;
}

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
