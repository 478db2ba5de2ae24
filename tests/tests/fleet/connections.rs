//! Connections are opened within their time, kept and used again; silence has its limits before the first byte and
//! between pieces, and no stream has a total time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::engine::{Ending, faults, ms};
use tests::{Chat, FakeEngine, TestApp, chat};

use crate::fleet::{deployment, model, streamed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_used_again() {
    let engine = FakeEngine::start().await;
    let one = [deployment("d", &engine, "")];
    let app = TestApp::start(&format!("models:\n{}", model("fake/plain", &one, ""))).await;
    let key = app.key("A", "internal").await;
    for body in [chat("fake/plain"), streamed("fake/plain")] {
        engine.forget();
        for _ in 0..100 {
            let (status, answer) = app.post("/v1/chat/completions", &key.secret, &body).await;
            assert_eq!(status, 200, "{answer}");
        }
        let counts = engine.counts();
        assert_eq!(counts.posts, 100);
        assert!(counts.connections <= 20, "{counts:?}");
    }
}

/// An address that swallows packets: the connection is given up in time and the failure told as one of the engine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_does_not_open_is_given_up() {
    // A listener whose backlog is full answers no further knock, on any system.
    let listener = tokio::net::TcpSocket::new_v4().expect("a socket");
    listener.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = listener.listen(1).expect("it listens");
    let address = listener.local_addr().expect("its address");
    let mut filler = Vec::new();
    while let Ok(Ok(one)) = tokio::time::timeout(ms(300), tokio::net::TcpStream::connect(address)).await {
        filler.push(one);
        assert!(filler.len() < 1_000, "the backlog fills up");
    }
    let more = format!(
        "fleet: {{connect_timeout: 300ms, health_interval: 60s}}\nmodels:\n  - {{id: m, type: chat, deployments: \
         [{{name: d, url: 'http://{address}/v1', engine: openai, hosting: state}}]}}\n"
    );
    let app = TestApp::start(&more).await;
    let key = app.key("A", "internal").await;
    let started = Instant::now();
    let (status, answer) = app.chat(&key, "m").await;
    assert_eq!((status, answer["error"]["code"].as_str()), (502, Some("upstream_error")), "{answer}");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_before_the_first_byte_has_its_limit() {
    let engine = FakeEngine::start().await;
    engine.script(faults::never());
    let one = [deployment("d", &engine, ", first_byte_timeout: 300ms")];
    let app = TestApp::start(&format!("models:\n{}", model("m", &one, ""))).await;
    let key = app.key("A", "internal").await;
    for (count, body) in [(1, chat("m")), (2, streamed("m"))] {
        let started = Instant::now();
        let (status, answer) = app.post("/v1/chat/completions", &key.secret, &body).await;
        assert_eq!((status, answer["error"]["code"].as_str()), (504, Some("upstream_timeout")), "{answer}");
        assert!((ms(300)..ms(3_000)).contains(&started.elapsed()), "{:?}", started.elapsed());
        let ended = engine.until(|counts| counts.streams.aborted + counts.answers.aborted == count).await;
        assert!(ended, "the engine is told to stop: {:?}", engine.counts());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_between_pieces_has_its_limit() {
    let engine = FakeEngine::start().await;
    engine.script(Chat::text("un deux trois quatre").cut(3, Ending::Silence));
    let one = [deployment("d", &engine, ", chunk_timeout: 300ms")];
    let app = TestApp::start(&format!("models:\n{}", model("m", &one, ""))).await;
    let key = app.key("A", "internal").await;
    let (status, text) = app.post("/v1/chat/completions", &key.secret, &streamed("m")).await;
    let text = text.as_str().expect("a stream");
    assert_eq!(status, 200, "{text}");
    let last = text.trim_end().rsplit("data: ").next().expect("an event");
    let last: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(last["error"]["code"], "upstream_timeout", "{text}");
    assert!(engine.until(|counts| counts.streams.aborted == 1).await, "{:?}", engine.counts());
    let record = app.records(1).await.remove(0);
    assert_eq!((&record["outcome"], &record["error_code"]), (&json!("cut"), &json!("upstream_timeout")), "{record:#}");
}

/// A stream may last far longer than either limit, as long as it goes on, and the client's connection is kept alive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_stream_has_no_total_time() {
    let engine = FakeEngine::start().await;
    engine.script(Chat::text("un deux trois quatre cinq six").delay(ms(250)));
    let one = [deployment("d", &engine, ", first_byte_timeout: 1s, chunk_timeout: 1s")];
    let server = "server: {listen: '127.0.0.1:0', keepalive: 100ms}\n";
    let app = TestApp::start(&format!("{server}models:\n{}", model("m", &one, ""))).await;
    let key = app.key("A", "internal").await;
    let started = Instant::now();
    let (status, text) = app.post("/v1/chat/completions", &key.secret, &streamed("m")).await;
    let text = text.as_str().expect("a stream");
    assert_eq!(status, 200, "{text}");
    assert!(started.elapsed() > ms(1_500), "{:?}", started.elapsed());
    assert!(text.ends_with("data: [DONE]\n\n") && text.contains(": keepalive\n\n"), "{text}");
}

/// An idle connection that the engine has closed is replaced, not reported.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_connection_is_replaced() {
    let engine = FakeEngine::start().await;
    let settings = "fleet: {health_interval: 60s, failures: 1000}\n";
    let one = [deployment("d", &engine, "")];
    let app = TestApp::start(&format!("{settings}models:\n{}", model("m", &one, ""))).await;
    let key = app.key("A", "internal").await;
    for _ in 0..5 {
        assert_eq!(app.chat(&key, "m").await.0, 200);
        engine.stop().await;
        engine.restart().await.expect("its port is free");
    }
    assert_eq!(engine.posts(), 5);
}
