//! A running gateway takes a new file without dropping a request, and keeps what it has when the new one is bad.

use std::time::Instant;

use tests::app::PATIENCE;
use tests::engine::{Gate, ms};
use tests::{Backend, Chat, FakeEngine, Process, TestApp};

use crate::configuration::{begun, one_model};

const TAKEN: &str = "guichet_configuration_reloads_total{result=\"taken\"}";
const REFUSED: &str = "guichet_configuration_reloads_total{result=\"refused\"}";

/// The ids that a key is shown.
async fn ids(app: &TestApp, key: &str) -> Vec<String> {
    let (status, list) = app.get("/v1/models", key).await;
    assert_eq!(status, 200, "{list}");
    let data = list["data"].as_array().expect("a list");
    data.iter().map(|model| model["id"].as_str().expect("an id").to_owned()).collect()
}

async fn until_log(gateway: &Process, words: &str) {
    let started = Instant::now();
    while !gateway.log().contains(words) {
        assert!(started.elapsed() < PATIENCE, "{words:?} is not in {}", gateway.log());
        tokio::time::sleep(ms(20)).await;
    }
}

/// By the file's change alone; the stream that was under way goes on on the engine that the new file no longer names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_is_taken_and_a_stream_under_way_ends_whole() {
    let (old, new) = (FakeEngine::start().await, FakeEngine::start().await);
    let gate = Gate::closed();
    old.script_model("first", Chat::text("un deux trois quatre").gate(2, &gate));
    let app = TestApp::start(&one_model(&old, "first")).await;
    let key = app.key("A", "internal").await;
    let stream = begun(&app, &key, "first").await;

    app.write_configuration(&one_model(&new, "second"));
    app.until_metric(TAKEN, |count| count == 1.0).await;
    assert_eq!(ids(&app, &key.secret).await, ["second"]);
    let (status, answer) = app.chat(&key, "second").await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = app.chat(&key, "first").await;
    assert_eq!(status, 404, "{answer}");
    assert_eq!(new.posts(), 1);

    gate.open();
    let rest = stream.text().await.expect("the rest of the stream");
    assert!(rest.contains("quatre") && rest.trim_end().ends_with("data: [DONE]"), "{rest}");
    let records = app.records(3).await;
    let streamed = records.iter().find(|record| record["streamed"] == true).expect("the stream's record");
    assert_eq!((streamed["outcome"].as_str(), streamed["model_served"].as_str()), (Some("success"), Some("first")));
}

/// On SIGHUP, at once; a bad file changes nothing and says so, in the metrics and in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_keeps_the_old_and_says_so() {
    let engine = FakeEngine::start().await;
    let gateway = Process::start(Backend::Sqlite, &one_model(&engine, "first")).await;
    let key = gateway.key("A", "internal").await;

    gateway.write_configuration(&format!(
        "{}queue: {{length: many}}\nfleet: {{attempts: 0}}\n",
        one_model(&engine, "second")
    ));
    gateway.signal("HUP");
    gateway.until_metric(REFUSED, |count| count >= 1.0).await;
    until_log(&gateway, "queue.length").await;
    until_log(&gateway, "fleet.attempts").await;
    assert_eq!(ids(&gateway, &key.secret).await, ["first"]);
    let (status, answer) = gateway.chat(&key, "first").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(gateway.metric(TAKEN).await, None);

    gateway.write_configuration(&one_model(&engine, "third"));
    gateway.signal("HUP");
    gateway.until_metric(TAKEN, |count| count >= 1.0).await;
    assert_eq!(ids(&gateway, &key.secret).await, ["third"]);
    until_log(&gateway, "configuration reloaded").await;

    // A file that is gone is a bad file.
    std::fs::remove_file(gateway.folder.path().join("guichet.yaml")).expect("the file goes");
    let before = gateway.metric(REFUSED).await.expect("a count");
    gateway.until_metric(REFUSED, |count| count > before).await;
    assert_eq!(ids(&gateway, &key.secret).await, ["third"]);
}

/// Many requests while the file changes many times: none fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_dropped_by_a_reload() {
    let engine = FakeEngine::start().await;
    let gateway = Process::start(Backend::Sqlite, &one_model(&engine, "first")).await;
    let key = gateway.key("A", "internal").await;
    for round in 0..10_u32 {
        let capacity = 10 + round;
        let more =
            format!("models:\n{}", tests::model("first", "chat", &engine.url(), &format!(", capacity: {capacity}")));
        gateway.write_configuration(&more);
        gateway.signal("HUP");
        for _ in 0..20 {
            let (status, answer) = gateway.chat(&key, "first").await;
            assert_eq!(status, 200, "round {round}: {answer}");
        }
    }
    // Signals that come together are one; the last file is the one that stays.
    let capacity = "guichet_deployment_capacity{gen_ai_request_model=\"first\",guichet_deployment=\"first-d\"}";
    gateway.until_metric(capacity, |count| count == 19.0).await;
    gateway.until_metric(TAKEN, |count| count >= 2.0).await;
    assert_eq!(gateway.metric(REFUSED).await, None);
    assert_eq!(engine.posts(), 200);
}

/// What needs a restart is said in the log and stays as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_restart_says_so() {
    let engine = FakeEngine::start().await;
    let gateway = Process::start(Backend::Sqlite, &one_model(&engine, "first")).await;
    let key = gateway.key("A", "internal").await;
    let more = format!(
        "server: {{listen: '127.0.0.1:0', drain: 1m}}\nrecords: {{spool: 32MiB}}\nlog: {{level: debug}}\n{}",
        one_model(&engine, "second")
    );
    gateway.write_configuration(&more);
    gateway.signal("HUP");
    gateway.until_metric(TAKEN, |count| count >= 1.0).await;
    for what in ["`drain` of `server` take", "`database` and `records` take", "`level` of `log` take"] {
        until_log(&gateway, &format!("{what} effect at the next start")).await;
    }
    assert_eq!(ids(&gateway, &key.secret).await, ["second"], "the rest is taken");
    gateway.records(0).await;
}
