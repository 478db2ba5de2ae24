//! Heads and sockets: floods, trickles, half-closed and shared connections.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::engine::{State, ms};
use tests::{TestApp, chat};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::hostile::{Answer, SOON, alive, all, clean, connect, gateway, recorded, request, sent, told};

const CHAT: &str = "/v1/chat/completions";

/// Too many fields, fields too long, and heads that are no heads: refused before anyone is asked who they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_headers_are_refused() {
    let (engine, app, key) = gateway("", &["fake/plain"]).await;
    let body = chat("fake/plain").to_string();
    let many: String = (0..5_000).map(|count| format!("x-filler-{count}: a\r\n")).collect();
    let long = format!("x-filler: {}\r\n", "a".repeat(1 << 20));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("many", request(CHAT, &key.secret, &many, body.as_bytes())),
        ("long", request(CHAT, &key.secret, &long, body.as_bytes())),
        ("long path", request(&format!("/v1/{}", "a".repeat(200_000)), &key.secret, "", body.as_bytes())),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is TLS\r\n\r\n".to_vec()),
        ("no version", b"GET /\r\n\r\n".to_vec()),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("a folded header", request(CHAT, &key.secret, "x-a: b\r\n  c\r\n", body.as_bytes())),
        ("a space before the colon", request(CHAT, &key.secret, "x-a : b\r\n", body.as_bytes())),
        ("a negative length", request(CHAT, &key.secret, "content-length: -1\r\n", body.as_bytes())),
        ("two lengths", request(CHAT, &key.secret, "content-length: 3\r\n", body.as_bytes())),
        ("an unknown coding", request(CHAT, &key.secret, "transfer-encoding: gzip\r\n", body.as_bytes())),
        ("a coding after chunked", request(CHAT, &key.secret, "transfer-encoding: chunked, x\r\n", body.as_bytes())),
    ];
    for (name, bytes) in cases {
        // A connection closed without a word is a refusal too, for what is no HTTP.
        if let Some(answer) = sent(&app, &bytes).await {
            assert!((400..500).contains(&answer.status) || answer.status == 505, "{name}: {answer:?}");
            clean(name, &answer.head);
            clean(name, &answer.body);
        }
        alive(name, &app, &key).await;
    }
    assert_eq!(engine.posts(), 12, "only those that were to live");
}

/// What conflicting lengths could smuggle behind a request is no request: one reading of where a body ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicting_lengths_smuggle_nothing() {
    let (engine, app, key) = gateway("", &["fake/plain"]).await;
    let body = chat("fake/plain").to_string();
    let inner =
        format!("POST {CHAT} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {}\r\nx-inner: 1\r\n\r\n", key.secret);
    for order in
        ["content-length: {}\r\ntransfer-encoding: chunked\r\n", "transfer-encoding: chunked\r\ncontent-length: {}\r\n"]
    {
        engine.forget();
        // For a reader of the length, the second request is inside the body of the first.
        let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        let lengths = order.replace("{}", &(chunked.len() + inner.len()).to_string());
        let head = format!("POST {CHAT} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {}\r\n{lengths}\r\n", key.secret);
        let mut socket = connect(&app).await;
        socket.write_all(format!("{head}{chunked}{inner}").as_bytes()).await.expect("sent");
        let mut bytes = Vec::new();
        let read = async {
            while Answer::first(&bytes).is_none() && socket.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {}
        };
        assert!(tokio::time::timeout(SOON, read).await.is_ok(), "{order:?}: no answer");
        let (answer, _) = Answer::first(&bytes).expect("an answer");
        match answer.status {
            200 => assert_eq!(engine.calls()[0].json()["messages"], chat("fake/plain")["messages"], "{order:?}"),
            status => assert_eq!(status, 400, "{order:?}: {answer:?}"),
        }
        assert!(engine.calls().iter().all(|call| call.header("x-inner").is_none()));
    }
    alive("after all", &app, &key).await;
}

/// A head that never ends, fast or slow, ends with the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_without_end_is_cut() {
    let (engine, app, key) = gateway("server: {listen: '127.0.0.1:0', header_timeout: 500ms}\n", &["fake/plain"]).await;
    for (name, line, pause) in [
        ("fast", format!("x-filler: {}\r\n", "a".repeat(1_000)), ms(0)),
        ("slow", "x-a: b\r\n".to_owned(), ms(50)),
        ("a byte at a time", "x".to_owned(), ms(50)),
    ] {
        let socket = connect(&app).await;
        let (mut from, mut to) = socket.into_split();
        let started = Instant::now();
        let writer = async {
            let _ = to.write_all(format!("POST {CHAT} HTTP/1.1\r\nhost: g\r\n").as_bytes()).await;
            while to.write_all(line.as_bytes()).await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        };
        let reader = async {
            let mut bytes = Vec::new();
            while from.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {}
            bytes
        };
        let bytes = tokio::select! {
            bytes = reader => bytes,
            () = async { writer.await; std::future::pending().await } => Vec::new(),
            () = tokio::time::sleep(SOON) => panic!("{name}: the connection lives on"),
        };
        assert!(started.elapsed() < Duration::from_secs(5), "{name}: {:?}", started.elapsed());
        if let Some((answer, _)) = Answer::first(&bytes) {
            assert!((400..500).contains(&answer.status), "{name}: {answer:?}");
        }
        alive(name, &app, &key).await;
    }
    assert_eq!(engine.posts(), 3);
}

/// A body that stalls, or drips so as never to stall, is not waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_end_is_cut() {
    let (engine, app, key) = gateway("server: {listen: '127.0.0.1:0', body_timeout: 500ms}\n", &["fake/plain"]).await;
    for (name, framing) in [("length", "content-length: 100000"), ("chunks", "transfer-encoding: chunked")] {
        for drip in [None, Some(ms(100))] {
            let (mut from, mut to) = connect(&app).await.into_split();
            let started = Instant::now();
            let head =
                format!("POST {CHAT} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {}\r\n{framing}\r\n\r\n", key.secret);
            let writer = async {
                let _ = to.write_all(head.as_bytes()).await;
                let byte: &[u8] = if name == "chunks" { b"1\r\n \r\n" } else { b" " };
                while let Some(pause) = drip
                    && to.write_all(byte).await.is_ok()
                {
                    tokio::time::sleep(pause).await;
                }
                std::future::pending::<()>().await;
            };
            let reader = async {
                let mut bytes = Vec::new();
                while Answer::first(&bytes).is_none() && from.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {}
                bytes
            };
            let bytes = tokio::select! {
                bytes = reader => bytes,
                () = writer => Vec::new(),
                () = tokio::time::sleep(SOON) => panic!("{name} {drip:?}: still waiting"),
            };
            let elapsed = started.elapsed();
            assert!((ms(400)..ms(5_000)).contains(&elapsed), "{name} {drip:?}: {elapsed:?}");
            let (answer, _) = Answer::first(&bytes).expect("an answer");
            assert_eq!(answer.status, 408, "{name} {drip:?}: {answer:?}");
            told(name, 408, &answer.json());
            let record = recorded(name, &app, answer.header("x-request-id").expect("an id")).await;
            assert_eq!((&record["status"], &record["outcome"]), (&json!(408), &json!("refused")), "{record:#}");
        }
    }
    assert_eq!(engine.posts(), 0);
    alive("after all", &app, &key).await;
}

/// A client that closes its sending side has left: the engine is told so, and the record says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_closed_socket_is_a_departure() {
    let (engine, app, key) = gateway("", &["fake/plain", "fake/never", "fake/endless"]).await;
    for (model, streamed) in [("fake/never", false), ("fake/endless", true)] {
        engine.forget();
        let mut body = chat(model);
        body["stream"] = json!(streamed);
        let mut socket = connect(&app).await;
        socket.write_all(&request(CHAT, &key.secret, "", body.to_string().as_bytes())).await.expect("sent");
        assert!(engine.until(|counts| counts.posts == 1).await);
        socket.shutdown().await.expect("half closed");
        let left =
            engine.until_within(Duration::from_secs(1), |counts| counts.streams.aborted + counts.answers.aborted == 1);
        assert!(left.await, "{model}: the engine works for nobody: {:?}", engine.counts());
        assert_eq!(engine.last().state(), State::Aborted);
        all(socket).await;
    }
    for record in app.records(2).await {
        assert_eq!(record["outcome"], "client_gone", "{record:#}");
    }
    // Half a request, then nothing: no admission, nothing kept.
    let mut socket = connect(&app).await;
    socket.write_all(format!("POST {CHAT} HTTP/1.1\r\nhost: g\r\n").as_bytes()).await.expect("sent");
    socket.shutdown().await.expect("half closed");
    all(socket).await;
    alive("after all", &app, &key).await;
}

/// A body cut by its sender is a request that was not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_cut_by_its_sender_is_recorded_and_asks_nobody() {
    let (engine, app, key) = gateway("", &["fake/plain"]).await;
    let whole = request(CHAT, &key.secret, "", chat("fake/plain").to_string().as_bytes());
    let mut socket = connect(&app).await;
    socket.write_all(&whole[..whole.len() - 10]).await.expect("sent");
    socket.shutdown().await.expect("half closed");
    all(socket).await;
    let record = app.records(1).await.remove(0);
    assert!([json!("refused"), json!("client_gone")].contains(&record["outcome"]), "{record:#}");
    assert_eq!(engine.posts(), 0);
    alive("after all", &app, &key).await;
}

/// Requests sent without waiting for answers are answered in order, each with its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_answered_in_order() {
    let (engine, app, key) = gateway("", &["fake/plain"]).await;
    let keep = |body: &str| {
        format!(
            "POST {CHAT} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
            key.secret,
            body.len()
        )
    };
    let good = chat("fake/plain").to_string();
    let last = request(CHAT, &key.secret, "", good.as_bytes());
    let bytes = [keep(&good), keep("{"), keep(&chat("gpt-9").to_string())].concat().into_bytes();
    let mut socket = connect(&app).await;
    socket.write_all(&[bytes, last].concat()).await.expect("sent");
    let bytes = all(socket).await;
    let mut rest = bytes.as_slice();
    let mut statuses = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    while let Some((answer, more)) = Answer::first(rest) {
        ids.insert(answer.header("x-request-id").expect("an id").to_owned());
        statuses.push(answer.status);
        rest = more;
    }
    assert_eq!((statuses.as_slice(), rest), ([200, 400, 404, 200].as_slice(), &b""[..]));
    assert_eq!((ids.len(), engine.posts()), (4, 2));
    app.records(4).await;
}

/// Connections opened and left, by hundreds, leave nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_leave_nothing() {
    let (_engine, app, key) =
        gateway("server: {listen: '127.0.0.1:0', header_timeout: 500ms}\n", &["fake/plain"]).await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(connect(&app).await);
    }
    app.until_metric("guichet_open_connections", |open| open >= 300.0).await;
    alive("among them", &app, &key).await;
    // The gateway's own patience ends them; nobody has to.
    few(&app).await;
    drop(silent);
    alive("after them", &app, &key).await;
}

async fn few(app: &TestApp) {
    app.until_metric("guichet_open_connections", |open| open <= 4.0).await;
}
