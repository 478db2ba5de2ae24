//! When all engines are full, requests wait in line: bounded in length, bounded in time, first come, first served.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::engine::{Gate, ms};
use tests::{Chat, FakeEngine, Key, TestApp, chat, read};
use tokio::task::JoinSet;

use crate::fleet::{at_once, deployment, model, streamed};

const WAITING: &str = "guichet_queue_waiting{gen_ai_request_model=\"m\"}";

/// A gateway whose only slot is taken, and the stream that holds it.
async fn full(engine: &FakeEngine, queue: &str) -> (TestApp, Key, reqwest::Response, Gate) {
    let gate = Gate::closed();
    engine.next(Chat::text("un deux trois").gate(2, &gate));
    let one = [deployment("d", engine, ", capacity: 1")];
    let app = TestApp::start(&format!("queue: {queue}\nmodels:\n{}", model("m", &one, ""))).await;
    let key = app.key("A", "internal").await;
    let mut held = app.send("/v1/chat/completions", &key.secret, &streamed("m")).await;
    held.chunk().await.expect("a stream").expect("a first piece");
    (app, key, held, gate)
}

fn assert_busy(status: u16, answer: &Value) {
    assert_eq!((status, answer["error"]["code"].as_str()), (503, Some("model_busy")), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_line_is_bounded_in_length() {
    let engine = FakeEngine::start().await;
    let (app, key, held, gate) = full(&engine, "{length: 3, wait: 30s}").await;
    let mut waiting = JoinSet::new();
    for _ in 0..3 {
        let request = app.request(reqwest::Method::POST, "/v1/chat/completions", &key.secret).json(&chat("m"));
        waiting.spawn(async move { read(request.send().await.expect("an answer")).await });
    }
    app.until_metric(WAITING, |waiting| waiting == 3.0).await;
    let started = Instant::now();
    let response = app.send("/v1/chat/completions", &key.secret, &chat("m")).await;
    assert!(started.elapsed() < Duration::from_secs(5), "a full line refuses at once");
    let header = |name: &str| response.headers()[name].to_str().expect("text").parse::<u64>().expect("a number");
    assert!(header("retry-after") >= 1 && header("retry-after-ms") >= 1_000);
    let (status, answer) = read(response).await;
    assert_busy(status, &answer);
    gate.open();
    held.text().await.expect("the stream ends");
    for (status, answer) in waiting.join_all().await {
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!((engine.posts(), engine.counts().peak), (4, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_line_is_bounded_in_time() {
    let engine = FakeEngine::start().await;
    let (app, key, held, gate) = full(&engine, "{length: 10, wait: 300ms}").await;
    let started = Instant::now();
    let response = app.send("/v1/chat/completions", &key.secret, &chat("m")).await;
    let waited = started.elapsed();
    assert!((ms(300)..ms(3_000)).contains(&waited), "{waited:?}");
    assert!(response.headers().contains_key("retry-after"));
    let (status, answer) = read(response).await;
    assert_busy(status, &answer);
    assert_eq!(app.metric(WAITING).await, Some(0.0));
    assert_eq!(engine.posts(), 1, "who left the line costs nothing");
    gate.open();
    drop(held);
}

/// One that waits is served as soon as a slot is free, in the order of arrival.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_come_first_served() {
    let engine = FakeEngine::start().await;
    let (app, key, held, gate) = full(&engine, "{length: 10, wait: 30s}").await;
    let mut waiting = JoinSet::new();
    for number in 0..5 {
        let mut body = chat("m");
        body["user"] = json!(format!("{number}"));
        let request = app.request(reqwest::Method::POST, "/v1/chat/completions", &key.secret).json(&body);
        waiting.spawn(async move { read(request.send().await.expect("an answer")).await });
        app.until_metric(WAITING, |waiting| waiting == f64::from(number + 1)).await;
    }
    gate.open();
    drop(held);
    for (status, answer) in waiting.join_all().await {
        assert_eq!(status, 200, "{answer}");
    }
    let order: Vec<Value> = engine.calls().iter().skip(1).map(|call| call.json()["user"].clone()).collect();
    assert_eq!(order, ["0", "1", "2", "3", "4"]);
}

/// A slot given back while others come is never forgotten: with one slot and quick answers, no request waits for the next
/// health check.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_freed_slot_is_forgotten() {
    let engine = FakeEngine::start().await;
    engine.script(Chat::text("oui"));
    let one = [deployment("d", &engine, ", capacity: 1")];
    // One worker has one connection to the engine, which so notes the end of an answer before the next request.
    let slow_checks = "server: {listen: '127.0.0.1:0', worker_threads: 1}\nfleet: {health_interval: 60s}\n\
                       queue: {length: 1000, wait: 20s}\n";
    let app = TestApp::start(&format!("{slow_checks}models:\n{}", model("m", &one, ""))).await;
    let key = app.key("A", "internal").await;
    for _ in 0..100 {
        for (status, answer) in at_once(&app, &key, &chat("m"), 4).await {
            assert_eq!(status, 200, "{answer}");
        }
    }
    assert_eq!((engine.posts(), engine.counts().peak), (400, 1));
}

/// A deployment closed to the class of the first in line serves the next one whose class it may hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_goes_to_the_first_whose_data_it_may_hold() {
    let (state, foreign) = (FakeEngine::start().await, FakeEngine::start().await);
    let gate = Gate::closed();
    for engine in [&state, &foreign] {
        engine.script(Chat::text("un deux trois").gate(2, &gate));
    }
    let deployments = [
        deployment("at-home", &state, ", capacity: 1"),
        format!("      - {{name: abroad, url: '{}', engine: openai, hosting: foreign, capacity: 1}}\n", foreign.url()),
    ];
    let app = TestApp::start(&format!("models:\n{}", model("m", &deployments, ""))).await;
    let internal = app.key("A", "internal").await;
    let public = app.project_key(internal.organization_id, "ouvert", "public").await;
    let mut held = Vec::new();
    for key in [&internal, &public] {
        let mut response = app.send("/v1/chat/completions", &key.secret, &streamed("m")).await;
        response.chunk().await.expect("a stream").expect("a first piece");
        held.push(response);
    }
    assert_eq!((state.posts(), foreign.posts()), (1, 1));
    let mut waiting = JoinSet::new();
    for (count, key) in [(1.0, &internal), (2.0, &public)] {
        let request = app.request(reqwest::Method::POST, "/v1/chat/completions", &key.secret).json(&streamed("m"));
        waiting.spawn(async move { request.send().await.expect("an answer").text().await.expect("a stream") });
        app.until_metric(WAITING, |waiting| waiting == count).await;
    }
    // The slot abroad is given back: only the public request may take it, though it came second.
    held.pop();
    assert!(foreign.until(|counts| counts.posts == 2).await, "{:?}", foreign.counts());
    assert_eq!(app.metric(WAITING).await, Some(1.0));
    gate.open();
    held.pop();
    waiting.join_all().await;
    assert_eq!((state.posts(), foreign.posts()), (2, 2));
}
