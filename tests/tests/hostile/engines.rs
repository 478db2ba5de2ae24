//! Engines that answer what no engine should: the client gets a clear error before the first byte, in either mode.

use serde_json::json;
use tests::engine::{Ending, Reply, Sse, Step, faults, ms};
use tests::{Chat, TestApp, chat, model, read};

use crate::hostile::{alive, recorded, told};

const CHAT: &str = "/v1/chat/completions";

/// A raw answer: these bytes, then the end of the connection.
fn raw(bytes: impl Into<Vec<u8>>) -> Reply {
    Reply::Raw(vec![Step::Send(bytes.into().into())])
}

fn plain(body: &str, more: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{more}\r\n{body}")
}

const GZIP: &[u8] = &[
    0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 0x03, 0xab, 0x56, 0x4a, 0xce, 0xc8, 0x2f, 0xce, 0x4c, 0x4e, 0x2d, 0x56, 0xb2,
    0x8a, 0x8e, 0xad, 0x05, 0,
];

/// Answers that are none, each with the status a client gets for it.
fn answers() -> Vec<(&'static str, u16, Reply)> {
    let error =
        json!({"error": {"message": "EngineCore died at 10.0.3.7:8000", "type": "InternalServerError", "code": 500}});
    let whole = r#"{"id":"c","model":"engine","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"oui"},"finish_reason":"stop"}]}"#;
    vec![
        ("bytes that are no HTTP", 502, faults::garbage()),
        ("a page", 502, faults::html(200)),
        ("a page of a proxy", 502, faults::html(502)),
        ("an error in a 200", 502, Reply::json(200, &error)),
        ("a text error in a 200", 502, Reply::whole(200, "text/plain", "CUDA out of memory on gpu-07")),
        ("half a JSON", 502, Reply::whole(200, "application/json", "{\"id\": \"c\", \"choices\": [{\"ind")),
        ("no choices", 502, Reply::json(200, &json!({"id": "c", "choices": []}))),
        ("another JSON", 502, Reply::json(200, &json!(["EngineCore"]))),
        ("nothing", 502, Reply::whole(200, "application/json", "")),
        ("no content", 502, Reply::whole(204, "application/json", "")),
        (
            "not UTF-8",
            502,
            Reply::whole(200, "application/json", &b"{\"choices\":[{\"message\":{\"content\":\"\xff\"}}]}"[..]),
        ),
        ("packed", 502, Reply::whole(200, "application/json", GZIP).header("content-encoding", "gzip")),
        ("a body shorter than it says", 502, faults::truncated()),
        ("a body longer than it says", 502, raw(plain(whole, "content-length: 20\r\n"))),
        ("two lengths", 502, raw(plain(whole, "content-length: 20\r\ncontent-length: 30\r\n"))),
        ("a length that is none", 502, raw(plain(whole, "content-length: many\r\n"))),
        ("a broken chunk", 502, raw(plain("zz\r\n{\"cho\r\n", "transfer-encoding: chunked\r\n"))),
        ("headers without end", 502, faults::endless_headers()),
        ("a header too long", 502, raw(plain(whole, &format!("x-filler: {}\r\n", "a".repeat(1 << 20))))),
        ("an upgrade", 502, raw("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")),
        ("HTTP of another age", 502, raw("HTTP/3.7 200 OK\r\n\r\n")),
        (
            "a redirection",
            502,
            Reply::json(307, &json!({})).header("location", "http://127.0.0.1:1/v1/chat/completions"),
        ),
        ("a loop of redirections", 502, Reply::json(301, &json!({})).header("location", "/v1/chat/completions")),
        (
            "a failure with its trace",
            502,
            Reply::whole(500, "text/plain", "Traceback (most recent call last):\n  File"),
        ),
        (
            "a teapot",
            400,
            Reply::json(418, &json!({"error": {"message": "Traceback in /srv/engine/app.py at gpu-07"}})),
        ),
        ("a reset", 502, Reply::Raw(vec![Step::Reset])),
        ("a close", 502, Reply::Raw(vec![Step::Close])),
        ("a rush", 503, faults::busy()),
        ("silence", 504, faults::never()),
        (
            "promises without end",
            504,
            Reply::Raw(vec![Step::Repeat {
                bytes: "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".into(),
                every: ms(1),
                times: u64::MAX,
            }]),
        ),
    ]
}

/// A gateway that gives an engine a second and four megabytes.
async fn bounded() -> (tests::FakeEngine, TestApp, tests::Key) {
    let engine = tests::FakeEngine::start().await;
    let settings = "fleet: {failures: 1000000}\nserver: {listen: '127.0.0.1:0', answer_limit: 4MiB}\n";
    let lines = model("fake/plain", "chat", &engine.url(), "")
        + &model("bad", "chat", &engine.url(), ", first_byte_timeout: 1s");
    let app = TestApp::start(&format!("{settings}models:\n{lines}")).await;
    let key = app.key("A", "internal").await;
    (engine, app, key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_answer_is_a_clear_failure() {
    let (engine, app, key) = bounded().await;
    for (name, status, reply) in answers() {
        engine.script_model("bad", reply);
        for stream in [false, true] {
            let name = format!("{name}, {}", if stream { "streamed" } else { "whole" });
            let mut body = chat("bad");
            body["stream"] = json!(stream);
            let response = app.send(CHAT, &key.secret, &body).await;
            let id = response.headers()["x-request-id"].to_str().expect("an id").to_owned();
            let kind = response.headers()["content-type"].to_str().expect("a type").to_owned();
            let (seen, answer) = read(response).await;
            assert_eq!((seen, kind.as_str()), (status, "application/json"), "{name}: {answer}");
            let code = told(&name, seen, &answer);
            let record = recorded(&name, &app, &id).await;
            let outcome = if status == 400 { "refused" } else { "error" };
            assert_eq!(record["outcome"], outcome, "{name}: {record:#}");
            assert_eq!(
                (&record["status"], &record["error_code"]),
                (&json!(status), &json!(code)),
                "{name}: {record:#}"
            );
            assert!(engine.until(|counts| counts.streams.open + counts.answers.open == 0).await, "{name}: left open");
        }
        alive(name, &app, &key).await;
    }
}

/// What is odd and yet an answer is given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_odd_and_whole_is_an_answer() {
    let (engine, app, key) = bounded().await;
    let whole = r#"{"id":"c","model":"engine","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"oui"},"finish_reason":"stop"}]}"#;
    for (name, reply) in [
        ("no length", raw(plain(whole, ""))),
        ("hints first", raw(format!("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n{}", plain(whole, "")))),
        ("to be continued", raw(format!("HTTP/1.1 100 Continue\r\n\r\n{}", plain(whole, "")))),
        ("old HTTP", raw(plain(whole, "").replacen("1.1", "1.0", 1))),
        ("another type", Reply::whole(200, "text/plain", whole)),
        ("a plain coding", Reply::whole(200, "application/json", whole).header("content-encoding", "identity")),
        ("white space", Reply::whole(200, "application/json", format!("\n\n {whole} \n"))),
        (
            "headers of its own",
            Reply::whole(200, "application/json", whole).header("set-cookie", "a=b").header("server", "nginx"),
        ),
    ] {
        engine.script_model("bad", reply);
        let response = app.send(CHAT, &key.secret, &chat("bad")).await;
        for header in ["set-cookie", "server", "link"] {
            assert!(!response.headers().contains_key(header), "{name}: an engine's {header} is its own");
        }
        let (status, answer) = read(response).await;
        assert_eq!(status, 200, "{name}: {answer}");
        assert_eq!(answer["choices"][0]["message"]["content"], "oui", "{name}: {answer}");
        assert_eq!(answer["model"], "bad", "{name}: {answer}");
        assert!(answer["usage"]["total_tokens"].as_u64() > Some(0), "{name}: {answer}");
    }
}

/// A whole answer without end is cut at its bound, and the engine told to stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_answer_is_bounded() {
    let (engine, app, key) = bounded().await;
    engine.script_model("bad", faults::endless_body());
    let (status, answer) = app.chat(&key, "bad").await;
    assert_eq!(status, 502, "{answer}");
    told("endless", status, &answer);
    assert!(engine.until(|counts| counts.answers.aborted == 1).await, "{:?}", engine.counts());
    alive("endless", &app, &key).await;
}

/// Streams that open with what is no stream fail like answers that are none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_opens_wrong_has_not_begun() {
    let (engine, app, key) = bounded().await;
    let error = json!({"error": {"message": "EngineCore died at 10.0.3.7:8000", "code": 500}});
    for (name, reply) in [
        ("an error", Reply::from(Chat::text("a b").cut(0, Ending::Error(error.clone())))),
        ("an error, then the end mark", Chat::text("a b").cut(0, Ending::ErrorThenDone(error.clone())).into()),
        ("an error event", Sse::new().named("error", "CUDA out of memory on gpu-07").into()),
        ("an error in pieces", Sse::new().event(&error).torn(1).into()),
        ("garbage", faults::garbage_stream()),
        ("garbage in pieces", Sse::new().data("EngineCore").done().torn(3).into()),
        ("JSON of another kind", Sse::new().data("[1, 2]").into()),
        ("nothing", Sse::new().into()),
        ("only comments", Sse::new().comment("ping").comment("ping").into()),
        ("only the end mark", Sse::new().done().into()),
        ("a page", Sse::new().raw("<html>nginx</html>").into()),
        ("a whole answer", Reply::json(200, &json!({"choices": [{"message": {"content": "oui"}}]}))),
        ("packed", Reply::whole(200, "text/event-stream", GZIP).header("content-encoding", "gzip")),
    ] {
        engine.script_model("bad", reply);
        let mut body = chat("bad");
        body["stream"] = json!(true);
        let response = app.send(CHAT, &key.secret, &body).await;
        let id = response.headers()["x-request-id"].to_str().expect("an id").to_owned();
        let (status, answer) = read(response).await;
        assert_eq!(status, 502, "{name}: {answer}");
        told(name, status, &answer);
        assert_eq!(recorded(name, &app, &id).await["outcome"], "error", "{name}");
        alive(name, &app, &key).await;
    }
}

/// Vectors and scores that are none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vectors_and_scores_that_are_none_fail() {
    let engine = tests::FakeEngine::start().await;
    let lines = model("v", "embeddings", &engine.url(), "") + &model("r", "rerank", &engine.url(), "");
    let app = TestApp::start(&format!("fleet: {{failures: 1000000}}\nmodels:\n{lines}")).await;
    let key = app.key("A", "internal").await;
    let vector = json!({"model": "v", "input": ["a", "b"]});
    let score = json!({"model": "r", "query": "a", "documents": ["b", "c"]});
    let one = json!({"index": 0, "embedding": [0.5]});
    let cases = [
        ("/v1/embeddings", &vector, json!({"data": [one]})),
        ("/v1/embeddings", &vector, json!({"data": [one, one, one]})),
        ("/v1/embeddings", &vector, json!({"data": [one, {"index": 1, "embedding": "*"}]})),
        ("/v1/embeddings", &vector, json!({"data": [one, {"index": 1}]})),
        ("/v1/embeddings", &vector, json!({"data": {}})),
        ("/v1/embeddings", &vector, json!({"error": {"message": "CUDA"}})),
        ("/v1/rerank", &score, json!([])),
        ("/v1/rerank", &score, json!({"results": [{"index": 2, "relevance_score": 1.0}]})),
        ("/v1/rerank", &score, json!({"results": [{"index": -1, "relevance_score": 1.0}]})),
        ("/v1/rerank", &score, json!({"results": [{"index": 0, "relevance_score": "high"}]})),
        ("/v1/rerank", &score, json!({"results": 3})),
        ("/v1/rerank", &score, json!("CUDA")),
    ];
    let count = cases.len();
    for (path, body, said) in cases {
        engine.script(Reply::json(200, &said));
        let (status, answer) = app.post(path, &key.secret, body).await;
        assert_eq!(status, 502, "{said}: {answer}");
        told(path, status, &answer);
    }
    for record in app.records(count).await {
        assert_eq!(record["outcome"], "error", "{record:#}");
    }
    engine.unscript();
    let (status, answer) = app.post("/v1/embeddings", &key.secret, &vector).await;
    assert_eq!(status, 200, "{answer}");
}
