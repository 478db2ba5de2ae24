//! Keys with quotes, SQL, NUL and more in them, and floods of them.

use serde_json::json;
use tests::{Backend, FakeEngine, TestApp, chat, model, on_each_database, read};

use crate::hostile::{alive, gateway, request, sent, told};

on_each_database!(
    /// Whatever stands where a key should, the words are the same, and the database has seen nothing of it.
    every_wrong_key_gets_the_same_words,
);

async fn every_wrong_key_gets_the_same_words(backend: Backend) {
    let engine = FakeEngine::start().await;
    let more = format!(
        "gates: {{failed_authentications: {{per_second: 1000, burst: 1000}}}}\nmodels:\n{}",
        model("fake/plain", "chat", &engine.url(), "")
    );
    let app = TestApp::on(backend, &more).await;
    let key = app.key("A", "internal").await;
    let right = key.secret.as_bytes();
    let turned = |at: usize| {
        let mut wrong = right.to_vec();
        wrong[at] = if wrong[at] == b'a' { b'b' } else { b'a' };
        wrong
    };
    let with = |at: usize, byte: u8| {
        let mut wrong = right.to_vec();
        wrong[at] = byte;
        wrong
    };
    let keys: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("a quote", b"'".to_vec()),
        ("SQL", b"' OR '1'='1' --".to_vec()),
        ("SQL in a key", with(8, b'\'')),
        ("a drop", b"gct_'; DROP TABLE keys; --".to_vec()),
        ("a wrong id", turned(5)),
        ("a wrong secret", turned(30)),
        ("a wrong checksum", turned(right.len() - 1)),
        ("cut", right[..right.len() - 1].to_vec()),
        ("too long", [right, b"x"].concat()),
        ("twice", [right, b" ", right].concat()),
        ("huge", b"g".repeat(20_000)),
        ("non-ASCII", "gct_éèàüöñ".as_bytes().to_vec()),
        ("bytes", with(8, 0xff)),
        ("another's", b"sk-proj-abcdefghijklmnop".to_vec()),
        ("a token", b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.".to_vec()),
        ("percent", b"gct_%00%27".to_vec()),
    ];
    let body = chat("fake/plain").to_string();
    let mut words = None;
    for (name, wrong) in keys {
        let mut bytes =
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nconnection: close\r\nauthorization: Bearer ".to_vec();
        bytes.extend_from_slice(&wrong);
        bytes.extend_from_slice(format!("\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes());
        let answer = sent(&app, &bytes).await.unwrap_or_else(|| panic!("{name}: no answer"));
        assert_eq!(answer.status, 401, "{name}: {answer:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{name}");
        told(name, 401, &answer.json());
        let first = words.get_or_insert_with(|| answer.body.clone());
        assert_eq!(&answer.body, first, "{name}: the words tell nothing of why");
    }
    // NUL makes no header at all.
    let bytes = request("/v1/chat/completions", "gct_\0", "", body.as_bytes());
    assert_eq!(sent(&app, &bytes).await.map(|answer| answer.status), Some(400));
    // Other schemes, and the key where it should not be.
    for head in [
        format!("authorization: Basic {}", key.secret),
        format!("authorization: {}", key.secret),
        format!("x-api-key: {}", key.secret),
        format!("cookie: key={}", key.secret),
    ] {
        let bytes = format!(
            "POST /v1/chat/completions?key={} HTTP/1.1\r\nhost: g\r\nconnection: close\r\n{head}\r\n\
             content-length: {}\r\n\r\n{body}",
            key.secret,
            body.len()
        );
        assert_eq!(sent(&app, bytes.as_bytes()).await.map(|answer| answer.status), Some(401), "{head}");
    }
    assert_eq!(engine.posts(), 0);
    alive("after all", &app, &key).await;
    app.records(1).await;
}

/// A flood of wrong keys from one address is slowed down; a key of that address that is known goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_wrong_keys_is_slowed_down() {
    let gates = "gates: {failed_authentications: {per_second: 1, burst: 10}}\n";
    let (engine, app, key) = gateway(gates, &["fake/plain"]).await;
    alive("a key that is known", &app, &key).await;
    let mut statuses = Vec::new();
    for count in 0..40 {
        let response = app.send("/v1/chat/completions", &format!("gct_{count}"), &chat("fake/plain")).await;
        let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let (status, answer) = read(response).await;
        told("flood", status, &answer);
        assert_eq!(after.is_some(), status == 429, "{answer}");
        statuses.push(status);
    }
    let let_through = statuses.iter().filter(|status| **status == 401).count();
    assert!((10..=20).contains(&let_through), "{statuses:?}");
    assert_eq!(statuses.last(), Some(&429));
    alive("a right key", &app, &key).await;
    assert_eq!(engine.posts(), 2);
    let failures = app.metric("guichet_authentication_failures_total").await;
    assert_eq!(json!(failures), json!(40.0));
}
