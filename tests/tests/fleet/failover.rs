//! Before the first byte, another deployment takes over, then the fallback model, within bounds; after it, nobody.

use serde_json::json;
use tests::engine::{Ending, Reply, Step, faults, ms};
use tests::{Chat, FakeEngine, TestApp, chat, read};

use crate::fleet::{at_once, deployment, model, streamed};

/// Nobody is set aside and no check comes in between: only second tries are seen.
const PATIENT: &str = "health_interval: 60s, failures: 100000";

/// Whatever the failure, before the first byte another deployment answers, and the client sees nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_deployment_answers_whatever_the_failure() {
    let (bad, good) = (FakeEngine::start().await, FakeEngine::start().await);
    let deployments =
        [deployment("bad", &bad, ", first_byte_timeout: 300ms"), deployment("good", &good, ", capacity: 1000")];
    let settings = format!("fleet: {{{PATIENT}, retry_budget: 1.0}}\n");
    let app = TestApp::start(&format!("{settings}models:\n{}", model("m", &deployments, ""))).await;
    let key = app.key("A", "internal").await;
    let failures: [(&str, Reply); 11] = [
        ("500", faults::refusal(500)),
        ("503", faults::refusal(503)),
        ("429", faults::busy()),
        ("401", faults::refusal(401)),
        ("404", faults::refusal(404)),
        ("a page", faults::html(200)),
        ("a redirection", Reply::json(302, &json!({})).header("location", "http://127.0.0.1:9/")),
        ("bytes that are no HTTP", faults::garbage()),
        ("a reset", Reply::Raw(vec![Step::Reset])),
        ("an orderly close", Reply::Raw(vec![Step::Close])),
        ("silence", faults::never()),
    ];
    let mut records = 0;
    for (name, failure) in failures {
        bad.script(failure);
        for body in [chat("m"), streamed("m")] {
            // Until the bad one was drawn first.
            let before = bad.posts();
            for round in 0.. {
                let response = app.send("/v1/chat/completions", &key.secret, &body).await;
                records += 1;
                let (status, answer) = read(response).await;
                assert_eq!(status, 200, "{name}: {answer}");
                if bad.posts() > before {
                    break;
                }
                assert!(round < 100, "{name}: never drawn");
            }
        }
    }
    let records = app.records(records).await;
    for record in &records {
        assert_eq!(record["deployment"], "good", "{record:#}");
        assert!([json!(1), json!(2)].contains(&record["attempts"]), "{record:#}");
    }
    assert!(records.iter().filter(|record| record["attempts"] == 2).count() >= 22, "{records:#?}");
}

/// Streams that open with an error, or with nothing, have not begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_fails_at_its_opening_is_taken_over() {
    let (bad, good) = (FakeEngine::start().await, FakeEngine::start().await);
    let settings = format!("fleet: {{{PATIENT}, retry_budget: 1.0}}\n");
    let deployments = [deployment("bad", &bad, ""), deployment("good", &good, "")];
    let app = TestApp::start(&format!("{settings}models:\n{}", model("m", &deployments, ""))).await;
    let key = app.key("A", "internal").await;
    let error =
        json!({"error": {"message": "CUDA error on gpu-07.internal", "type": "InternalServerError", "code": 500}});
    for opening in [
        Chat::text("un deux").cut(0, Ending::Error(error)),
        Chat::text("un deux").cut(0, Ending::CleanEof),
        Chat::text("un deux").cut(0, Ending::Truncated),
        Chat::text("un deux").cut(0, Ending::Reset),
    ] {
        bad.script(opening.clone());
        let before = bad.posts();
        while bad.posts() == before {
            let (status, text) = app.post("/v1/chat/completions", &key.secret, &streamed("m")).await;
            let text = text.as_str().expect("a stream");
            assert_eq!(status, 200, "{opening:?}: {text}");
            assert!(text.ends_with("data: [DONE]\n\n") && !text.contains("error"), "{opening:?}: {text}");
        }
    }
}

/// After the first byte nobody else is asked: the client is told that the answer is not whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_over_after_the_first_byte() {
    let (one, other) = (FakeEngine::start().await, FakeEngine::start().await);
    let back = FakeEngine::start().await;
    let more = format!(
        "fleet: {{{PATIENT}, retry_budget: 1.0}}\nmodels:\n{}{}",
        model("m", &[deployment("one", &one, ""), deployment("other", &other, "")], "    fallback: spare\n"),
        model("spare", &[deployment("back", &back, "")], "")
    );
    let app = TestApp::start(&more).await;
    let key = app.key("A", "internal").await;
    let mut asked = 0;
    for ending in [Ending::Reset, Ending::Truncated, Ending::CleanEof] {
        for engine in [&one, &other] {
            engine.script(Chat::text("un deux trois quatre").cut(3, ending.clone()));
        }
        let (status, text) = app.post("/v1/chat/completions", &key.secret, &streamed("m")).await;
        asked += 1;
        let text = text.as_str().expect("a stream");
        assert_eq!(status, 200, "{text}");
        assert!(text.contains("upstream_error") && !text.contains("[DONE]"), "{ending:?}: {text}");
        assert_eq!(text.matches("\"un").count(), 1, "{ending:?}: {text}");
        assert_eq!((one.posts() + other.posts(), back.posts()), (asked, 0), "{ending:?}");
    }
}

/// When no deployment can, the named model answers under its own name, and the record says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fallback_model_answers_last() {
    let (bad, back) = (FakeEngine::start().await, FakeEngine::start().await);
    bad.script(faults::refusal(500));
    let more = format!(
        "fleet: {{health_interval: 60s, failures: 2, eject: 60s}}\nmodels:\n{}{}",
        model("m", &[deployment("bad", &bad, "")], "    fallback: spare\n"),
        model("spare", &[deployment("back", &back, "")], "")
    );
    let app = TestApp::start(&more).await;
    let key = app.key("A", "internal").await;
    for count in 1..=4 {
        let (status, answer) = app.chat(&key, "m").await;
        assert_eq!((status, answer["model"].as_str()), (200, Some("spare")), "{answer}");
        assert_eq!(bad.posts(), count.min(2), "once set aside it is not called, and the fallback answers at once");
    }
    let records = app.records(4).await;
    for record in &records {
        assert_eq!((&record["model_asked"], &record["model_served"]), (&json!("m"), &json!("spare")), "{record:#}");
        assert_eq!(record["deployment"], "back", "{record:#}");
    }
    let mut attempts: Vec<i64> = records.iter().filter_map(|record| record["attempts"].as_i64()).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 1, 2, 2]);

    // A caller's own fault is nobody else's business.
    bad.script(faults::refusal(400));
    let spare = back.posts();
    back.script(faults::refusal(400));
    let (status, answer) = app.chat(&key, "spare").await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(back.posts(), spare + 1);
}

/// Engines called for one request, those of the fallback included, are never more than `attempts`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_bound_one_request() {
    for (attempts, engines, spare) in [(1, 1, 0), (2, 1, 1), (3, 2, 1), (6, 4, 1)] {
        let mut fleet = Vec::new();
        for _ in 0..4 {
            let engine = FakeEngine::start().await;
            engine.script(faults::refusal(500));
            fleet.push(engine);
        }
        let back = FakeEngine::start().await;
        back.script(faults::refusal(500));
        let deployments: Vec<String> =
            fleet.iter().enumerate().map(|(at, engine)| deployment(&format!("d{at}"), engine, "")).collect();
        let more = format!(
            "fleet: {{{PATIENT}, retry_budget: 1.0, attempts: {attempts}}}\nmodels:\n{}{}",
            model("m", &deployments, "    fallback: spare\n"),
            model("spare", &[deployment("back", &back, "")], "")
        );
        let app = TestApp::start(&more).await;
        let key = app.key("A", "internal").await;
        let (status, answer) = app.chat(&key, "m").await;
        assert_eq!((status, answer["error"]["code"].as_str()), (502, Some("upstream_error")), "{answer}");
        let calls: u64 = fleet.iter().map(FakeEngine::posts).sum();
        assert_eq!((calls, back.posts()), (engines, spare), "attempts: {attempts}");
        assert!(fleet.iter().all(|engine| engine.posts() <= 1), "no engine is tried twice for one request");
        assert_eq!(app.records(1).await[0]["attempts"], json!(engines + spare));
    }
}

/// When everything fails, second tries stay a share of the requests: a storm is not made worse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_tries_stay_within_their_budget() {
    const REQUESTS: u64 = 400;
    let mut fleet = Vec::new();
    for _ in 0..4 {
        let engine = FakeEngine::start().await;
        engine.script(faults::refusal(500));
        fleet.push(engine);
    }
    let deployments: Vec<String> =
        fleet[..3].iter().enumerate().map(|(at, engine)| deployment(&format!("d{at}"), engine, "")).collect();
    let more = format!(
        "fleet: {{{PATIENT}, attempts: 5, retry_budget: 0.25}}\nmodels:\n{}{}",
        model("m", &deployments, "    fallback: spare\n"),
        model("spare", &[deployment("back", &fleet[3], "")], "")
    );
    let app = TestApp::start(&more).await;
    let key = app.key("A", "internal").await;
    for _ in 0..REQUESTS / 20 {
        for (status, answer) in at_once(&app, &key, &chat("m"), 20).await {
            assert_eq!(status, 502, "{answer}");
        }
    }
    let calls: u64 = fleet.iter().map(FakeEngine::posts).sum();
    let most = REQUESTS + REQUESTS / 4;
    assert!((most..=most + 10).contains(&calls), "{calls} calls for {REQUESTS} requests and a reserve of 10");
}

/// An engine that answers too late is left for another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_engine_is_left_for_the_fallback() {
    let (late, back) = (FakeEngine::start().await, FakeEngine::start().await);
    late.script(Chat::text("tard").first_byte(ms(5_000)));
    let more = format!(
        "fleet: {{{PATIENT}}}\nmodels:\n{}{}",
        model("m", &[deployment("late", &late, ", first_byte_timeout: 200ms")], "    fallback: spare\n"),
        model("spare", &[deployment("back", &back, "")], "")
    );
    let app = TestApp::start(&more).await;
    let key = app.key("A", "internal").await;
    let (status, answer) = app.chat(&key, "m").await;
    assert_eq!((status, answer["model"].as_str()), (200, Some("spare")), "{answer}");
    assert!(late.until(|counts| counts.answers.aborted == 1).await, "the late engine is told to stop");
}
