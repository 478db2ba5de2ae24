//! `POST /v1/embeddings`: base64 and floats, texts and token ids.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::engine::faults::DIMENSIONS;
use tests::engine::{Embeddings, vector};

use crate::wire::Wire;

/// One embeddings model on an engine of a kind that gives base64 itself, and one where it is made here.
async fn wire() -> Wire {
    Wire::set(|url| {
        let line = |id: &str, kind: &str, name: &str| {
            format!("  - {{id: {id}, type: embeddings, dimensions: 8, deployments: [{{name: {id}-d, url: '{url}', engine: {kind}, engine_model: {name}, hosting: state}}]}}\n")
        };
        line("native", "vllm", "fake/embeddings")
            + &line("unsaid", "vllm", "fake/embeddings").replacen("dimensions: 8, ", "", 1)
            + &line("converted", "ollama", "fake/embeddings-floats")
    })
    .await
}

async fn embed(wire: &Wire, body: &Value) -> Value {
    let (status, answer) = wire.post("/v1/embeddings", body).await;
    assert_eq!(status, 200, "{body}: {answer}");
    answer
}

fn bytes(text: &str) -> Vec<u8> {
    vector(text, DIMENSIONS).iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// openai's default: little-endian float32, to the byte the engine's own numbers, wherever they are encoded.
#[tokio::test]
async fn base64_is_the_vectors_exact_bytes() {
    let wire = wire().await;
    let texts = ["Demande de carte d’identité", "eau"];
    for (model, asked_of_engine) in [("native", "base64"), ("converted", "float")] {
        let answer = embed(&wire, &json!({"model": model, "input": texts, "encoding_format": "base64"})).await;
        for (index, text) in texts.into_iter().enumerate() {
            let coded = answer["data"][index]["embedding"].as_str().unwrap_or_else(|| panic!("base64 in {answer}"));
            assert_eq!(STANDARD.decode(coded).expect("base64"), bytes(text), "{model}: {text}");
            assert_eq!(answer["data"][index]["index"], index);
        }
        assert_eq!(wire.engine.last().json()["encoding_format"], asked_of_engine, "{model}");
    }
}

/// LiteLLM, EvalAP and mistralai ask for no format and read numbers.
#[tokio::test]
async fn floats_are_the_default() {
    let wire = wire().await;
    for model in ["native", "converted"] {
        for format in [json!(null), json!("float")] {
            let answer = embed(&wire, &json!({"model": model, "input": "eau", "encoding_format": format})).await;
            let numbers: Vec<f32> =
                serde_json::from_value(answer["data"][0]["embedding"].clone()).unwrap_or_else(|_| panic!("{answer}"));
            assert_eq!(numbers, vector("eau", DIMENSIONS), "{model} {format}");
        }
    }
}

/// LangChain sends cl100k token ids, which mean nothing to any other model: the engine gets the text they stand for.
#[tokio::test]
async fn cl100k_token_ids_become_the_text_they_stand_for() {
    let wire = wire().await;
    let text = "Demande de carte nationale d’identité";
    // What tiktoken's cl100k_base makes of it.
    let ids = json!([82127, 68, 409, 48454, 7140, 1604, 294, 529, 1748, 13109]);
    for (input, texts) in [
        (json!([ids]), json!([text])),
        (ids.clone(), json!([text])),
        (json!([ids, [68, 2933]]), json!([text, "eau"])),
        (json!(text), json!(text)),
        (json!([text]), json!([text])),
    ] {
        let answer = embed(&wire, &json!({"model": "native", "input": input})).await;
        assert_eq!(wire.engine.last().json()["input"], texts, "{input}");
        let numbers: Vec<f32> = serde_json::from_value(answer["data"][0]["embedding"].clone()).expect("numbers");
        assert_eq!(numbers, vector(text, DIMENSIONS), "{input}");
    }
    let posts = wire.engine.posts();
    for input in [json!([[9_999_999]]), json!([-1]), json!([1, "a"]), json!([]), json!(""), json!([[]]), json!({})] {
        let (status, refused) = wire.post("/v1/embeddings", &json!({"model": "native", "input": input})).await;
        assert_eq!((status, &refused["error"]["param"]), (400, &json!("input")), "{input}: {refused}");
    }
    let (_, refused) = wire.post("/v1/embeddings", &json!({"model": "native", "input": [[9_999_999]]})).await;
    let message = refused["error"]["message"].as_str().expect("a message");
    assert!(message.contains("envoyez du texte"), "the remedy is told: {message}");
    assert_eq!(wire.engine.posts(), posts, "never forwarded in silence");
}

/// The model's own number is accepted, and goes no further; any other is a 400.
#[tokio::test]
async fn dimensions_are_the_models_own_or_refused() {
    let wire = wire().await;
    for dimensions in [json!(8), json!(null)] {
        embed(&wire, &json!({"model": "native", "input": "eau", "dimensions": dimensions})).await;
        assert!(wire.engine.last().json().get("dimensions").is_none());
    }
    for dimensions in [json!(7), json!(1024), json!(0), json!("8")] {
        let (status, refused) =
            wire.post("/v1/embeddings", &json!({"model": "native", "input": "eau", "dimensions": dimensions})).await;
        assert_eq!((status, &refused["error"]["param"]), (400, &json!("dimensions")), "{dimensions}: {refused}");
    }
    let (status, refused) =
        wire.post("/v1/embeddings", &json!({"model": "native", "input": "eau", "encoding_format": "int8"})).await;
    assert_eq!((status, &refused["error"]["code"]), (400, &json!("unsupported_value")), "{refused}");
    assert_eq!(wire.engine.posts(), 2);
    // Where the configuration does not say, the engine judges.
    embed(&wire, &json!({"model": "unsaid", "input": "eau", "dimensions": 256})).await;
    assert_eq!(wire.engine.last().json()["dimensions"], 256);
}

/// The list, its public model, its usage (counted or estimated).
#[tokio::test]
async fn the_answer_is_openais_list_with_usage() {
    let wire = wire().await;
    for counted in [true, false] {
        let answers = Embeddings::of(DIMENSIONS);
        wire.engine.next(if counted { answers } else { answers.without_usage() });
        let answer = embed(&wire, &json!({"model": "native", "input": ["de l’eau", "du pain"]})).await;
        assert_eq!((&answer["object"], &answer["model"]), (&json!("list"), &json!("native")), "{answer}");
        assert!(answer["id"].is_string() && answer["data"][1]["object"] == "embedding", "{answer}");
        let tokens = answer["usage"]["prompt_tokens"].as_u64();
        assert!(tokens > Some(0) && answer["usage"]["total_tokens"].as_u64() == tokens, "{answer}");
        assert!(!counted || tokens == Some(4), "the engine's own count: {answer}");
    }
}

/// An engine that answers fewer vectors than texts, or none, gave no answer.
#[tokio::test]
async fn what_holds_no_vectors_is_no_answer() {
    let wire = wire().await;
    wire.engine.script(tests::engine::Reply::json(200, &json!({"object": "list", "data": []})));
    let (status, refused) = wire.post("/v1/embeddings", &json!({"model": "native", "input": "eau"})).await;
    assert_eq!((status, &refused["error"]["code"]), (502, &json!("upstream_error")), "{refused}");
}
