//! Days and months outlive a restart and an emptied Redis: they are counted again from the usage records.

use std::time::{Duration, Instant};

use tests::engine::Gate;
use tests::{Backend, Chat, Process, TestApp, on_each_database};

use crate::quotas::stand::{Place, Stand, chat_of, limits, models};

on_each_database!(a_restart_remembers_what_was_used, a_kill_remembers_what_was_admitted,);

const PLAN: &str = "{organization: [{requests: 4/day, tokens: [5k/minute, 100k/month]}], project: [{tokens: 50k/day}], key: [{requests: 1000/month}]}";

fn figures(lines: &serde_json::Value) -> Vec<String> {
    let mut all: Vec<String> = lines["limits"]
        .as_array()
        .expect("limits")
        .iter()
        .map(|line| format!("{} {} {}", line["scope"], line["limit"], line["used"]))
        .collect();
    all.sort();
    all
}

async fn a_restart_remembers_what_was_used(backend: Backend) {
    let engine = tests::FakeEngine::start().await;
    let text = format!("{}plans:\n  p: {PLAN}\n{}", limits(None, ""), models(&engine));
    let app = TestApp::on(backend, &text).await;
    let key = app.key("Culture", "internal").await;
    engine.script_model("fake/plain", Chat::text("Bonjour").tokens(100, 20));
    for _ in 0..3 {
        let body = chat_of("fake/plain", 50);
        assert_eq!(app.send("/v1/chat/completions", &key.secret, &body).await.status(), 200);
    }
    // A failure and a refusal of ours count for nothing, before and after.
    assert_eq!(app.chat(&key, "fake/500").await.0, 502);
    assert_eq!(app.chat(&key, "inconnu").await.0, 404);
    app.records(5).await;
    let (_, before) = app.get("/v1/me", &key.secret).await;
    let (folder, database) = app.stop().await;
    let app = TestApp::in_folder(folder, database, &text).await;
    let (_, after) = app.get("/v1/me", &key.secret).await;
    assert_eq!(figures(&before), figures(&after));
    assert!(figures(&after).iter().any(|line| line.contains("tokens/month") && line.ends_with(" 360")), "{after:#}");
    assert_eq!(app.chat(&key, "fake/plain").await.0, 200);
    assert_eq!(app.chat(&key, "fake/plain").await.0, 429, "the fifth of the day");
}

async fn a_kill_remembers_what_was_admitted(backend: Backend) {
    let engine = tests::FakeEngine::start().await;
    let text = format!("{}plans:\n  p: {PLAN}\n{}", limits(None, ""), models(&engine));
    let gateway = Process::start(backend, &text).await;
    let key = gateway.key("Culture", "internal").await;
    let gate = Gate::closed();
    engine.script_model("fake/slow", Chat::text("un deux").gate(1, &gate));
    let mut body = chat_of("fake/slow", 50);
    body["stream"] = true.into();
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut response = gateway.send("/v1/chat/completions", &key.secret, &body).await;
        assert_eq!(response.status(), 200);
        drop(response.chunk().await);
        held.push(response);
    }
    // The journal reaches the disk within 100 ms.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let (folder, database) = gateway.kill();
    let gateway = Process::in_folder(folder, database, &text, &[]).await;
    assert_eq!(gateway.chat(&key, "fake/plain").await.0, 429, "four of the day were admitted");
    gate.open();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_is_filled_from_the_records() {
    an_emptied_store_is_filled_from_the_records(Place::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_is_filled_once_by_two_processes() {
    an_emptied_store_is_filled_from_the_records(Place::TwoProcesses).await;
}

async fn an_emptied_store_is_filled_from_the_records(place: Place) {
    let stand = Stand::new(place, "{organization: [{requests: 100/day, tokens: 100k/month}]}").await;
    let key = stand.key("Culture", "internal").await;
    stand.engine.script_model("fake/plain", Chat::text("Bonjour").tokens(100, 20));
    for _ in 0..5 {
        assert_eq!(stand.ask(&key, &chat_of("fake/plain", 50)).await.status(), 200);
    }
    stand.records(5).await;
    stand.until_used(&key, "organization", "tokens/month", 600).await;
    let url = stand.redis.as_ref().expect("a Redis").url.clone();
    flush(&url).await;
    // The next request meets an empty store, and has the past counted again.
    assert_eq!(stand.ask(&key, &chat_of("fake/plain", 50)).await.status(), 200);
    let started = Instant::now();
    loop {
        let state = stand.state(&key, "organization", "requests/day").await;
        if state["used"].as_u64() == Some(6) {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{state}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stand.until_used(&key, "organization", "tokens/month", 720).await;
}

/// `FLUSHALL`, in Redis's own words.
async fn flush(url: &str) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = url.trim_start_matches("redis://").trim_end_matches('/');
    let mut socket = tokio::net::TcpStream::connect(address).await.expect("Redis listens");
    socket.write_all(b"FLUSHALL\r\n").await.expect("it hears");
    let mut answer = [0; 5];
    socket.read_exact(&mut answer).await.expect("it answers");
    assert_eq!(&answer, b"+OK\r\n");
}
