//! Server-sent events: their order, what they hold, and how they end.

use std::time::Duration;

use serde_json::{Value, json};
use tests::engine::faults::{ANSWER, THOUGHT};
use tests::engine::{Chat, Gate, Sse, Usage};
use tests::model;

use crate::wire::{Wire, events, header, hello, joined, streamed, with};

/// Role, content, finish, `[DONE]`; and nothing without choices.
#[tokio::test]
async fn a_stream_is_role_content_finish_and_done() {
    let wire = Wire::of(&["fake/plain"]).await;
    let text = wire.stream(&hello("fake/plain")).await;
    let events = events(&text);
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant", "{text}");
    assert_eq!(joined(&text, "content"), ANSWER);
    let finishes: Vec<usize> =
        (0..events.len()).filter(|at| events[*at]["choices"][0]["finish_reason"].is_string()).collect();
    assert_eq!(finishes, [events.len() - 1], "{text}");
    assert!(events.iter().all(|event| event["object"] == "chat.completion.chunk" && event["choices"].is_array()));
    assert!(text.ends_with("data: [DONE]\n\n") && text.matches("[DONE]").count() == 1, "{text}");
}

/// Whatever the engine does on its own: none of four habits adds a chunk that nobody asked for, and each gives one that is
/// asked for.
#[tokio::test]
async fn usage_chunk_only_when_asked() {
    let wire = Wire::of(&["fake/plain"]).await;
    for habit in [Usage::WhenAsked, Usage::Always, Usage::InFinish, Usage::EveryChunk, Usage::Never] {
        wire.engine.script_model("fake/plain", Chat::text("un deux trois").usage(habit));
        for options in [json!(null), json!({}), json!({"include_usage": false}), json!({"include_usage": null})] {
            let text = wire.stream(&with(&hello("fake/plain"), &json!({"stream_options": options}))).await;
            let events = events(&text);
            assert!(events.iter().all(|event| event["choices"][0]["index"] == 0), "{habit:?} {options}: {text}");
            assert_eq!(joined(&text, "content"), "un deux trois");
            assert_eq!(wire.engine.last().json()["stream_options"]["include_usage"], true, "asked for the record");
        }
        let text = wire.stream(&with(&hello("fake/plain"), &json!({"stream_options": {"include_usage": true}}))).await;
        let events = events(&text);
        let (last, rest) = events.split_last().expect("chunks");
        assert!(last["choices"] == json!([]) && last["usage"]["prompt_tokens"].as_u64() > Some(0), "{habit:?}: {text}");
        assert!(rest.iter().all(|event| event["choices"][0]["index"] == 0), "{habit:?}: {text}");
        let finish = rest.last().expect("a finish chunk");
        assert_eq!(finish["choices"][0]["finish_reason"], "stop", "{habit:?}: {text}");
        assert!(finish.get("usage").is_none(), "{habit:?}: told once, since some clients add up: {text}");
        assert!(text.ends_with("data: [DONE]\n\n"), "{habit:?}: {text}");
    }
    let records = wire.app.records(25).await;
    let estimated = records.iter().filter(|record| record["tokens_estimated"] == true).count();
    assert_eq!(estimated, 5, "only the engine that never counts");
}

/// Options of the stream that only the engine knows stay beside the one that is added.
#[tokio::test]
async fn other_stream_options_reach_the_engine() {
    let wire = Wire::of(&["fake/plain"]).await;
    wire.stream(&with(&hello("fake/plain"), &json!({"stream_options": {"continuous_usage_stats": true}}))).await;
    let wanted = json!({"continuous_usage_stats": true, "include_usage": true});
    assert_eq!(wire.engine.last().json()["stream_options"], wanted);
}

/// An engine that knows no such options never sees them; the usage is given all the same.
#[tokio::test]
async fn an_engine_that_knows_no_stream_options_gets_none() {
    let wire = Wire::set(|url| {
        format!("  - {{id: fake/usage-in-finish, type: chat, deployments: [{{name: d, url: '{url}', engine: mistral, hosting: state}}]}}\n")
    })
    .await;
    let asked = with(&hello("fake/usage-in-finish"), &json!({"stream_options": {"include_usage": true}}));
    let text = wire.stream(&asked).await;
    assert!(wire.engine.last().json().get("stream_options").is_none());
    let last = events(&text).pop().expect("a usage chunk");
    assert!(last["choices"] == json!([]) && last["usage"]["prompt_tokens"] == 12, "{text}");
}

/// Id and name first, then pieces of the arguments, under integer indexes; the name is never repeated.
#[tokio::test]
async fn tool_calls_come_in_pieces() {
    let wire = Wire::of(&["fake/plain"]).await;
    let arguments = r#"{"city":"Saint-Étienne","days":7}"#;
    wire.engine.next(Chat::text("").tool("weather", arguments).tool("train", "{}"));
    let text = wire.stream(&hello("fake/plain")).await;
    let events = events(&text);
    for (index, name, wanted) in [(0, "weather", arguments), (1, "train", "{}")] {
        let deltas: Vec<&Value> = events
            .iter()
            .filter_map(|event| event["choices"][0]["delta"]["tool_calls"].as_array())
            .flatten()
            .filter(|call| call["index"].as_u64() == Some(index))
            .collect();
        let (first, rest) = deltas.split_first().unwrap_or_else(|| panic!("call {index} in {text}"));
        assert!(first["id"].is_string() && first["function"]["name"] == name, "{first}");
        assert!(rest.iter().all(|delta| delta["function"].get("name").is_none()), "{text}");
        let said: String = deltas.iter().filter_map(|delta| delta["function"]["arguments"].as_str()).collect();
        assert_eq!(said, wanted, "{text}");
    }
    assert_eq!(events.last().expect("a finish")["choices"][0]["finish_reason"], "tool_calls");
}

/// Thoughts come as `reasoning_content` while they are thought, whatever the engine's way and the pieces it cuts them in.
#[tokio::test]
async fn reasoning_streams_apart_from_the_content() {
    for (name, settings) in [
        ("fake/reasoning", ""),
        ("fake/reasoning-field", ", reasoning: engine"),
        ("fake/think-tags", ", reasoning: think_tags"),
        ("fake/think-unopened", ", reasoning: think_tags_opened"),
    ] {
        let wire = Wire::deployed(name, settings).await;
        let text = wire.stream(&hello(name)).await;
        assert_eq!(joined(&text, "content"), ANSWER, "{name}");
        assert_eq!(joined(&text, "reasoning_content").trim(), THOUGHT, "{name}");
        assert!(!text.contains("think>") && joined(&text, "reasoning").is_empty(), "{name}: {text}");
        assert_eq!(events(&text)[0]["choices"][0]["delta"]["role"], "assistant", "{name}");
    }
}

/// `<think>` text reaches the client before the model has finished thinking.
#[tokio::test]
async fn reasoning_is_not_held_back() {
    let wire = Wire::deployed("fake/plain", ", reasoning: think_tags").await;
    let gate = Gate::closed();
    wire.engine.next(Chat::pieces(&["<think>", "Je réfléchis", "…</think>", "Oui."]).gate(3, &gate));
    let body = with(&hello("fake/plain"), &json!({"stream": true}));
    let mut response = wire.app.send("/v1/chat/completions", &wire.key.secret, &body).await;
    let mut heard = String::new();
    while !heard.contains("Je réfléchis") {
        heard += &String::from_utf8_lossy(&response.chunk().await.expect("a stream").expect("more"));
    }
    gate.open();
    while let Some(piece) = response.chunk().await.expect("a stream") {
        heard += &String::from_utf8_lossy(&piece);
    }
    assert_eq!(
        (joined(&heard, "reasoning_content").as_str(), joined(&heard, "content").as_str()),
        ("Je réfléchis…", "Oui.")
    );
}

/// Each event leaves as it comes; nothing is compressed, even for who would take it, and no proxy is to gather it.
#[tokio::test]
async fn a_stream_is_neither_buffered_nor_compressed() {
    let wire = Wire::of(&["fake/plain"]).await;
    let gate = Gate::closed();
    wire.engine.next(Chat::pieces(&["un ", "deux"]).gate(2, &gate));
    let body = with(&hello("fake/plain"), &json!({"stream": true}));
    let request = wire.request(reqwest::Method::POST, "/v1/chat/completions").json(&body);
    let mut response = request.header("accept-encoding", "gzip, br, zstd").send().await.expect("an answer");
    for (name, wanted) in [
        ("content-encoding", ""),
        ("content-length", ""),
        ("cache-control", "no-cache, no-transform"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(header(&response, name), wanted, "{name}");
    }
    let mut heard = String::new();
    while !heard.contains("un ") {
        heard += &String::from_utf8_lossy(&response.chunk().await.expect("a stream").expect("more"));
    }
    assert_eq!(wire.engine.counts().streams.open, 1, "the engine still waits, the client has read");
    gate.open();
    while let Some(piece) = response.chunk().await.expect("a stream") {
        heard += &String::from_utf8_lossy(&piece);
    }
    assert_eq!(joined(&heard, "content"), "un deux");
}

/// What needs no change goes out as it came, whatever the frames it came in.
#[tokio::test]
async fn untouched_events_are_forwarded_byte_for_byte() {
    let wire = Wire::deployed("fake/plain", ", reasoning: none").await;
    let sent = "data: {\"id\":\"a\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"fake/plain\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"x\":1.50}]}\n\n\
        data: {\"id\":\"a\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"fake/plain\", \"choices\" : [{\"index\":0,\"delta\":{\"content\":\"\\u00e9t\u{e9}\"},\"token_ids\":[7]}]}\n\n\
        data: {\"id\":\"a\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"fake/plain\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
        data: [DONE]\n\n";
    for torn in [1, 7, 4_096] {
        wire.engine.next(Sse::new().raw(sent).torn(torn));
        assert_eq!(wire.stream(&hello("fake/plain")).await, sent, "in frames of {torn}");
    }
}

/// An engine that thinks for long does not make proxies cut the line; clients know comments.
#[tokio::test]
async fn keepalive_comments_come_while_the_engine_is_silent() {
    let server = "server: {listen: '127.0.0.1:0', keepalive: 30ms}";
    let wire = Wire::with(server, |url| model("fake/plain", "chat", url, "")).await;
    let gate = Gate::closed();
    wire.engine.next(Chat::pieces(&["un ", "deux"]).gate(2, &gate));
    let body = with(&hello("fake/plain"), &json!({"stream": true}));
    let mut response = wire.app.send("/v1/chat/completions", &wire.key.secret, &body).await;
    let mut heard = String::new();
    while heard.matches(": keepalive\n\n").count() < 2 {
        heard += &String::from_utf8_lossy(&response.chunk().await.expect("a stream").expect("more"));
    }
    gate.open();
    while let Some(piece) = response.chunk().await.expect("a stream") {
        heard += &String::from_utf8_lossy(&piece);
    }
    assert_eq!(joined(&heard, "content"), "un deux");
    assert!(heard.ends_with("data: [DONE]\n\n"), "{heard}");
}

/// However the engine dies after its first byte: an error event in one form, no `[DONE]`, so that clients raise.
#[tokio::test]
async fn a_cut_stream_ends_with_an_error_event_and_no_done() {
    let names = ["fake/cut", "fake/cut-truncated", "fake/cut-clean", "fake/error-event", "fake/error-then-done"];
    let wire = Wire::of(&names).await;
    for name in names {
        for (language, word) in [("fr", "Le moteur"), ("en", "The model’s engine")] {
            let body = with(&hello(name), &json!({"stream": true}));
            let request = wire.request(reqwest::Method::POST, "/v1/chat/completions").json(&body);
            let text = streamed(request.header("accept-language", language).send().await.expect("an answer")).await;
            let last = events(&text).pop().expect("an error event");
            let message = last["error"]["message"].as_str().unwrap_or_else(|| panic!("{name}: {text}"));
            assert!(message.starts_with(word), "{name}: {message}");
            let fields = (&last["error"]["type"], &last["error"]["code"], &last["error"]["param"]);
            assert_eq!(fields, (&json!("server_error"), &json!("upstream_error"), &Value::Null), "{name}: {text}");
            assert!(!text.contains("[DONE]") && !text.contains("10.0.3.7"), "{name}: {text}");
            assert!(!joined(&text, "content").is_empty(), "{name}: what came before the cut is there: {text}");
        }
    }
    assert_eq!(wire.engine.posts(), 2 * names.len() as u64, "nobody is asked again");
}

/// Silence is a death too.
#[tokio::test]
async fn a_silent_engine_is_cut_with_a_timeout() {
    let wire = Wire::deployed("fake/silence", ", chunk_timeout: 100ms").await;
    let text = wire.stream(&hello("fake/silence")).await;
    let last = events(&text).pop().expect("an error event");
    assert_eq!((&last["error"]["code"], &last["error"]["type"]), (&json!("upstream_timeout"), &json!("timeout_error")));
    assert!(!text.contains("[DONE]"), "{text}");
    assert!(wire.engine.until_within(Duration::from_secs(1), |counts| counts.streams.open == 0).await);
}

/// Every choice has said why it ended: whole, even if the engine forgot `[DONE]`.
#[tokio::test]
async fn a_finished_stream_gets_its_done() {
    let wire = Wire::of(&["fake/no-done"]).await;
    let text = wire.stream(&hello("fake/no-done")).await;
    assert_eq!(joined(&text, "content"), ANSWER);
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
}

/// Before the first byte, a failure is an HTTP status with JSON, never a stream.
#[tokio::test]
async fn a_failure_before_the_first_byte_is_a_real_status() {
    let failures = [
        ("fake/500", 502, "upstream_error"),
        ("fake/html", 502, "upstream_error"),
        ("fake/html-502", 502, "upstream_error"),
        ("fake/garbage", 502, "upstream_error"),
        ("fake/not-json", 502, "upstream_error"),
        ("fake/busy", 503, "model_busy"),
        ("fake/400", 400, "invalid_request_error"),
        ("fake/context", 400, "context_length_exceeded"),
    ];
    let wire = Wire::of(&failures.map(|(name, ..)| name)).await;
    for (name, status, code) in failures {
        let body = with(&hello(name), &json!({"stream": true}));
        let response = wire.app.send("/v1/chat/completions", &wire.key.secret, &body).await;
        assert_eq!(header(&response, "content-type"), "application/json", "{name}");
        let (seen, refused) = tests::read(response).await;
        assert_eq!((seen, &refused["error"]["code"]), (status, &json!(code)), "{name}: {refused}");
    }
    let error = json!({"error": {"message": "EngineCore at 10.0.3.7", "type": "InternalServerError", "code": 500}});
    wire.engine.next(Sse::new().event(&error).done());
    let (status, refused) = wire.chat(&with(&hello("fake/400"), &json!({"stream": true}))).await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (502, &json!("upstream_error")),
        "an error as first event: {refused}"
    );
}
