//! SIGTERM: a stream under way ends whole, new connections are refused, the process exits with 0 and its records are kept.

use std::time::Instant;

use reqwest::Client;
use tests::app::PATIENCE;
use tests::engine::{Gate, ms};
use tests::{Backend, Chat, FakeEngine, Process, TestApp, chat, on_each_database};

use crate::configuration::{begun, one_model};

on_each_database!(sigterm_drains, what_outlasts_the_drain_is_cut_and_recorded);

/// Waits until no new connection is taken.
async fn until_closed(gateway: &Process) {
    let started = Instant::now();
    // A client of its own each time: a connection kept open would go on for a while.
    while Client::new().get(format!("{}/health/live", gateway.url)).send().await.is_ok() {
        assert!(started.elapsed() < PATIENCE, "connections are still taken");
        tokio::time::sleep(ms(20)).await;
    }
}

async fn sigterm_drains(backend: Backend) {
    let engine = FakeEngine::start().await;
    let gate = Gate::closed();
    engine.script_model("slow", Chat::text("un deux trois quatre").gate(2, &gate));
    let more = one_model(&engine, "slow");
    let gateway = Process::start(backend, &more).await;
    let key = gateway.key("A", "internal").await;
    let stream = begun(&gateway, &key, "slow").await;
    let id = stream.headers()["x-request-id"].to_str().expect("an id").to_owned();

    gateway.signal("TERM");
    until_closed(&gateway).await;
    gate.open();
    let rest = stream.text().await.expect("the rest of the stream");
    assert!(rest.contains("quatre") && rest.trim_end().ends_with("data: [DONE]"), "{rest}");
    let (code, folder, database) = gateway.ended().await;
    assert_eq!(code, Some(0));

    // Its record was stored by the process that stopped, not found again by the next.
    let gateway = Process::in_folder(folder, database, &more, &[]).await;
    let records = gateway.records(1).await;
    assert_eq!((records[0]["id"].as_str(), records[0]["outcome"].as_str()), (Some(id.as_str()), Some("success")));
}

async fn what_outlasts_the_drain_is_cut_and_recorded(backend: Backend) {
    let engine = FakeEngine::start().await;
    let gate = Gate::closed();
    engine.script_model("slow", Chat::text("un deux trois quatre").gate(2, &gate));
    let more = format!("server: {{listen: '127.0.0.1:0', drain: 200ms}}\n{}", one_model(&engine, "slow"));
    let gateway = Process::start(backend, &more).await;
    let key = gateway.key("A", "internal").await;
    let stream = begun(&gateway, &key, "slow").await;
    gateway.signal("TERM");
    let (code, folder, database) = gateway.ended().await;
    assert_eq!(code, Some(0));
    let rest = stream.text().await.unwrap_or_default();
    assert!(!rest.contains("[DONE]"), "a cut stream does not pass for a whole one: {rest}");
    assert!(engine.until(|counts| counts.streams.open == 0).await, "the engine is let go: {:?}", engine.counts());
    let gateway = Process::in_folder(folder, database, &more, &[]).await;
    let records = gateway.records(1).await;
    assert_ne!(records[0]["outcome"], "success", "{:#}", records[0]);
}

/// In this process: a stop asked for while a request waits lets it end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_answer_under_way_ends_too() {
    let engine = FakeEngine::start().await;
    let gate = Gate::closed();
    engine.next(tests::engine::Reply::from(Chat::text("Bonjour")).behind(&gate));
    let app = TestApp::start(&one_model(&engine, "slow")).await;
    let key = app.key("A", "internal").await;
    let request = app.request(reqwest::Method::POST, "/v1/chat/completions", &key.secret).json(&chat("slow"));
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { request.send().await.expect("an answer").status().as_u16() });
    assert!(engine.until(|counts| counts.posts == 1).await, "{:?}", engine.counts());
    tasks.spawn(async move {
        app.stop().await;
        200
    });
    gate.open();
    while let Some(status) = tasks.join_next().await {
        assert_eq!(status.expect("no panic"), 200);
    }
}
