//! `kill -9`: the last moments of content may be lost, never more, and nothing unredacted is ever left.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::engine::Gate;
use tests::process::guichet;
use tests::{Backend, Chat, FakeEngine, Process, on_each_database};

use crate::records::{
    ECHO, ON, ask, chat, confession, configuration, consent, content, evaluator, kept, nothing_leaks,
};

on_each_database!(kill_9_loses_the_last_moments_and_leaves_nothing_unredacted);

/// Redaction and a batch, on a busy machine.
const STORED: Duration = Duration::from_secs(2);

async fn kill_9_loses_the_last_moments_and_leaves_nothing_unredacted(backend: Backend) {
    let engine = FakeEngine::start().await;
    engine.script(Chat::obliging(ECHO));
    let more = configuration(&engine, ON);
    let gateway = Process::start(backend, &more).await;
    let (key, evaluator) = (gateway.key("A", "internal").await, evaluator(&gateway).await);
    consent(&gateway, &key).await;
    let mut ended = Vec::new();
    let started = Instant::now();
    while started.elapsed() < STORED * 2 {
        let streamed = ended.len() % 2 == 0;
        let id = ask(&gateway, &key, &chat("petit", &confession(&format!("témoin {}", ended.len())), streamed)).await;
        ended.push((id, Instant::now()));
        // Few enough to be listed at once.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // One stream in the middle of its answer.
    let gate = Gate::closed();
    engine.next(Chat::obliging(ECHO).gate(2, &gate));
    let mut open = gateway.send("/v1/chat/completions", &key.secret, &chat("petit", &confession("ouvert"), true)).await;
    assert!(open.chunk().await.expect("a stream").is_some());
    let killed = Instant::now();
    let url = gateway.database().url.clone();
    let (folder, database) = gateway.kill();
    nothing_leaks(folder.path(), &url).await;

    let gateway = Process::in_folder(folder, database, &more, &[]).await;
    gateway.until_metric("guichet_records_waiting", |waiting| waiting == 0.0).await;
    let due: Vec<&str> = ended.iter().filter(|(_, at)| *at + STORED < killed).map(|(id, _)| id.as_str()).collect();
    assert!(due.len() >= 10, "{} of {}", due.len(), ended.len());
    for id in due {
        let record = content(&gateway, &evaluator, id).await;
        assert!(record["content"].to_string().contains("Mme [nom]"), "{record:#}");
    }
    let (_, list) = gateway.get("/v1/eval/records?limit=1000", &evaluator).await;
    let before = list["data"].as_array().expect("a list").len();
    assert!(before <= ended.len(), "{before}");
    // The log goes on where it was.
    ask(&gateway, &key, &chat("petit", "Encore", false)).await;
    kept(&gateway, &evaluator, before + 1).await;
    nothing_leaks(gateway.folder.path(), &url).await;
    let said = guichet(gateway.folder.path(), &["eval", "verify-log", "--config", "guichet.yaml", "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let found: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((&found[0]["intact"], &found[1]["intact"]), (&json!(true), &json!(true)), "{found:#}");
    gate.open();
}
