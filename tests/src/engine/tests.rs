use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

async fn send(engine: &FakeEngine, path: &str, body: &Value) -> TcpStream {
    let body = body.to_string();
    let mut socket = TcpStream::connect(engine.address()).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nX-Mixed: Case\r\nContent-Length: {}\r\n\r\n", body.len());
    socket.write_all((head + &body).as_bytes()).await.unwrap();
    socket
}

/// Reads until the end, `[DONE]`'s chunk end, or a quarter second of silence.
async fn hear(mut socket: TcpStream) -> (String, std::io::Result<()>) {
    let mut heard = Vec::new();
    let mut end = Ok(());
    while let Ok(read) = tokio::time::timeout(Duration::from_millis(250), socket.read_buf(&mut heard)).await {
        match read {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                end = Err(error);
                break;
            }
        }
    }
    (String::from_utf8_lossy(&heard).into_owned(), end)
}

async fn chat(engine: &FakeEngine, body: Value) -> String {
    hear(send(engine, "/v1/chat/completions", &body).await).await.0
}

fn plain(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn events(answer: &str) -> Vec<Value> {
    answer
        .lines()
        .filter_map(|line| line.strip_prefix("data: {"))
        .map(|rest| serde_json::from_str(&format!("{{{rest}")).unwrap())
        .collect()
}

#[tokio::test]
async fn a_plain_answer_and_the_very_bytes_received() {
    let engine = FakeEngine::start().await;
    let body = json!({"model": "fake/plain", "messages": [], "top_k": 3});
    let answer = plain(&chat(&engine, body.clone()).await);
    assert_eq!(answer["choices"][0]["message"]["content"], faults::ANSWER);
    assert_eq!(answer["usage"]["prompt_tokens"], 12);
    let call = engine.last();
    assert_eq!(call.text(), body.to_string());
    assert!(call.head.starts_with(b"POST /v1/chat/completions HTTP/1.1\r\n"));
    assert_eq!(call.header("x-mixed"), Some("Case"));
    assert_eq!((engine.posts(), call.state()), (1, State::Finished));
}

#[tokio::test]
async fn usage_comes_when_asked_and_deltas_make_the_text() {
    let engine = FakeEngine::start().await;
    let silent = chat(&engine, json!({"model": "fake/plain", "stream": true})).await;
    assert!(silent.contains("data: [DONE]\n\n\r\n0\r\n\r\n") && !silent.contains("usage"), "{silent}");
    let events_silent = events(&silent);
    let text: String =
        events_silent.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, faults::ANSWER);
    assert_eq!(events_silent[0]["choices"][0]["delta"]["role"], "assistant");
    let asked = json!({"model": "fake/plain", "stream": true, "stream_options": {"include_usage": true}});
    let told = events(&chat(&engine, asked).await);
    assert_eq!(told.last().unwrap()["choices"], json!([]));
    assert_eq!(told.last().unwrap()["usage"]["completion_tokens"], told.len() as u64 - 3);
    assert_eq!(engine.counts().streams, Tally { finished: 2, ..Tally::default() });
}

#[tokio::test]
async fn tool_calls_come_in_pieces_and_follow_the_schema() {
    let engine = FakeEngine::start().await;
    let tool = |name: &str| {
        json!({"type": "function", "function": {"name": name, "parameters":
        {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}}})
    };
    let mut body = json!({"model": "fake/tools", "stream": true, "tools": [tool("sky"), tool("sea")],
        "tool_choice": {"type": "function", "function": {"name": "sea"}}});
    let told = events(&chat(&engine, body.clone()).await);
    let calls: Vec<&Value> = told
        .iter()
        .map(|event| &event["choices"][0]["delta"]["tool_calls"][0])
        .filter(|call| call.is_object())
        .collect();
    assert!(calls.len() > 3 && calls[0]["function"]["name"] == "sea" && calls[1]["function"]["name"].is_null());
    let arguments: String = calls.iter().filter_map(|call| call["function"]["arguments"].as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), json!({"city": "Paris", "days": 7}));
    assert_eq!(told.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
    body["stream"] = json!(false);
    let whole = plain(&chat(&engine, body).await);
    assert_eq!(whole["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], arguments);
}

#[tokio::test]
async fn a_caller_that_leaves_is_noticed_at_once() {
    let engine = FakeEngine::start().await;
    for reply in [
        Reply::from(Chat::text("a b c d").cut(2, Ending::Silence)),
        faults::never(),
        faults::endless_headers(),
        Chat::text("a").cut(1, Ending::Endless).into(),
        Chat::text("a").delay(ms(60_000)).into(),
    ] {
        engine.script(reply);
        engine.forget();
        let mut socket = send(&engine, "/v1/chat/completions", &json!({"stream": true})).await;
        assert!(engine.until(|counts| counts.streams.open == 1).await);
        let _ = tokio::time::timeout(ms(20), socket.read_buf(&mut Vec::new())).await;
        let left = Instant::now();
        drop(socket);
        assert!(engine.until(|counts| counts.streams.aborted == 1).await, "{:?}", engine.counts());
        assert!(engine.last().ended().unwrap().duration_since(left) < ms(50));
    }
}

#[tokio::test]
async fn streams_end_as_told() {
    let engine = FakeEngine::start().await;
    let error = json!({"error": {"message": "dead"}});
    let ask = json!({"stream": true});
    for (ending, reset, last, died) in [
        (Ending::Reset, true, "\r\n", 1),
        (Ending::Truncated, false, "\n\n\r\n", 1),
        (Ending::CleanEof, false, "0\r\n\r\n", 0),
        (Ending::Error(error), false, "0\r\n\r\n", 0),
    ] {
        engine.script(Chat::text("un deux trois").cut(2, ending.clone()));
        engine.forget();
        let (heard, end) = hear(send(&engine, "/v1/chat/completions", &ask).await).await;
        assert_eq!(end.is_err(), reset, "{ending:?}");
        assert!(
            heard.contains("un") && !heard.contains("deux") && !heard.contains("[DONE]") && heard.ends_with(last),
            "{heard}"
        );
        assert_eq!(heard.contains("dead"), matches!(ending, Ending::Error(_)));
        assert!(engine.until(|counts| counts.streams.died == died && counts.streams.open == 0).await);
    }
}

#[tokio::test]
async fn scripts_rank_queue_path_model_all_name() {
    let engine = FakeEngine::start().await;
    let say = |text: &str| Reply::json(200, &json!({"said": text}));
    engine.script(say("all"));
    engine.script_model("m", say("model"));
    engine.next(say("first"));
    engine.next(say("second").header("x-a", "b"));
    let ask = json!({"model": "m"});
    let mut said = Vec::new();
    for _ in 0..3 {
        said.push(plain(&chat(&engine, ask.clone()).await)["said"].clone());
    }
    said.push(plain(&chat(&engine, json!({})).await)["said"].clone());
    engine.script_path("/v1/chat/completions", say("path"));
    said.push(plain(&chat(&engine, ask.clone()).await)["said"].clone());
    engine.unscript();
    assert_eq!(said, ["first", "second", "model", "all", "path"]);
    assert_eq!(plain(&chat(&engine, ask).await)["object"], "chat.completion");
}

#[tokio::test]
async fn alternation_is_refused_as_templates_do() {
    let engine = FakeEngine::start().await;
    let message = |role: &str| json!({"role": role, "content": "x"});
    for (roles, status) in [
        (vec!["system", "user"], "200"),
        (vec!["user", "assistant", "user"], "200"),
        (vec!["system", "assistant", "user"], "400"),
        (vec!["user", "user"], "400"),
        (vec!["developer", "user"], "400"),
        (vec!["system", "system", "user"], "400"),
    ] {
        let messages: Vec<Value> = roles.iter().map(|role| message(role)).collect();
        let answer = chat(&engine, json!({"model": "fake/strict", "messages": messages})).await;
        assert_eq!(&answer[9..12], status, "{roles:?}");
    }
}

#[tokio::test]
async fn torn_streams_keep_their_bytes_and_a_connection_serves_again() {
    let engine = FakeEngine::start().await;
    let gate = Gate::closed();
    engine.next(Chat::text("été à Évry").torn(3).gate(1, &gate));
    let mut socket = send(&engine, "/v1/chat/completions", &json!({"stream": true})).await;
    assert!(!engine.until_within(ms(50), |counts| counts.streams.finished == 1).await);
    gate.open();
    assert!(engine.until(|counts| counts.streams.finished == 1).await);
    let body = "5\r\n{\"str\r\n0b\r\neam\":true}\n\r\n0\r\n\r\n";
    socket
        .write_all(format!("POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}").as_bytes())
        .await
        .unwrap();
    let (heard, _) = hear(socket).await;
    assert_eq!(heard.matches("HTTP/1.1 200").count(), 2);
    assert_eq!(engine.last().text(), "{\"stream\":true}\n");
    assert_eq!((engine.counts().connections, engine.last().connection), (1, 1));
}

#[tokio::test]
async fn vectors_and_ranks_tell_what_text_arrived() {
    let engine = FakeEngine::start().await;
    let ask = |extra: Value| {
        let mut body = json!({"model": "fake/embeddings", "input": ["un", "deux"]});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let floats = plain(&hear(send(&engine, "/v1/embeddings", &ask(json!({}))).await).await.0);
    let given: Vec<f32> = serde_json::from_value(floats["data"][1]["embedding"].clone()).unwrap();
    assert_eq!(given, vector("deux", 8));
    let base64 =
        plain(&hear(send(&engine, "/v1/embeddings", &ask(json!({"encoding_format": "base64"}))).await).await.0);
    assert_eq!(base64["data"][0]["embedding"].as_str().unwrap().len(), 44);
    let rank = json!({"model": "fake/rerank", "query": "eau pluie", "documents": ["rien", "de l'eau", "eau de pluie"], "top_n": 2});
    let ranked = plain(&hear(send(&engine, "/v1/rerank", &rank).await).await.0);
    assert_eq!(ranked["results"][0]["index"], 2);
    assert_eq!(ranked["results"].as_array().unwrap().len(), 2);
    let tei = plain(&hear(send(&engine, "/rerank", &json!({"query": "eau", "texts": ["rien", "eau"]})).await).await.0);
    assert_eq!(tei, json!([{"index": 1, "score": 1.0}, {"index": 0, "score": 0.0}]));
}

#[tokio::test]
async fn it_dies_comes_back_and_says_how_it_is() {
    let engine = FakeEngine::start().await;
    engine.script(faults::never());
    let open = send(&engine, "/v1/chat/completions", &json!({})).await;
    assert!(engine.until(|counts| counts.answers.open == 1).await);
    engine.stop().await;
    assert_eq!(engine.counts().answers.died, 1);
    assert!(TcpStream::connect(engine.address()).await.is_err());
    drop(open);
    engine.restart().await.unwrap();
    engine.set_healthy(false);
    let mut socket = TcpStream::connect(engine.address()).await.unwrap();
    socket.write_all(b"GET /health HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(hear(socket).await.0.starts_with("HTTP/1.1 503"));
    assert_eq!((engine.requests_to("/health"), engine.posts()), (1, 1));
}

#[tokio::test]
async fn every_named_fault_plays() {
    let engine = FakeEngine::start().await;
    for (name, starts) in [
        ("html", "HTTP/1.1 200"),
        ("html-502", "HTTP/1.1 502"),
        ("503", "HTTP/1.1 503"),
        ("422", "HTTP/1.1 422"),
        ("busy", "HTTP/1.1 429"),
        ("truncated", "HTTP/1.1 200"),
        ("huge-chunk", "HTTP/1.1 200"),
        ("nothing", "HTTP/1.1 404"),
        ("endless-headers", "HTTP/1.1 200"),
        ("error-in-200", "HTTP/1.1 200"),
        ("context", "HTTP/1.1 400"),
    ] {
        let mut socket =
            send(&engine, "/v1/chat/completions", &json!({"model": format!("fake/{name}"), "stream": true})).await;
        let mut heard = [0; 12];
        socket.read_exact(&mut heard).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&heard), starts, "{name}");
    }
}
