//! Streams cut, spelled and swollen in every way: what is whole arrives whole, what is not says so.

use std::time::Duration;

use serde_json::{Value, json};
use tests::engine::{Ending, FakeEngine, Reply, Sse, Step, faults, ms};
use tests::{Chat, Key, TestApp, chat, model};

use crate::hostile::{alive, clean};

const CHAT: &str = "/v1/chat/completions";

async fn gateway() -> (FakeEngine, TestApp, Key) {
    let engine = FakeEngine::start().await;
    let settings = "fleet: {failures: 1000000}\nserver: {listen: '127.0.0.1:0', answer_limit: 8MiB}\n";
    let lines =
        model("fake/plain", "chat", &engine.url(), "") + &model("m", "chat", &engine.url(), ", chunk_timeout: 1s");
    let app = TestApp::start(&format!("{settings}models:\n{lines}")).await;
    let key = app.key("A", "internal").await;
    (engine, app, key)
}

/// The text of a streamed chat.
async fn stream(app: &TestApp, key: &Key) -> String {
    let mut body = chat("m");
    body["stream"] = json!(true);
    let response = app.send(CHAT, &key.secret, &body).await;
    assert_eq!(response.status(), 200);
    let said = tokio::time::timeout(Duration::from_secs(20), response.text());
    said.await.expect("the stream ends").expect("a whole HTTP message")
}

fn chunks(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| panic!("{data}"))).collect()
}

fn content(text: &str) -> String {
    chunks(text)
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect()
}

fn delta(delta: Value, finish: Value) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "engine",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

/// « Été à Brest », in three chunks, with its end.
fn brest() -> Sse {
    let sse = Sse::new().event(&delta(json!({"role": "assistant", "content": ""}), Value::Null));
    let sse =
        ["Été", " à", " Brest"].iter().fold(sse, |sse, word| sse.event(&delta(json!({"content": word}), Value::Null)));
    sse.event(&delta(json!({}), json!("stop")))
}

/// The same as bytes, between others.
fn spelled(before: &[u8], after: &[u8]) -> Sse {
    let events =
        [json!({"role": "assistant", "content": "Été à Brest"})].map(|said| delta(said, Value::Null).to_string());
    let last = delta(json!({}), json!("stop"));
    Sse::new().raw([before, format!("data: {}\n\ndata: {last}", events[0]).as_bytes(), after].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_spelling_of_a_stream_arrives_whole() {
    let (engine, app, key) = gateway().await;
    let mut spellings: Vec<(String, Sse)> = vec![
        ("plain".into(), brest().done()),
        ("CR LF".into(), brest().done().crlf()),
        ("CR LF, byte by byte".into(), brest().done().crlf().torn(1)),
        ("all at once".into(), brest().done().glued()),
        ("without the end mark".into(), brest()),
        ("a byte-order mark".into(), spelled(b"\xef\xbb\xbf", b"\n\ndata: [DONE]\n\n")),
        ("a byte-order mark in pieces".into(), spelled(b"\xef\xbb\xbf", b"\n\ndata: [DONE]\n\n").torn(1)),
        ("no last empty line".into(), spelled(b"", b"\n\ndata: [DONE]")),
        ("no last line end at all".into(), spelled(b"", b"")),
        (
            "comments and fields".into(),
            spelled(b": hello\nretry: 3\n\nid: 7\nevent: message\n", b"\n\n: bye\n\ndata: [DONE]\n\n"),
        ),
        ("no space after the colon".into(), spelled(b"data:{\"choices\":[]}\n\n", b"\n\ndata:[DONE]\n\n")),
        ("words after the end".into(), spelled(b"", b"\n\ndata: [DONE]\n\ndata: EngineCore\n\n")),
    ];
    spellings.extend((1..40).map(|size| (format!("pieces of {size}"), brest().done().torn(size))));
    for (name, sse) in &spellings {
        engine.script_model("m", sse.clone());
        let text = stream(&app, &key).await;
        assert_eq!(content(&text), "Été à Brest", "{name}: {text}");
        assert!(text.ends_with("data: [DONE]\n\n") && text.matches("[DONE]").count() == 1, "{name}: {text}");
        assert!(chunks(&text).iter().all(|chunk| chunk["model"] == "m" && chunk["error"].is_null()), "{name}: {text}");
        clean(name, &text);
    }
    for record in app.records(spellings.len()).await {
        assert_eq!(record["outcome"], "success", "{record:#}");
    }
}

/// An event may be larger than a megabyte; it arrives as it was, in one mode or the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_larger_than_a_megabyte_arrives() {
    let (engine, app, key) = gateway().await;
    engine.script_model("m", faults::huge_chunk(2 << 20));
    let text = stream(&app, &key).await;
    let said = content(&text);
    assert_eq!((said.chars().filter(|c| *c == 'é').count(), said.len()), (1 << 20, (2 << 20) + 10));
    assert!(text.ends_with("data: [DONE]\n\n"));
    let (status, answer) = app.chat(&key, "m").await;
    assert_eq!(status, 200);
    assert_eq!(answer["choices"][0]["message"]["content"], said.as_str());
}

/// Whatever breaks after the first byte, the last event is the error, and it says nothing of the inside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_in_the_middle_says_so_last() {
    let (engine, app, key) = gateway().await;
    let error =
        json!({"error": {"message": "EngineCore died at 10.0.3.7:8000", "type": "InternalServerError", "code": 500}});
    let words = || Chat::text("un deux trois quatre cinq");
    let opened = || Sse::new().event(&delta(json!({"role": "assistant", "content": "un"}), Value::Null));
    let endless = delta(json!({"content": "encore "}), Value::Null);
    let cases: Vec<(&str, &str, Reply)> = vec![
        ("a reset", "upstream_error", words().cut(3, Ending::Reset).into()),
        ("a close", "upstream_error", words().cut(3, Ending::Truncated).into()),
        ("an end in order", "upstream_error", words().cut(3, Ending::CleanEof).into()),
        ("an error", "upstream_error", words().cut(3, Ending::Error(error.clone())).into()),
        ("an error, then the end mark", "upstream_error", words().cut(3, Ending::ErrorThenDone(error)).into()),
        ("silence", "upstream_timeout", words().cut(3, Ending::Silence).into()),
        ("garbage", "upstream_error", opened().raw("data: }{ EngineCore\n\n").done().into()),
        ("no UTF-8", "upstream_error", opened().raw(&b"data: {\"choices\": \xff}\n\n"[..]).done().into()),
        ("a page", "upstream_error", opened().raw("data: <html>nginx</html>\n\n").done().into()),
        ("half an event", "upstream_error", opened().raw("data: {\"choices\": [{\"ind").truncate().into()),
        ("a broken HTTP chunk", "upstream_error", broken_chunk(&delta(json!({"content": "un"}), Value::Null))),
        ("no end", "upstream_error", opened().forever(&endless, ms(0)).into()),
        ("an event without end", "upstream_error", event_without_end(&delta(json!({"content": "un"}), Value::Null))),
    ];
    let count = cases.len();
    for (name, code, reply) in cases {
        engine.script_model("m", reply);
        let text = stream(&app, &key).await;
        let chunks = chunks(&text);
        let last = chunks.last().expect("an event");
        assert_eq!(last["error"]["code"], code, "{name}: {last}");
        assert_eq!(last["detail"], last["error"]["message"], "{name}");
        assert!(!text.contains("[DONE]"), "{name}");
        assert!(chunks[..chunks.len() - 1].iter().all(|chunk| chunk["error"].is_null()), "{name}");
        assert!(text.len() < (9 << 20), "{name}: {} bytes", text.len());
        clean(name, &text[..text.len().min(20_000)]);
        clean(name, &last.to_string());
        assert!(engine.until(|counts| counts.streams.open == 0).await, "{name}: the engine goes on");
        alive(name, &app, &key).await;
    }
    let records = app.records(2 * count).await;
    assert_eq!(records.iter().filter(|record| record["outcome"] == "cut").count(), count, "{records:#?}");
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn in_chunk(bytes: &str) -> String {
    format!("{:x}\r\n{bytes}\r\n", bytes.len())
}

fn broken_chunk(first: &Value) -> Reply {
    let bytes = format!("{HEAD}{}not a size\r\nEngineCore\r\n", in_chunk(&format!("data: {first}\n\n")));
    Reply::Raw(vec![Step::Send(bytes.into())])
}

/// A line that never ends, sent as fast as it is read.
fn event_without_end(first: &Value) -> Reply {
    let head = format!("{HEAD}{}{}", in_chunk(&format!("data: {first}\n\n")), in_chunk("data: {\"choices\": \""));
    let filler = in_chunk(&"a".repeat(1 << 16)).into();
    Reply::Raw(vec![Step::Send(head.into()), Step::Repeat { bytes: filler, every: ms(0), times: u64::MAX }])
}
