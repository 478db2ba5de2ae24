//! What bad input gets: a clear error of the table, a record, nothing lost, nothing leaked, and a gateway that goes on.
//! Bodies ([`bodies`]), heads and sockets ([`sockets`]), keys ([`keys`]), engines ([`engines`]) and their streams
//! ([`streams`]).

#![expect(clippy::expect_used, clippy::panic, reason = "in tests, a panic is how a failure is told")]

mod bodies;
mod engines;
mod keys;
mod sockets;
mod streams;

use std::time::Duration;

use serde_json::Value;
use tests::engine::ms;
use tests::{FakeEngine, Key, TestApp, model};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest wait for what must come at once.
const SOON: Duration = Duration::from_secs(10);

/// A gateway with these chat models on one engine, and a key.
async fn gateway(settings: &str, models: &[&str]) -> (FakeEngine, TestApp, Key) {
    let engine = FakeEngine::start().await;
    let lines: String = models.iter().map(|name| model(name, "chat", &engine.url(), "")).collect();
    // Failures are what is sent here: they must not set the engine aside.
    let fleet = "fleet: {failures: 1000000}\n";
    let app = TestApp::start(&format!("{fleet}{settings}models:\n{lines}")).await;
    let key = app.key("A", "internal").await;
    (engine, app, key)
}

/// An answer as it stood on the wire.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, wanted: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| *name == wanted)
            .map(|(_, text)| text)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The first of the answers in these bytes, and the rest.
    fn first(bytes: &[u8]) -> Option<(Answer, &[u8])> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        let rest = &bytes[end + 4..];
        let body = String::from_utf8_lossy(rest.get(..length)?).into_owned();
        Some((Answer { status, head, body }, &rest[length..]))
    }
}

async fn connect(app: &TestApp) -> TcpStream {
    TcpStream::connect(app.url.strip_prefix("http://").expect("an address")).await.expect("a connection")
}

/// All that comes until the gateway closes. A reset is an end like another.
async fn all(mut socket: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = async { while socket.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {} };
    assert!(tokio::time::timeout(SOON, read).await.is_ok(), "the connection stays open");
    bytes
}

/// Sends these bytes on a connection of their own, and reads until it is closed.
async fn sent(app: &TestApp, bytes: &[u8]) -> Option<Answer> {
    let mut socket = connect(app).await;
    // The gateway may close before it has read all.
    let _ = socket.write_all(bytes).await;
    Answer::first(&all(socket).await).map(|(answer, _)| answer)
}

/// A request for one answer, whatever its body.
fn request(path: &str, key: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: guichet\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\
         content-length: {}\r\n{more}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Asserts that an error is one of the table, that its words hold nothing of the inside, and gives its code.
fn told(name: &str, status: u16, answer: &Value) -> String {
    let error = &answer["error"];
    let (kind, code) = match status {
        401 => ("authentication_error", vec!["invalid_api_key"]),
        403 => ("permission_error", vec!["permission_denied", "sovereignty_policy"]),
        404 => ("not_found_error", vec!["model_not_found", "not_found", "prompt_not_found"]),
        408 => ("invalid_request_error", vec!["request_timeout"]),
        413 => ("invalid_request_error", vec!["payload_too_large"]),
        415 => ("invalid_request_error", vec!["unsupported_encoding"]),
        422 => ("invalid_request_error", vec!["model_wrong_type"]),
        429 => ("rate_limit_error", vec!["rate_limit_exceeded"]),
        502 => ("server_error", vec!["upstream_error"]),
        503 => ("server_error", vec!["model_busy", "service_unavailable"]),
        504 => ("timeout_error", vec!["upstream_timeout"]),
        _ => ("invalid_request_error", vec!["invalid_request_error", "unsupported_value", "url_not_allowed"]),
    };
    let seen = error["code"].as_str().unwrap_or_default();
    assert!(code.contains(&seen), "{name}: {status} with {answer}");
    assert_eq!(error["type"], kind, "{name}: {answer}");
    assert_eq!(answer["detail"], error["message"], "{name}");
    assert!(error["message"].as_str().is_some_and(|text| (10..500).contains(&text.len())), "{name}: {answer}");
    clean(name, &answer.to_string());
    seen.to_owned()
}

/// Nothing of the inside: no host, no engine's words, no code.
fn clean(name: &str, text: &str) {
    let inside = [
        "127.0.0.1",
        "10.0.3.7",
        "gpu-07",
        "CUDA",
        "EngineCore",
        "nginx",
        "Traceback",
        "stack trace",
        "panicked",
        ".rs:",
        "hyper",
        "serde",
        "sqlx",
        "SELECT",
        "gct_",
    ];
    for word in inside {
        assert!(!text.contains(word), "{name}: {word} in {text}");
    }
}

/// The gateway still answers.
async fn alive(name: &str, app: &TestApp, key: &Key) {
    let answer = tokio::time::timeout(SOON, app.chat(key, "fake/plain")).await;
    let (status, answer) = answer.unwrap_or_else(|_| panic!("{name}: the gateway hangs"));
    assert_eq!(status, 200, "{name}: {answer}");
}

/// Waits for the record of a request.
async fn recorded(name: &str, app: &TestApp, id: &str) -> Value {
    let started = std::time::Instant::now();
    loop {
        let (status, page) = app.get("/v1/admin/records?limit=1000", &app.admin_key).await;
        assert_eq!(status, 200, "{page}");
        let records = page["data"].as_array().expect("a list");
        if let Some(record) = records.iter().find(|record| record["id"] == *id) {
            return record.clone();
        }
        assert!(started.elapsed() < tests::app::PATIENCE, "{name}: no record of {id}");
        tokio::time::sleep(ms(20)).await;
    }
}
