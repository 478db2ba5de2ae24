//! Docs' own calls, and what the demo shows, against real engines: llama.cpp with a small open model, and a real
//! embedder. `make test` starts them and says where they are; without them these tests fail.
#![expect(clippy::expect_used, clippy::panic, reason = "in tests, a panic is how a failure is told")]

use serde_json::{Value, json};
use tests::{Key, TestApp};

struct Engines {
    app: TestApp,
    key: Key,
}

async fn engines() -> Engines {
    let said = std::env::var("GUICHET_TEST_ENGINES").unwrap_or_else(|_| {
        panic!("GUICHET_TEST_ENGINES is not set: run `make test`, or set it to what `python3 deploy/demo/demo.py engines --small` prints")
    });
    let said: Value = serde_json::from_str(&said).expect("the line that the engines print");
    let text = |name: &str| said[name].as_str().expect(name).to_owned();
    let app = TestApp::start(&format!(
        "models:
  - {{id: openweight-small, aliases: [guichet-small], type: chat, context_length: 4096, deployments: [
      {{name: llama, url: '{}', engine: llamacpp, engine_model: '{}', capacity: 2, hosting: state, reasoning: none, messages: {{alternate: true}}}}]}}
  - {{id: openweight-embeddings, type: embeddings, dimensions: 384, deployments: [
      {{name: e5, url: '{}', engine: openai, engine_model: '{}', capacity: 4, hosting: state}}]}}
",
        text("chat_url"),
        text("chat_model"),
        text("embeddings_url"),
        text("embeddings_model")
    ))
    .await;
    let key = app.key("Ministère A", "internal").await;
    Engines { app, key }
}

/// wire.md: Docs, plain features: the body is exactly `{"messages":[system,user],"model"}`.
#[tokio::test(flavor = "multi_thread")]
async fn real_engine_answers_docs_plain_call() {
    let Engines { app, key } = engines().await;
    let body = json!({"messages": [
        {"role": "system", "content": "Reformule le texte donné, sans le commenter, dans la même langue."},
        {"role": "user", "content": "La réunion elle est reportée à mardi prochain à cause que la salle est pas libre."}],
        "model": "openweight-small"});
    let (status, answer) = app.post("/v1/chat/completions", &key.secret, &body).await;
    assert_eq!(status, 200, "{answer}");
    let text = answer["choices"][0]["message"]["content"].as_str().expect("a text");
    assert!(text.chars().count() > 10, "{answer}");
    assert_eq!(answer["model"], "openweight-small");
    assert!(answer["usage"]["prompt_tokens"].as_u64() > Some(20), "{answer}");
    let records = app.records(1).await;
    assert_eq!(records[0]["tokens_in"], answer["usage"]["prompt_tokens"]);
    assert_eq!(records[0]["tokens_estimated"], json!(false), "{}", records[0]);
    assert_eq!(records[0]["outcome"], "success");
}

/// wire.md: Docs, editor features: streamed, `include_usage`, `tool_choice: auto`, one tool; system, assistant (document
/// state), user.
#[tokio::test(flavor = "multi_thread")]
async fn real_engine_streams_docs_editor_call_with_a_tool() {
    let Engines { app, key } = engines().await;
    let body = json!({"model": "openweight-small", "stream": true, "stream_options": {"include_usage": true}, "tool_choice": "auto", "max_tokens": 60,
        "tools": [{"type": "function", "function": {"name": "applyDocumentOperations", "description": "Change the document",
            "parameters": {"type": "object", "properties": {"operations": {"type": "array", "items": {"type": "object"}}}, "required": ["operations"]}}}],
        "messages": [{"role": "system", "content": "Tu modifies un document."},
            {"role": "assistant", "content": "Document : <p id=\"1\">Bonjour tout le monde</p>"},
            {"role": "user", "content": "Mets le paragraphe en majuscules."}]});
    let response = app.send("/v1/chat/completions", &key.secret, &body).await;
    assert_eq!(response.status(), 200);
    let text = response.text().await.expect("a whole stream");
    let events: Vec<&str> = text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    assert_eq!(events.last(), Some(&"[DONE]"), "{text}");
    let chunks: Vec<Value> =
        events[..events.len() - 1].iter().map(|event| serde_json::from_str(event).expect(event)).collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant", "{text}");
    let usage: Vec<&Value> = chunks.iter().filter(|chunk| chunk["choices"] == json!([])).collect();
    assert_eq!(usage.len(), 1, "{text}");
    assert!(usage[0]["usage"]["completion_tokens"].as_u64() > Some(0), "{text}");
    let records = app.records(1).await;
    assert_eq!((&records[0]["streamed"], &records[0]["outcome"]), (&json!(true), &json!("success")), "{}", records[0]);
    assert!(records[0]["first_token_ms"].as_i64() > Some(0), "{}", records[0]);
}

/// A prompt of the library, streamed.
#[tokio::test(flavor = "multi_thread")]
async fn real_engine_answers_a_named_prompt() {
    let Engines { app, key } = engines().await;
    let body = json!({"model": "guichet-small", "max_tokens": 60,
        "prompt": {"id": "docs-translate", "variables": {"language": "en", "text": "Bonjour, la mairie est fermée le lundi."}}});
    let (status, answer) = app.post("/v1/chat/completions", &key.secret, &body).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["choices"][0]["message"]["content"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
    let records = app.records(1).await;
    assert!(records[0]["prompt_id"].as_str().is_some_and(|id| id.starts_with("docs-translate")), "{}", records[0]);
}

/// Vectors as clients of both kinds ask them.
#[tokio::test(flavor = "multi_thread")]
async fn real_engine_embeds_in_floats_and_in_base64() {
    let Engines { app, key } = engines().await;
    let ask = |format: &str| json!({"model": "openweight-embeddings", "input": ["query: carte d’identité", "passage: Le passeport"], "encoding_format": format});
    let (status, floats) = app.post("/v1/embeddings", &key.secret, &ask("float")).await;
    assert_eq!(status, 200, "{floats}");
    assert_eq!(floats["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(floats["data"][0]["embedding"].as_array().map(Vec::len), Some(384));
    let (status, coded) = app.post("/v1/embeddings", &key.secret, &ask("base64")).await;
    assert_eq!(status, 200, "{coded}");
    let text = coded["data"][0]["embedding"].as_str().expect("base64");
    assert_eq!(text.len(), 384 * 4 * 4 / 3, "four bytes a number, four characters for three bytes");
    assert!(coded["usage"]["total_tokens"].as_u64() > Some(0), "{coded}");
}
