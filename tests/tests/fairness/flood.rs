//! One organization floods; another asks for its share.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::engine::{Chat, Gate, ms};
use tests::{FakeEngine, Key, TestApp};

use crate::fairness::{Hall, MODEL, Place, Requests, held, in_each_place, order, saturated, says, until_waiting};

in_each_place!(a_flood_costs_the_quiet_less_than_one_service_time);

const NONE: serde_json::Value = serde_json::Value::Null;

/// The first slot that comes free goes to who has been served least, however many were there before.
#[tokio::test]
async fn a_newcomer_is_next_whatever_the_line_before_it() {
    let engine = FakeEngine::start().await;
    let app = TestApp::start(&saturated(&engine, 1, "")).await;
    let (flood, quiet) = (app.key("A", "internal").await, app.key("B", "internal").await);
    let gate = Gate::closed();
    engine.script(held(&gate).tokens(10, 100));
    let mut requests = Requests::default();
    requests.send(&app, &flood, &says("A", &NONE));
    assert!(engine.until(|counts| counts.posts == 1).await);
    for n in 1..=10 {
        requests.send(&app, &flood, &says("A", &NONE));
        until_waiting(&app, f64::from(n)).await;
    }
    requests.queue(&app, &quiet, &says("B", &NONE)).await;
    requests.queue(&app, &quiet, &says("B", &NONE)).await;
    gate.open();
    requests.all().await;
    assert_eq!(order(&engine)[..5], ["A", "B", "A", "B", "A"], "{:?}", order(&engine));
}

/// Turns are counted in tokens: who asks for long answers has fewer of them.
#[tokio::test]
async fn shares_are_of_tokens_not_of_requests() {
    let engine = FakeEngine::start().await;
    let app = TestApp::start(&saturated(&engine, 1, "")).await;
    let (long, short) = (app.key("A", "internal").await, app.key("B", "internal").await);
    let gate = Gate::closed();
    let text = vec!["mot"; 200].join(" ");
    engine.script(Chat::obliging(&text).gate(0, &gate));
    let mut requests = Requests::default();
    requests.send(&app, &long, &says("A", &json!({"max_tokens": 1})));
    assert!(engine.until(|counts| counts.posts == 1).await);
    for n in 0..40 {
        // 12 tokens in: 132 the long ones, 24 the short ones, streamed or not.
        let stream = n % 2 == 0;
        requests.send(&app, &long, &says("A", &json!({"max_tokens": 120, "stream": stream})));
        requests.send(&app, &short, &says("B", &json!({"max_tokens": 12, "stream": stream})));
    }
    until_waiting(&app, 80.0).await;
    gate.open();
    requests.all().await;
    // While both wait: 11 turns to 2.
    let first: Vec<String> = order(&engine).into_iter().skip(1).take(39).collect();
    let long = first.iter().filter(|who| *who == "A").count();
    assert!((5..=7).contains(&long), "{long} of 39, where 6 are due: {first:?}");
}

/// A floods a saturated model at ten times its share, B asks within its own: B waits less than one service time more
/// than alone. With two replicas too: B is asked of each in turn, and each serves it first.
async fn a_flood_costs_the_quiet_less_than_one_service_time(place: Place) {
    const SERVICE: Duration = ms(250);
    let engine = FakeEngine::start().await;
    let slots = if place == Place::Alone { 4 } else { 2 };
    let app = Hall::new(place, &engine, slots, "").await;
    let (flood, quiet) = (app.key("A", "internal").await, app.key("B", "internal").await);
    // Lengths of service that differ, as they do, around their mean.
    for n in 0..4_000_u32 {
        engine.next(Chat::text("Bonjour").tokens(20, 50).first_byte(ms(150 + u64::from(n * 37 % 200))));
    }
    let alone = p95(&times(&app, &quiet, 20).await);

    // Two of the four slots are each one's share: forty requests at once are ten times as many and more.
    let stop = tokio_util::sync::CancellationToken::new();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let request = app.request(reqwest::Method::POST, "/v1/chat/completions", &flood.secret).json(&says("A", &NONE));
        let stop = stop.clone();
        clients.spawn(async move {
            let mut served = 0_u32;
            while !stop.is_cancelled() {
                let request = request.try_clone().expect("a plain body");
                let status = request.send().await.expect("an answer").status().as_u16();
                assert_eq!(status, 200);
                served += 1;
            }
            served
        });
    }
    until_waiting_at_least(&app, 30.0).await;
    let beside = p95(&times(&app, &quiet, 40).await);
    stop.cancel();
    let mut served = 0;
    while let Some(done) = clients.join_next().await {
        served += done.expect("the client ends");
    }
    println!("{place:?}: p95 {beside:?} beside the flood, {alone:?} alone, one service time {SERVICE:?}");
    assert!(beside <= alone + SERVICE, "p95 {beside:?} beside the flood, {alone:?} alone");
    assert!(served > 80, "the flood has what is left: {served}");
    let waits = format!("guichet_queue_wait_seconds_count{{gen_ai_request_model={MODEL:?}}}");
    let counted = app.metric(&waits).await.expect("the histogram");
    assert_eq!(counted, f64::from(served + 60), "each request's wait is counted once");
    let tokens =
        format!("guichet_queue_served_tokens_total{{gen_ai_request_model={MODEL:?},gen_ai_token_type=\"output\"}}");
    assert_eq!(app.metric(&tokens).await, Some(f64::from(served + 60) * 50.0));
}

async fn until_waiting_at_least(app: &TestApp, wanted: f64) {
    app.until_metric(&crate::fairness::waiting_metric(), |seen| seen >= wanted).await;
}

async fn times(app: &TestApp, key: &Key, count: usize) -> Vec<Duration> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        let (status, answer) = app.post("/v1/chat/completions", &key.secret, &says("B", &NONE)).await;
        assert_eq!(status, 200, "{answer}");
        times.push(started.elapsed());
    }
    times
}

fn p95(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[(times.len() * 95).div_ceil(100) - 1]
}
