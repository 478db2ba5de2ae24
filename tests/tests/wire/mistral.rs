//! Mistral's own SDK: the one client with a dialect, known by its `User-Agent`.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tests::engine::Chat;
use tests::model;

use crate::wire::{Wire, events, hello, sent, streamed, with};

const SDK: &str = "mistral-client-python/3.7.0";

fn as_mistral(request: RequestBuilder) -> RequestBuilder {
    request.header("user-agent", SDK)
}

/// It fails on pieces; OpenAI's clients, which join repeated names, get the engine's own pieces.
#[tokio::test]
async fn tool_calls_come_whole_to_mistrals_sdk_only() {
    let wire = Wire::of(&["fake/plain"]).await;
    let arguments = r#"{"city":"Saint-Étienne","days":7}"#;
    let body = with(&hello("fake/plain"), &json!({"stream": true}));
    for mistral in [true, false] {
        wire.engine.next(Chat::text("").tool("weather", arguments).tool("train", "{}"));
        let request = wire.request(Method::POST, "/v1/chat/completions").json(&body);
        let request = if mistral { as_mistral(request) } else { request };
        let text = streamed(request.send().await.expect("an answer")).await;
        let calls: Vec<Value> = events(&text)
            .iter()
            .filter_map(|event| event["choices"][0]["delta"]["tool_calls"].as_array().cloned())
            .flatten()
            .collect();
        assert_eq!(calls.len() == 2, mistral, "{text}");
        if mistral {
            for (index, (name, arguments)) in [("weather", arguments), ("train", "{}")].into_iter().enumerate() {
                assert!(calls[index]["index"] == index && calls[index]["id"].is_string(), "{text}");
                assert_eq!(calls[index]["function"], json!({"name": name, "arguments": arguments}), "{text}");
            }
        }
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    }
}

/// Models it knows by the type `base` and their capabilities; anything else is opaque to it. Others see Albert's types.
#[tokio::test]
async fn models_have_the_type_that_mistrals_sdk_knows() {
    let wire = Wire::set(|url| {
        model("fake/plain", "chat", url, "") + &model("v", "vision", url, "") + &model("e", "embeddings", url, "")
    })
    .await;
    let (_, others) = wire.get("/v1/models").await;
    assert_eq!(others["data"][0]["type"], "text-generation", "{others}");
    assert!(others["data"][0].get("capabilities").is_none(), "{others}");
    let (_, listed) = sent(as_mistral(wire.request(Method::GET, "/v1/models"))).await;
    let of = |id: &str| {
        let data = listed["data"].as_array().expect("a list");
        let found = data.iter().find(|model| model["id"] == id).unwrap_or_else(|| panic!("{id} in {listed}"));
        assert_eq!(found["type"], "base");
        ["completion_chat", "function_calling", "vision"].map(|name| found["capabilities"][name] == true)
    };
    assert_eq!((of("fake/plain"), of("v"), of("e")), ([true, true, false], [true, true, true], [false, false, false]));
    let (_, one) = sent(as_mistral(wire.request(Method::GET, "/v1/models/fake/plain"))).await;
    assert_eq!((&one["type"], &one["id"]), (&json!("base"), &json!("fake/plain")));
}

/// An engine's embeddings without an id get one.
#[tokio::test]
async fn embeddings_have_the_id_that_mistrals_sdk_needs() {
    let wire = Wire::set(|url| model("fake/embeddings", "embeddings", url, "")).await;
    let answer =
        json!({"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}], "model": "x"});
    wire.engine.next(tests::engine::Reply::json(200, &answer));
    let body = json!({"model": "fake/embeddings", "input": ["eau"]});
    let (status, answer) = sent(as_mistral(wire.request(Method::POST, "/v1/embeddings").json(&body))).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["id"].as_str().is_some_and(|id| id.starts_with("req_")), "{answer}");
    assert_eq!(answer["data"][0]["embedding"], json!([0.5]), "floats, which it expects without asking");
}
