//! `kill -9` in the middle of everything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::engine::Gate;
use tests::{Backend, Chat, FakeEngine, Process, chat, on_each_database};
use tokio::task::JoinSet;

use crate::accounting::{fields, models};

on_each_database!(
    /// What was admitted and not ended becomes `interrupted`; what had ended is there, but for the last moment.
    kill_9_interrupts_what_was_open_and_loses_nothing_that_ended,
);

/// The journal is flushed within 100 ms; a busy machine is given as much again and more to write it.
const FLUSHED: Duration = Duration::from_millis(400);

async fn kill_9_interrupts_what_was_open_and_loses_nothing_that_ended(backend: Backend) {
    const OPEN: usize = 20;
    let engine = FakeEngine::start().await;
    let gate = Gate::closed();
    engine.script_model("fake/slow", Chat::text("un deux trois quatre").gate(3, &gate));
    let more = models(&engine, &["fake/plain", "fake/slow"]);
    let gateway = Process::start(backend, &more).await;
    let key = gateway.key("A", "internal").await;

    let mut body = chat("fake/slow");
    body["stream"] = json!(true);
    let mut streams = Vec::new();
    for _ in 0..OPEN {
        let mut response = gateway.send("/v1/chat/completions", &key.secret, &body).await;
        let first = response.chunk().await.expect("a stream").expect("a first piece");
        assert!(first.starts_with(b"data: "));
        streams.push(response);
    }
    let open: Vec<String> = streams.iter().map(id).collect();

    // Requests that end all the time, up to the kill.
    let ended: Arc<Mutex<Vec<(String, Instant)>>> = Arc::default();
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for _ in 0..4 {
        let (ended, stop) = (ended.clone(), stop.clone());
        let request =
            gateway.request(reqwest::Method::POST, "/v1/chat/completions", &key.secret).json(&chat("fake/plain"));
        workers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let Ok(response) = request.try_clone().expect("a request").send().await else { return };
                let id = id(&response);
                if response.text().await.is_ok_and(|text| text.contains("\"usage\"")) {
                    ended.lock().unwrap_or_else(PoisonError::into_inner).push((id, Instant::now()));
                }
            }
        });
    }
    let started = Instant::now();
    while started.elapsed() < FLUSHED * 3 || ended.lock().unwrap_or_else(PoisonError::into_inner).len() < 100 {
        assert!(started.elapsed() < tests::app::PATIENCE, "the workers work");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let killed = Instant::now();
    let (folder, database) = gateway.kill();
    stop.store(true, Ordering::Relaxed);
    while workers.join_next().await.is_some() {}
    drop(streams);

    let gateway = Process::in_folder(folder, database, &more, &[]).await;
    // All that is in the journal is in the database once nothing waits.
    gateway.until_metric("guichet_records_waiting", |waiting| waiting == 0.0).await;
    let records = everything(&gateway).await;
    let find = |id: &str| records.iter().find(|record| record["id"] == *id);
    for id in &open {
        let record = find(id).unwrap_or_else(|| panic!("{id}: an open request is lost"));
        let names = ["outcome", "streamed", "model_asked", "key_id", "tokens_estimated", "tokens_out"];
        let wanted = [json!("interrupted"), json!(true), json!("fake/slow"), json!(key.id), json!(true), json!(0)];
        assert_eq!(fields(record, &names), wanted, "{record:#}");
        assert!(record["tokens_in"].as_i64() > Some(0), "{record:#}");
    }
    let ended = ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let due: Vec<&(String, Instant)> = ended.iter().filter(|(_, at)| *at + FLUSHED < killed).collect();
    assert!(due.len() >= 50, "{} of {}", due.len(), ended.len());
    for (id, at) in due {
        let record = find(id).unwrap_or_else(|| panic!("{id}: ended {:?} before the kill, lost", killed - *at));
        assert_eq!(record["outcome"], "success", "{record:#}");
    }
    // Beyond these there are only the few that ended in the last moment or were in flight.
    assert!(records.len() <= OPEN + ended.len() + 4, "{} records", records.len());

    // The counter is open again, and numbers go on.
    let (status, answer) = gateway.chat(&key, "fake/plain").await;
    assert_eq!(status, 200, "{answer}");
    gate.open();
}

fn id(response: &reqwest::Response) -> String {
    response.headers()["x-request-id"].to_str().expect("an id").to_owned()
}

/// All records, page after page.
async fn everything(gateway: &Process) -> Vec<Value> {
    let mut records: Vec<Value> = Vec::new();
    loop {
        let before = records.last().map(|last| format!("&before={}", last["id"].as_str().expect("an id")));
        let path = format!("/v1/admin/records?limit=1000{}", before.unwrap_or_default());
        let (status, page) = gateway.get(&path, &gateway.admin_key).await;
        assert_eq!(status, 200, "{page}");
        let page = page["data"].as_array().expect("a list");
        if page.is_empty() {
            return records;
        }
        records.extend(page.iter().cloned());
    }
}
