//! A new configuration replaces deployments under load: streams go on, nothing is dropped, a bad file changes nothing.

use serde_json::json;
use tests::engine::{Gate, ms};
use tests::{Chat, FakeEngine, TestApp, chat, read};
use tokio::task::JoinSet;

use crate::fleet::{deployment, model, of, streamed};

const TAKEN: &str = "guichet_configuration_reloads_total{result=\"taken\"}";
const REFUSED: &str = "guichet_configuration_reloads_total{result=\"refused\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_go_on_while_their_deployment_is_replaced() {
    let (old, new) = (FakeEngine::start().await, FakeEngine::start().await);
    let gate = Gate::closed();
    old.script(Chat::text("un deux trois").gate(2, &gate));
    let app = TestApp::start(&format!("models:\n{}", model("m", &[deployment("old", &old, "")], ""))).await;
    let key = app.key("A", "internal").await;
    let mut streams = JoinSet::new();
    for _ in 0..10 {
        let mut response = app.send("/v1/chat/completions", &key.secret, &streamed("m")).await;
        let first = response.chunk().await.expect("a stream").expect("a first piece");
        streams.spawn(async move {
            let rest = response.text().await.expect("the rest");
            String::from_utf8_lossy(&first).into_owned() + &rest
        });
    }
    app.write_configuration(&format!("models:\n{}", model("m", &[deployment("new", &new, "")], "")));
    app.until_metric(TAKEN, |taken| taken == 1.0).await;
    let (status, answer) = app.chat(&key, "m").await;
    assert_eq!((status, new.posts()), (200, 1), "{answer}");
    assert_eq!(old.counts().streams.open, 10, "those under way keep the engine they have");
    gate.open();
    for text in streams.join_all().await {
        assert!(text.contains("trois") && text.ends_with("data: [DONE]\n\n"), "{text}");
    }
    let records = app.records(11).await;
    let of_old = records.iter().filter(|record| record["deployment"] == "old" && record["outcome"] == "success");
    assert_eq!(of_old.count(), 10, "{records:#?}");
}

/// What a deployment holds counts against its capacity after a reload too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_and_health_outlive_a_reload() {
    let engine = FakeEngine::start().await;
    let gate = Gate::closed();
    engine.script(Chat::text("un deux trois").gate(2, &gate));
    let with = |capacity: u32| {
        let one = [deployment("d", &engine, &format!(", capacity: {capacity}"))];
        format!("queue: {{length: 10, wait: 300ms}}\nmodels:\n{}", model("m", &one, ""))
    };
    let app = TestApp::start(&with(2)).await;
    let key = app.key("A", "internal").await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut response = app.send("/v1/chat/completions", &key.secret, &streamed("m")).await;
        response.chunk().await.expect("a stream").expect("a first piece");
        held.push(response);
    }
    // More room: one more goes, the next waits in vain.
    app.write_configuration(&with(3));
    app.until_metric(&of("guichet_deployment_capacity", "m", "d"), |capacity| capacity == 3.0).await;
    assert_eq!(app.metric(&of("guichet_deployment_inflight", "m", "d")).await, Some(2.0));
    let mut response = app.send("/v1/chat/completions", &key.secret, &streamed("m")).await;
    response.chunk().await.expect("a stream").expect("a first piece");
    held.push(response);
    let (status, answer) = app.chat(&key, "m").await;
    assert_eq!((status, answer["error"]["code"].as_str()), (503, Some("model_busy")), "{answer}");
    gate.open();
    drop(held);
    app.until_metric(&of("guichet_deployment_inflight", "m", "d"), |inflight| inflight == 0.0).await;
}

/// Requests arrive all the while: none fails, whichever configuration it meets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_dropped_by_a_reload() {
    let engines = [FakeEngine::start().await, FakeEngine::start().await];
    for engine in &engines {
        engine.script(Chat::text("oui").first_byte(ms(5)));
    }
    let with = |at: usize| format!("models:\n{}", model("m", &[deployment(&format!("d{at}"), &engines[at], "")], ""));
    let app = TestApp::start(&with(0)).await;
    let key = app.key("A", "internal").await;
    let stop = tokio_util::sync::CancellationToken::new();
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let request = app.request(reqwest::Method::POST, "/v1/chat/completions", &key.secret).json(&chat("m"));
        let stop = stop.clone();
        callers.spawn(async move {
            let mut answers = 0;
            while !stop.is_cancelled() {
                let response = request.try_clone().expect("a request").send().await.expect("an answer");
                let (status, answer) = read(response).await;
                assert_eq!(status, 200, "{answer}");
                answers += 1;
            }
            answers
        });
    }
    for (count, at) in [(1.0, 1), (2.0, 0), (3.0, 1)] {
        app.write_configuration(&format!("# {count}\n{}", with(at)));
        app.until_metric(TAKEN, |taken| taken == count).await;
        engines[at].forget();
        assert!(engines[at].until(|counts| counts.posts >= 10).await, "the new engine works");
    }
    stop.cancel();
    let answers: u64 = callers.join_all().await.into_iter().sum();
    assert!(answers >= 30, "{answers}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_changes_nothing() {
    let engine = FakeEngine::start().await;
    let good = format!("models:\n{}", model("m", &[deployment("d", &engine, "")], ""));
    let app = TestApp::start(&good).await;
    let key = app.key("A", "internal").await;
    app.write_configuration(&good.replace("hosting: state", "hosting: nowhere"));
    app.until_metric(REFUSED, |refused| refused == 1.0).await;
    let (status, answer) = app.chat(&key, "m").await;
    assert_eq!((status, engine.posts()), (200, 1), "{answer}");
    app.write_configuration(&good.replace("id: m\n", "id: other\n"));
    app.until_metric(TAKEN, |taken| taken == 1.0).await;
    assert_eq!(app.chat(&key, "m").await.0, 404);
    let (_, list) = app.get("/v1/models", &key.secret).await;
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list["data"][0]["id"], json!("other"));
}
