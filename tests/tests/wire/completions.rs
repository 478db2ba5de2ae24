//! `POST /v1/completions`: text completion, for code editors and older clients.

use serde_json::{Value, json};
use tests::engine::faults::ANSWER;

use crate::wire::{Wire, events, streamed};

#[tokio::test]
async fn the_body_reaches_the_engine_byte_for_byte() {
    let wire = Wire::of(&["fake/plain"]).await;
    let body =
        r#"{"model":"fake/plain","prompt":"fn main() {","suffix":"}","max_tokens":64,"echo":false,"logprobs":null}"#;
    let response = wire.raw("/v1/completions", body).await;
    assert_eq!(response.status(), 200);
    let answer: Value = response.json().await.expect("JSON");
    assert_eq!((&answer["choices"][0]["text"], &answer["object"]), (&json!(ANSWER), &json!("text_completion")));
    assert!(answer["usage"]["total_tokens"].as_u64() > Some(0), "{answer}");
    assert_eq!((wire.engine.last().path.as_str(), wire.engine.last().text()), ("/v1/completions", body.to_owned()));
}

#[tokio::test]
async fn a_stream_has_usage_only_when_asked() {
    let wire = Wire::of(&["fake/plain"]).await;
    for asked in [false, true] {
        let body =
            json!({"model": "fake/plain", "prompt": "a", "stream": true, "stream_options": {"include_usage": asked}});
        let text = streamed(wire.app.send("/v1/completions", &wire.key.secret, &body).await).await;
        let events = events(&text);
        let said: String = events.iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
        assert_eq!(said, ANSWER);
        assert_eq!(events.iter().any(|event| event["choices"] == json!([])), asked, "{text}");
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    }
}

#[tokio::test]
async fn a_prompt_is_needed() {
    let wire = Wire::of(&["fake/plain"]).await;
    let (status, refused) = wire.post("/v1/completions", &json!({"model": "fake/plain"})).await;
    assert_eq!((status, &refused["error"]["param"]), (400, &json!("prompt")), "{refused}");
    assert_eq!(wire.engine.posts(), 0);
}
