//! `GET /v1/models[/{id}]`: names that stay, aliases, who may see what, and removals announced.

use reqwest::Method;
use serde_json::{Value, json};
use tests::model;

use crate::wire::{Wire, header, hello};

fn medium(url: &str) -> String {
    format!(
        "  - {{id: openweight-medium, aliases: [mistral-small, albert-large], type: chat, context_length: 131072, owned_by: mistral, costs: {{input: 0.1, output: 0.3}}, deployments: [{{name: m, url: '{url}', engine: openai, engine_model: fake/plain, hosting: state}}]}}\n"
    )
}

#[tokio::test]
async fn the_list_is_openais_with_albert_apis_fields() {
    let wire = Wire::set(|url| {
        medium(url)
            + &model("v", "vision", url, "")
            + &model("e", "embeddings", url, "").replacen("type:", "dimensions: 8, type:", 1)
            + &model("r", "rerank", url, "")
    })
    .await;
    let (status, list) = wire.get("/v1/models").await;
    assert_eq!((status, &list["object"]), (200, &json!("list")), "{list}");
    let models = list["data"].as_array().expect("a list");
    let mut medium = models.iter().find(|model| model["id"] == "openweight-medium").expect("a model").clone();
    assert!(medium["created"].take().as_i64() > Some(1_700_000_000), "{list}");
    let wanted = json!({"id": "openweight-medium", "object": "model", "created": null, "owned_by": "mistral",
        "type": "text-generation", "aliases": ["mistral-small", "albert-large"], "max_context_length": 131_072,
        "costs": {"prompt_tokens": 0.1, "completion_tokens": 0.3}});
    assert_eq!(medium, wanted);
    let types: Vec<&str> = models.iter().filter_map(|model| model["type"].as_str()).collect();
    let wanted = ["text-generation", "image-text-to-text", "text-embeddings-inference", "text-classification"];
    assert_eq!(types.len(), 4, "{list}");
    assert!(wanted.iter().all(|kind| types.contains(kind)), "{types:?}");
}

/// `openai` sends ids raw, others escape them.
#[tokio::test]
async fn an_id_may_hold_slashes_raw_or_escaped() {
    let wire = Wire::of(&["mistralai/Mistral-Small/3.2 24B"]).await;
    for path in [
        "mistralai/Mistral-Small/3.2%2024B",
        "mistralai%2FMistral-Small%2F3.2%2024B",
        "mistralai%2fMistral-Small/3.2%2024B",
    ] {
        let (status, card) = wire.get(&format!("/v1/models/{path}")).await;
        assert_eq!((status, &card["id"]), (200, &json!("mistralai/Mistral-Small/3.2 24B")), "{path}: {card}");
    }
    for path in ["mistralai", "mistralai/Mistral-Small", "mistralai%2F"] {
        let (status, refused) = wire.get(&format!("/v1/models/{path}")).await;
        assert_eq!((status, &refused["error"]["code"]), (404, &json!("model_not_found")), "{path}: {refused}");
    }
}

/// Clients hard-code names: an alias is accepted wherever an id is.
#[tokio::test]
async fn aliases_are_listed_and_accepted() {
    let wire = Wire::set(medium).await;
    for name in ["openweight-medium", "mistral-small", "albert-large"] {
        let (status, card) = wire.get(&format!("/v1/models/{name}")).await;
        assert_eq!((status, &card["id"]), (200, &json!("openweight-medium")), "{name}: {card}");
        assert_eq!(wire.answer(&hello(name)).await["model"], "openweight-medium", "{name}");
    }
    let asked: Vec<Value> = wire.app.records(3).await.iter().map(|record| record["model_asked"].clone()).collect();
    assert!(asked.contains(&json!("albert-large")), "the record keeps the name that was asked: {asked:?}");
}

/// What another organization may see does not exist here, by any way of asking.
#[tokio::test]
async fn a_model_of_another_organization_does_not_exist() {
    let wire = Wire::set(|url| {
        model("fake/plain", "chat", url, "").replacen("type:", "aliases: [theirs], visible_to: [Ministère B], type:", 1)
    })
    .await;
    let theirs = wire.app.key("Ministère B", "internal").await;
    assert_eq!(wire.app.chat(&theirs, "fake/plain").await.0, 200);
    let (_, list) = wire.get("/v1/models").await;
    assert_eq!(list["data"], json!([]));
    let (_, health) = wire.get("/health/models").await;
    assert_eq!(health["data"], json!([]));
    for name in ["fake/plain", "theirs"] {
        let unknown = |answer: Value| answer.to_string().replace("fake/nowhere", name);
        assert_eq!(
            unknown(wire.get("/v1/models/fake/nowhere").await.1),
            wire.get(&format!("/v1/models/{name}")).await.1.to_string()
        );
        assert_eq!(unknown(wire.chat(&hello("fake/nowhere")).await.1), wire.chat(&hello(name)).await.1.to_string());
    }
    assert_eq!(wire.engine.posts(), 1);
}

/// RFC 9745 and RFC 8594, on the model itself and on each of its answers, whole or streamed.
#[tokio::test]
async fn a_removal_is_announced_by_headers() {
    let wire = Wire::set(|url| {
        model("fake/plain", "chat", url, "").replacen("type:", "deprecated: 2026-09-01, sunset: 2099-01-31, type:", 1)
            + &model("fake/tools", "chat", url, "")
            + &model("fake/reasoning", "chat", url, "").replacen("type:", "sunset: 2020-01-01, type:", 1)
    })
    .await;
    let stream = crate::wire::with(&hello("fake/plain"), &json!({"stream": true}));
    for response in [
        wire.request(Method::GET, "/v1/models/fake/plain").send().await.expect("an answer"),
        wire.app.send("/v1/chat/completions", &wire.key.secret, &hello("fake/plain")).await,
        wire.app.send("/v1/chat/completions", &wire.key.secret, &stream).await,
    ] {
        assert_eq!(header(&response, "deprecation"), "@1788220800", "2026-09-01T00:00:00Z");
        assert_eq!(header(&response, "sunset"), "Sat, 31 Jan 2099 00:00:00 GMT");
    }
    let (_, card) = wire.get("/v1/models/fake/plain").await;
    assert_eq!((&card["deprecated"], &card["sunset"]), (&json!("2026-09-01"), &json!("2099-01-31")), "{card}");
    let other = wire.app.send("/v1/chat/completions", &wire.key.secret, &hello("fake/tools")).await;
    assert_eq!((header(&other, "deprecation"), header(&other, "sunset")), (String::new(), String::new()));
    let (status, gone) = wire.chat(&hello("fake/reasoning")).await;
    assert_eq!((status, &gone["error"]["code"]), (404, &json!("model_not_found")), "past its sunset: {gone}");
}
