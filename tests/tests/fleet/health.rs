//! Engines that fail are set aside, return slowly, and everyone can see it.

use std::time::{Duration, Instant};

use tests::engine::{Gate, faults, ms};
use tests::{Chat, FakeEngine, TestApp, chat};
use tokio::task::JoinSet;

use crate::fleet::{QUICK, colour, deployment, model, of, streamed, until_colour};

/// Failures met on the way: after three in a row the engine is not called any more, and its peer does the work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_on_the_way_set_an_engine_aside() {
    let (bad, good) = (FakeEngine::start().await, FakeEngine::start().await);
    bad.script(faults::refusal(500));
    let deployments = [deployment("bad", &bad, ""), deployment("good", &good, "")];
    // No check comes in between.
    let settings = "fleet: {health_interval: 60s, failures: 3, eject: 60s}\n";
    let app = TestApp::start(&format!("{settings}models:\n{}", model("m", &deployments, ""))).await;
    let key = app.key("A", "internal").await;
    assert_eq!(colour(&app, &key, "m").await, "green");
    for _ in 0..60 {
        let (status, answer) = app.chat(&key, "m").await;
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(bad.posts(), 3, "set aside at the third failure");
    assert_eq!(good.posts(), 60);
    assert_eq!(colour(&app, &key, "m").await, "yellow", "one of its engines is missing");
    assert_eq!(app.metric(&of("guichet_deployment_ejections", "m", "bad")).await, Some(1.0));
    assert_eq!(app.metric(&of("guichet_deployment_capacity", "m", "bad")).await, Some(0.0));
    assert_eq!(app.metric(&of("guichet_deployment_capacity", "m", "good")).await, Some(32.0));
}

/// A success in between starts the count again: an engine that fails now and then stays.
#[tokio::test]
async fn only_failures_in_a_row_count() {
    let engine = FakeEngine::start().await;
    let settings = "fleet: {health_interval: 60s, failures: 3}\n";
    let one = [deployment("d", &engine, "")];
    let app = TestApp::start(&format!("{settings}models:\n{}", model("fake/plain", &one, ""))).await;
    let key = app.key("A", "internal").await;
    for _ in 0..4 {
        for _ in 0..2 {
            engine.next(faults::refusal(500));
            assert_eq!(app.chat(&key, "fake/plain").await.0, 502);
        }
        assert_eq!(app.chat(&key, "fake/plain").await.0, 200);
    }
    assert_eq!(app.metric(&of("guichet_deployment_ejections", "fake/plain", "d")).await, Some(0.0));
}

/// Refusals of what a caller sent are not the engine's failures.
#[tokio::test]
async fn a_callers_faults_set_nobody_aside() {
    let engine = FakeEngine::start().await;
    engine.script(faults::refusal(400));
    let app = TestApp::start(&format!("{QUICK}models:\n{}", model("m", &[deployment("d", &engine, "")], ""))).await;
    let key = app.key("A", "internal").await;
    for _ in 0..10 {
        assert_eq!(app.chat(&key, "m").await.0, 400);
    }
    assert_eq!(app.metric(&of("guichet_deployment_ejections", "m", "d")).await, Some(0.0));
    assert_eq!(colour(&app, &key, "m").await, "green");
}

/// Engines are asked, too: one that says it is not well is set aside before any request meets it, and comes back by
/// itself, with a share that grows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_says_it_is_not_well_is_set_aside_and_returns_slowly() {
    let engine = FakeEngine::start().await;
    let gate = Gate::closed();
    engine.script(Chat::text("un deux trois").gate(2, &gate));
    let settings = "fleet: {health_interval: 100ms, failures: 3, eject: 300ms, slow_return: 3s}\n\
                    queue: {length: 100, wait: 30s}\n";
    let one = [deployment("d", &engine, ", capacity: 20")];
    let app = TestApp::start(&format!("{settings}models:\n{}", model("m", &one, ""))).await;
    let key = app.key("A", "internal").await;
    let capacity = of("guichet_deployment_capacity", "m", "d");
    assert_eq!(app.metric(&capacity).await, Some(20.0));
    engine.set_healthy(false);
    until_colour(&app, &key, "m", &["red"]).await;
    assert_eq!(app.metric(&capacity).await, Some(0.0));
    let response = app.send("/v1/chat/completions", &key.secret, &chat("m")).await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"), "{response:?}");
    assert_eq!(engine.posts(), 0);

    engine.set_healthy(true);
    until_colour(&app, &key, "m", &["orange"]).await;
    let mut streams = JoinSet::new();
    for _ in 0..20 {
        let request = app.request(reqwest::Method::POST, "/v1/chat/completions", &key.secret).json(&streamed("m"));
        streams.spawn(async move { request.send().await.expect("an answer").text().await.expect("a stream") });
    }
    // A part at first, all of them before long, though none has ended.
    assert!(engine.until(|counts| counts.streams.open >= 2).await);
    let begun = Instant::now();
    let mut steps = std::collections::BTreeSet::new();
    while colour(&app, &key, "m").await != "green" {
        steps.extend(app.metric(&capacity).await.map(|capacity| capacity as u64));
        assert!(begun.elapsed() < tests::app::PATIENCE, "{steps:?}");
        tokio::time::sleep(ms(20)).await;
    }
    assert!(steps.len() >= 4 && steps.first().is_some_and(|first| *first < 10), "the share grows: {steps:?}");
    assert_eq!(app.metric(&capacity).await, Some(20.0));
    assert!(engine.until(|counts| counts.streams.open == 20).await, "{:?}", engine.counts());
    gate.open();
    for text in streams.join_all().await {
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    }
}

/// A dead engine is found dead, its model says so at once to who asks, and its restart is noticed without a request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_restart_of_a_dead_engine_is_noticed() {
    let engine = FakeEngine::start().await;
    let one = [deployment("d", &engine, "")];
    let app = TestApp::start(&format!("{QUICK}models:\n{}", model("m", &one, ""))).await;
    let key = app.key("A", "internal").await;
    assert_eq!(app.chat(&key, "m").await.0, 200);
    engine.stop().await;
    until_colour(&app, &key, "m", &["red"]).await;
    let started = Instant::now();
    let (status, answer) = app.chat(&key, "m").await;
    assert_eq!((status, answer["error"]["code"].as_str()), (503, Some("service_unavailable")), "{answer}");
    assert!(started.elapsed() < Duration::from_secs(2), "nobody waits for a dead engine");
    engine.restart().await.expect("its port is free");
    until_colour(&app, &key, "m", &["green", "orange"]).await;
    assert_eq!(app.chat(&key, "m").await.0, 200);
    until_colour(&app, &key, "m", &["green"]).await;
}
