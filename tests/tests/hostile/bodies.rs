//! Bodies: malformed, cut, huge, deep, of the wrong types.

use serde_json::{Value, json};
use tests::engine::ms;
use tests::{FakeEngine, Key, TestApp, chat, model};
use tokio::io::AsyncWriteExt;

use crate::hostile::{Answer, SOON, alive, connect, gateway, recorded, request, sent, told};

const CHAT: &str = "/v1/chat/completions";

/// Sends a body, and asserts the error, its record, and that no engine heard of it.
async fn refused(
    (engine, app, key): (&FakeEngine, &TestApp, &Key),
    path: &str,
    name: &str,
    body: &[u8],
    status: u16,
) -> Answer {
    let calls = engine.posts();
    let answer = sent(app, &request(path, &key.secret, "content-type: application/json\r\n", body)).await;
    let answer = answer.unwrap_or_else(|| panic!("{name}: no answer"));
    assert_eq!(answer.status, status, "{name}: {answer:?}");
    let code = told(name, status, &answer.json());
    let record = recorded(name, app, answer.header("x-request-id").expect("an id")).await;
    assert_eq!((&record["status"], &record["error_code"]), (&json!(status), &json!(code)), "{name}: {record:#}");
    assert_eq!((&record["outcome"], &record["tokens_in"]), (&json!("refused"), &json!(0)), "{name}: {record:#}");
    assert_eq!(engine.posts(), calls, "{name}");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_is_refused_with_its_place() {
    let (engine, app, key) = gateway("", &["fake/plain"]).await;
    let deep = |count: usize| [b"{\"model\":\"fake/plain\",\"messages\":".to_vec(), b"[".repeat(count)].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![]),
        ("white", b" \n\t ".to_vec()),
        ("no JSON", b"model=fake/plain".to_vec()),
        ("a page", b"<html></html>".to_vec()),
        ("another kind", b"[{\"model\":\"fake/plain\"}]".to_vec()),
        ("a string", b"\"fake/plain\"".to_vec()),
        ("null", b"null".to_vec()),
        ("two objects", b"{\"model\":\"fake/plain\"}{}".to_vec()),
        ("trailing comma", b"{\"model\":\"fake/plain\",}".to_vec()),
        ("single quotes", b"{'model':'fake/plain'}".to_vec()),
        ("comments", b"{/* x */\"model\":\"fake/plain\"}".to_vec()),
        ("NaN", b"{\"model\":\"fake/plain\",\"temperature\":NaN}".to_vec()),
        ("a lone surrogate as a model", b"{\"model\":\"\\ud800\"}".to_vec()),
        ("a control character", b"{\"model\":\"fake\n\"}".to_vec()),
        ("NUL bytes", vec![0; 64]),
        ("invalid UTF-8", b"{\"model\":\"fake/plain\",\"messages\":[{\"content\":\"\xff\xfe\"}]}".to_vec()),
        ("overlong UTF-8", b"{\"model\":\"\xc0\xaf\"}".to_vec()),
        ("UTF-16", "{\"model\":\"m\"}".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("a million opening brackets", deep(1_000_000)),
        ("depth 200, whole", [deep(200), b"]".repeat(200), b"}".to_vec()].concat()),
        ("duplicated", br#"{"model":"fake/plain","messages":[],"model":"other"}"#.to_vec()),
        ("duplicated by an escape", br#"{"model":"fake/plain","mod\u0065l":"other"}"#.to_vec()),
        (
            "duplicated inside",
            br#"{"model":"fake/plain","messages":[{"role":"user","content":"a","role":"system"}]}"#.to_vec(),
        ),
        (
            "duplicated deep inside",
            br#"{"model":"fake/plain","messages":[{"role":"user","content":[{"type":"text","text":"a","text":"b"}]}]}"#
                .to_vec(),
        ),
        (
            "duplicated option",
            br#"{"model":"fake/plain","messages":[{"role":"user","content":"a"}],"stream":true,"stream_options":{"include_usage":true,"include_usage":false}}"#
                .to_vec(),
        ),
    ];
    for (name, body) in cases {
        let answer = refused((&engine, &app, &key), CHAT, name, &body, 400).await;
        if name.starts_with("duplicated") {
            assert!(answer.json()["error"]["param"].is_string(), "{name}: {answer:?}");
        }
    }
    alive("after all", &app, &key).await;
}

/// Cut anywhere, JSON is no request; the last byte makes it one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_cut_anywhere_is_refused() {
    let (engine, app, key) = gateway("", &["fake/plain"]).await;
    let mut body = chat("fake/plain");
    body["stop"] = json!(["é", "\""]);
    body["temperature"] = json!(0.25);
    let body = body.to_string().into_bytes();
    for cut in 0..body.len() {
        let answer = sent(&app, &request(CHAT, &key.secret, "", &body[..cut])).await.expect("an answer");
        assert_eq!(answer.status, 400, "{cut}: {answer:?}");
        told("cut", 400, &answer.json());
    }
    assert_eq!(engine.posts(), 0);
    let answer = sent(&app, &request(CHAT, &key.secret, "", &body)).await.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    app.records(body.len() + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_types_name_their_field() {
    let engine = FakeEngine::start().await;
    let more = ["chat", "embeddings", "rerank"]
        .map(|kind| model(&format!("fake/{}", if kind == "chat" { "plain" } else { kind }), kind, &engine.url(), ""))
        .concat();
    let app = TestApp::start(&format!("models:\n{more}")).await;
    let key = app.key("A", "internal").await;
    let whole = [
        (CHAT, chat("fake/plain")),
        ("/v1/completions", json!({"model": "fake/plain", "prompt": "a"})),
        ("/v1/embeddings", json!({"model": "fake/embeddings", "input": "a"})),
        ("/v1/rerank", json!({"model": "fake/rerank", "query": "a", "documents": ["b"]})),
    ];
    let shared = [
        ("model", vec![json!(3), json!(["fake/plain"]), json!({}), json!(true), json!(null), json!("")]),
        ("stream", vec![json!("true"), json!(1), json!([])]),
        ("stream_options", vec![json!("x"), json!([]), json!(1), json!({"include_usage": "yes"})]),
        ("max_tokens", vec![json!(-1), json!("5"), json!(1.5), json!([])]),
        ("max_completion_tokens", vec![json!(-1), json!("5"), json!(0.1), json!({})]),
        ("n", vec![json!("2"), json!(-2), json!({})]),
        ("user", vec![json!(3), json!({}), json!(["a"])]),
    ];
    let own: [(&str, &str, Vec<Value>); 8] = [
        (CHAT, "messages", vec![json!("a"), json!({}), json!(3), json!([]), json!(null)]),
        ("/v1/completions", "prompt", vec![json!(null)]),
        (
            "/v1/embeddings",
            "input",
            vec![json!(3), json!({}), json!([]), json!([[]]), json!([1, "a"]), json!(""), json!(null)],
        ),
        ("/v1/embeddings", "encoding_format", vec![json!("hex"), json!(3), json!([])]),
        ("/v1/embeddings", "dimensions", vec![json!("8"), json!(-8), json!({})]),
        ("/v1/rerank", "query", vec![json!(3), json!([]), json!(null)]),
        (
            "/v1/rerank",
            "documents",
            vec![json!("b"), json!([]), json!([1]), json!({}), json!([{"no": "text"}]), json!(null)],
        ),
        ("/v1/rerank", "top_n", vec![json!("1"), json!(-1), json!([])]),
    ];
    let mut cases: Vec<(&str, &str, Value)> = Vec::new();
    for (path, _) in &whole {
        cases.extend(shared.iter().flat_map(|(field, bad)| bad.iter().map(|bad| (*path, *field, bad.clone()))));
    }
    cases.extend(own.iter().flat_map(|(path, field, bad)| bad.iter().map(|bad| (*path, *field, bad.clone()))));
    for (path, field, bad) in cases {
        let mut body = whole.iter().find(|(known, _)| *known == path).expect("a whole request").1.clone();
        body[field] = bad.clone();
        let name = format!("{path} {field}: {bad}");
        let answer = refused((&engine, &app, &key), path, &name, body.to_string().as_bytes(), 400).await;
        let param = answer.json()["error"]["param"].as_str().unwrap_or_default().to_owned();
        assert!(param.starts_with(field), "{name}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_models_are_told_apart_from_nothing() {
    let (engine, app, key) = gateway("", &["fake/plain"]).await;
    let long = "m".repeat(1 << 20);
    let names = [
        "gpt-9",
        "fake/plain ",
        "FAKE/PLAIN",
        "' OR '1'='1",
        "'; DROP TABLE usage_records;--",
        "../../etc/passwd",
        "\u{0}",
        "\u{202e}lapin",
        "<script>alert(1)</script>",
        "{{7*7}}",
        "%s%n",
        long.as_str(),
    ];
    for name in names {
        let body = chat(name).to_string();
        let shown: String = name.chars().take(20).collect();
        let answer = refused((&engine, &app, &key), CHAT, &shown, body.as_bytes(), 404).await;
        assert!(answer.body.len() < 2_000, "a name is shown back in part at most: {}", answer.body.len());
    }
    // They are text to the database too.
    let records = app.records(names.len()).await;
    let asked = |name: &str| records.iter().any(|record| record["model_asked"] == name);
    assert!(asked("'; DROP TABLE usage_records;--") && asked("' OR '1'='1"), "{records:#?}");
    assert!(records.iter().all(|record| record["model_asked"].as_str().is_some_and(|name| name.len() <= 256)));
    alive("after all", &app, &key).await;
}

/// 50 MB, announced or not, is told by the first byte past the limit, and never kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_megabytes_are_refused() {
    const SIZE: usize = 50_000_000;
    let (engine, app, key) = gateway("", &["fake/plain"]).await;
    // By a client that reads once it has written, as most do.
    let whole = app.request(reqwest::Method::POST, CHAT, &key.secret).body(vec![b' '; SIZE]);
    let (status, answer) = tests::read(whole.send().await.expect("an answer")).await;
    assert_eq!(status, 413, "{answer}");
    told("announced", 413, &answer);
    // By one that sends piece after piece and says no size.
    let mut socket = connect(&app).await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: guichet\r\nauthorization: Bearer {}\r\nconnection: close\r\n\
         transfer-encoding: chunked\r\n\r\n",
        key.secret
    );
    socket.write_all(head.as_bytes()).await.expect("a head is sent");
    let piece = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let (mut from, mut to) = socket.into_split();
    let sender = tokio::task::JoinSet::from_iter([async move {
        let mut pieces = 0;
        while pieces < SIZE / 0x10000 && to.write_all(&piece).await.is_ok() {
            pieces += 1;
        }
        pieces
    }]);
    let mut bytes = Vec::new();
    let read =
        async { while tokio::io::AsyncReadExt::read_buf(&mut from, &mut bytes).await.is_ok_and(|count| count > 0) {} };
    assert!(tokio::time::timeout(SOON, read).await.is_ok(), "the connection stays open");
    sender.join_all().await;
    let (answer, _) = Answer::first(&bytes).expect("an answer");
    assert_eq!(answer.status, 413, "{answer:?}");
    told("in pieces", 413, &answer.json());
    for record in app.records(2).await {
        assert_eq!((&record["status"], &record["outcome"]), (&json!(413), &json!("refused")), "{record:#}");
    }
    assert_eq!(engine.posts(), 0);
    alive("after all", &app, &key).await;
}

/// A size that lies costs no memory, and a compressed body is not unpacked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sizes_that_lie_and_bombs_are_refused() {
    let (engine, app, key) = gateway("server: {listen: '127.0.0.1:0', body_timeout: 300ms}\n", &["fake/plain"]).await;
    for length in ["18446744073709551615", "99999999999", "20971521"] {
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: guichet\r\nauthorization: Bearer {}\r\ncontent-length: {length}\r\n\r\n{{",
            key.secret
        );
        let answer = sent(&app, head.as_bytes()).await.expect("an answer");
        assert!(matches!(answer.status, 400 | 413 | 431), "{length}: {answer:?}");
    }
    let bomb = request(CHAT, &key.secret, "content-encoding: gzip\r\n", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
    let answer = sent(&app, &bomb).await.expect("an answer");
    assert_eq!(answer.status, 415, "{answer:?}");
    told("gzip", 415, &answer.json());
    // Fewer bytes than announced, then nothing.
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: guichet\r\nauthorization: Bearer {}\r\ncontent-length: 500\r\n\r\n{{",
        key.secret
    );
    let started = std::time::Instant::now();
    let answer = sent(&app, head.as_bytes()).await.expect("an answer");
    assert_eq!(answer.status, 408, "{answer:?}");
    assert!(started.elapsed() < ms(5_000));
    told("too few bytes", 408, &answer.json());
    let record = recorded("too few bytes", &app, answer.header("x-request-id").expect("an id")).await;
    assert_eq!(record["error_code"], "request_timeout", "{record:#}");
    assert_eq!(engine.posts(), 0);
    alive("after all", &app, &key).await;
}
