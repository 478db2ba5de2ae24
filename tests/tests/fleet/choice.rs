//! Of two deployments drawn at random the less loaded answers, and none gets more than its capacity.

use tests::engine::{Gate, ms};
use tests::{Chat, FakeEngine, TestApp, chat};
use tokio::task::JoinSet;

use crate::fleet::{at_once, deployment, model, of, streamed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_spreads_in_proportion_to_capacity() {
    let (small, large) = (FakeEngine::start().await, FakeEngine::start().await);
    for engine in [&small, &large] {
        engine.script(Chat::text("oui").first_byte(ms(30)));
    }
    let deployments = [deployment("small", &small, ", capacity: 8"), deployment("large", &large, ", capacity: 24")];
    let app = TestApp::start(&format!("models:\n{}", model("m", &deployments, ""))).await;
    let key = app.key("A", "internal").await;
    for (status, answer) in at_once(&app, &key, &chat("m"), 240).await {
        assert_eq!(status, 200, "{answer}");
    }
    let (one, other) = (small.posts(), large.posts());
    assert_eq!(one + other, 240);
    // Three times the capacity, three times the work, give or take what chance gives.
    assert!((30..=90).contains(&one), "{one} and {other}");
    assert!(small.counts().peak <= 8 && large.counts().peak <= 24, "{:?} {:?}", small.counts(), large.counts());
}

/// Both drawn may be full while a third has room: whoever has a free slot gets the work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_never_waits_beside_a_free_slot() {
    let engines = [FakeEngine::start().await, FakeEngine::start().await, FakeEngine::start().await];
    let gate = Gate::closed();
    let mut deployments = Vec::new();
    for (number, engine) in engines.iter().enumerate() {
        engine.script(Chat::text("un deux trois").gate(2, &gate));
        deployments.push(deployment(&format!("d{number}"), engine, &format!(", capacity: {}", 1 + number * 4)));
    }
    let app = TestApp::start(&format!("models:\n{}", model("m", &deployments, ""))).await;
    let key = app.key("A", "internal").await;
    let mut held = Vec::new();
    for _ in 0..15 {
        let mut response = app.send("/v1/chat/completions", &key.secret, &streamed("m")).await;
        response.chunk().await.expect("a stream").expect("a first piece");
        held.push(response);
    }
    assert_eq!(engines.each_ref().map(|engine| engine.counts().streams.open), [1, 5, 9]);
    gate.open();
}

/// Held streams make the load visible: among equals, the counts of two never drift apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_less_loaded_of_two_answers() {
    let engines = [FakeEngine::start().await, FakeEngine::start().await];
    let gate = Gate::closed();
    let mut deployments = Vec::new();
    for (number, engine) in engines.iter().enumerate() {
        engine.script(Chat::text("un deux trois").gate(2, &gate));
        deployments.push(deployment(&format!("d{number}"), engine, ", capacity: 100"));
    }
    let app = TestApp::start(&format!("models:\n{}", model("m", &deployments, ""))).await;
    let key = app.key("A", "internal").await;
    let mut held = JoinSet::new();
    for count in 1..=20 {
        let mut response = app.send("/v1/chat/completions", &key.secret, &streamed("m")).await;
        response.chunk().await.expect("a stream").expect("a first piece");
        held.spawn(async move { response.text().await });
        let open = engines.each_ref().map(|engine| engine.counts().streams.open);
        assert!(open[0].abs_diff(open[1]) <= 1 && open[0] + open[1] == count, "{open:?}");
    }
    let metric = app.metric(&of("guichet_deployment_inflight", "m", "d0")).await;
    assert_eq!(metric, Some(10.0));
    gate.open();
    held.join_all().await;
    app.until_metric(&of("guichet_deployment_inflight", "m", "d0"), |inflight| inflight == 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capacity_is_never_exceeded() {
    let engines = [FakeEngine::start().await, FakeEngine::start().await, FakeEngine::start().await];
    let mut deployments = Vec::new();
    for (number, engine) in engines.iter().enumerate() {
        engine.script(Chat::text("un deux").delay(ms(2)));
        deployments.push(deployment(&format!("d{number}"), engine, &format!(", capacity: {}", number + 1)));
    }
    let app = TestApp::start(&format!("models:\n{}", model("m", &deployments, ""))).await;
    let key = app.key("A", "internal").await;
    let (plain, streams) = (chat("m"), streamed("m"));
    let (plain, streams) = tokio::join!(at_once(&app, &key, &plain, 120), at_once(&app, &key, &streams, 120));
    for (status, answer) in plain.into_iter().chain(streams) {
        assert_eq!(status, 200, "{answer}");
    }
    for (number, engine) in engines.iter().enumerate() {
        let counts = engine.counts();
        // A stream's slot is free at its last event, a moment before the engine has noted its end.
        assert!(counts.peak <= number as u64 + 2, "{number}: {counts:?}");
    }
    assert_eq!(engines.iter().map(FakeEngine::posts).sum::<u64>(), 240);
}
