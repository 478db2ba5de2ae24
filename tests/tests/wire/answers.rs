//! Whole answers, and what every answer carries.

use reqwest::Method;
use serde_json::{Value, json};
use tests::engine::faults::{ANSWER, THOUGHT};
use tests::engine::{Chat, Reply};

use crate::wire::{Wire, header, hello, with};

/// Success, refusal, stream, page, and what never reached a handler.
#[tokio::test]
async fn a_request_id_is_on_every_answer() {
    let wire = Wire::of(&["fake/plain", "fake/500"]).await;
    let stream = with(&hello("fake/plain"), &json!({"stream": true}));
    let mut ids = Vec::new();
    for (method, path, key, body, status) in [
        (Method::POST, "/v1/chat/completions", wire.key.secret.as_str(), hello("fake/plain"), 200),
        (Method::POST, "/v1/chat/completions", &wire.key.secret, stream, 200),
        (Method::POST, "/v1/chat/completions", &wire.key.secret, hello("fake/500"), 502),
        (Method::POST, "/v1/chat/completions", &wire.key.secret, hello("fake/nowhere"), 404),
        (Method::POST, "/v1/chat/completions", "wrong", hello("fake/plain"), 401),
        (Method::GET, "/v1/nowhere", &wire.key.secret, json!({}), 404),
        (Method::DELETE, "/v1/chat/completions", &wire.key.secret, json!({}), 405),
        (Method::GET, "/health", "", json!({}), 200),
        (Method::GET, "/reference", "", json!({}), 200),
        (Method::GET, "/openapi.json", "", json!({}), 200),
        (Method::GET, "/", "", json!({}), 200),
    ] {
        let response = wire.app.request(method, path, key).json(&body).send().await.expect("an answer");
        assert_eq!(response.status(), status, "{path} {body}");
        let id = header(&response, "x-request-id");
        assert!(id.starts_with("req_") && id.len() == 36, "{path}: {id}");
        ids.push(id);
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "no two alike");
}

/// The id a client sees is the one in its engine's log and in its record.
#[tokio::test]
async fn the_request_id_is_the_records_and_the_engines() {
    let wire = Wire::of(&["fake/plain"]).await;
    let response = wire.app.send("/v1/chat/completions", &wire.key.secret, &hello("fake/plain")).await;
    let id = header(&response, "x-request-id");
    assert_eq!(wire.engine.last().header("x-request-id"), Some(id.as_str()));
    assert_eq!(wire.app.records(1).await[0]["id"], id);
    assert!(header(&response, "x-guichet-hosting").contains("country=FR"), "{response:?}");
}

/// The engine's own counts, or an estimate.
#[tokio::test]
async fn a_whole_answer_always_has_usage() {
    let wire = Wire::of(&["fake/plain", "fake/no-usage"]).await;
    for name in ["fake/plain", "fake/no-usage"] {
        let usage = wire.answer(&hello(name)).await["usage"].clone();
        let count = |field: &str| usage[field].as_u64().unwrap_or_else(|| panic!("{name}: {field} in {usage}"));
        assert!(count("prompt_tokens") > 0 && count("completion_tokens") > 0, "{name}: {usage}");
        assert_eq!(count("total_tokens"), count("prompt_tokens") + count("completion_tokens"), "{name}");
    }
}

/// Digits and a point, whole or streamed: simple readers know no exponent, and no text in the place of a number.
#[tokio::test]
async fn impacts_are_plain_numbers() {
    let wire = Wire::set(|url| {
        format!("  - {{id: fake/plain, type: chat, impact: {{method: m, wh_per_1000_input: 0.0001, wh_per_1000_output: 0.0002, g_per_kwh: 0.5}}, deployments: [{{name: d, url: '{url}', engine: openai, hosting: state}}]}}\n")
    })
    .await;
    let response = wire.app.send("/v1/chat/completions", &wire.key.secret, &hello("fake/plain")).await;
    let whole = response.text().await.expect("a body");
    let asked = with(&hello("fake/plain"), &json!({"stream_options": {"include_usage": true}}));
    for text in [whole, wire.stream(&asked).await] {
        for name in ["kWh", "kgCO2eq"] {
            let marked = format!("\"{name}\":");
            let (_, rest) = text.split_once(&marked).unwrap_or_else(|| panic!("{name} in {text}"));
            let number: String = rest.chars().take_while(|c| !matches!(c, ',' | '}')).collect();
            assert!(number.chars().all(|c| c.is_ascii_digit() || c == '.'), "{name}: {number}");
            assert!(number.parse::<f64>().is_ok_and(|number| number > 0.0), "{name}: {number}");
        }
    }
}

/// Docs puts `content` into the user's document: thoughts never stand there, however the engine gives them.
#[tokio::test]
async fn reasoning_is_never_in_the_content() {
    for (name, settings) in [
        ("fake/reasoning", ""),
        ("fake/reasoning-field", ", reasoning: engine"),
        ("fake/think-tags", ", reasoning: think_tags"),
        ("fake/think-unopened", ", reasoning: think_tags_opened"),
    ] {
        let wire = Wire::deployed(name, settings).await;
        let message = wire.answer(&hello(name)).await["choices"][0]["message"].clone();
        assert_eq!(message["content"], ANSWER, "{name}: {message}");
        assert_eq!(message["reasoning_content"].as_str().map(str::trim), Some(THOUGHT), "{name}: {message}");
        assert!(message.get("reasoning").is_none(), "{name}: one name for one thing: {message}");
    }
    let wire = Wire::deployed("fake/think-tags", ", reasoning: none").await;
    let answer = wire.answer(&hello("fake/think-tags")).await;
    let content = answer["choices"][0]["message"]["content"].as_str().expect("a text");
    assert!(content.starts_with("<think>"), "a model that does not reason is not looked into: {content}");
}

/// Clients see the stable name, whatever the engine calls its model, and the model they named by an alias.
#[tokio::test]
async fn the_answer_names_the_public_model() {
    let wire = Wire::set(|url| {
        format!("  - {{id: petit, aliases: [guichet-small], type: chat, deployments: [{{name: d, url: '{url}', engine: openai, engine_model: fake/plain, hosting: state}}]}}\n")
    })
    .await;
    for name in ["petit", "guichet-small"] {
        assert_eq!(wire.answer(&hello(name)).await["model"], "petit");
        let stream = wire.stream(&hello(name)).await;
        assert!(crate::wire::events(&stream).iter().all(|event| event["model"] == "petit"), "{stream}");
        assert_eq!(wire.engine.last().json()["model"], "fake/plain");
    }
}

/// Fields that the gateway does not know come back too.
#[tokio::test]
async fn unknown_fields_of_the_answer_come_through() {
    let wire = Wire::of(&["fake/plain"]).await;
    let body = r#"{"id":"a","object":"chat.completion","created":1,"model":"fake/plain","system_fingerprint":"f","choices":[{"index":0,"message":{"role":"assistant","content":"oui","annotations":[],"audio":null},"logprobs":{"content":[]},"finish_reason":"stop","stop_reason":null,"token_ids":[1]}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2},"kv_transfer_params":{"a":1.50}}"#;
    wire.engine.next(Reply::whole(200, "application/json", body));
    let response = wire.app.send("/v1/chat/completions", &wire.key.secret, &hello("fake/plain")).await;
    assert_eq!(response.text().await.expect("a body"), body, "byte for byte");
}

/// Several answers to one question.
#[tokio::test]
async fn every_choice_comes_back() {
    let wire = Wire::of(&["fake/plain"]).await;
    wire.engine.script_model("fake/plain", Chat::text("oui"));
    let body = with(&hello("fake/plain"), &json!({"n": 3}));
    let whole = wire.answer(&body).await;
    let texts: Vec<&Value> = (0..3).map(|at| &whole["choices"][at]["message"]["content"]).collect();
    assert_eq!(texts, ["oui"; 3]);
    let events = crate::wire::events(&wire.stream(&body).await);
    for index in 0..3 {
        let of = |event: &&Value| event["choices"][0]["index"] == index;
        let said: String =
            events.iter().filter(of).filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(said, "oui", "{events:?}");
    }
}
