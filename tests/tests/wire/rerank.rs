//! `POST /v1/rerank`: two generations of names, two ways of engines, one answer.

use serde_json::{Value, json};

use crate::wire::Wire;

async fn wire() -> Wire {
    Wire::set(|url| {
        let line = |id: &str, kind: &str| {
            format!("  - {{id: {id}, type: rerank, deployments: [{{name: {id}-d, url: '{url}', engine: {kind}, engine_model: fake/rerank, hosting: state}}]}}\n")
        };
        line("cohere", "vllm") + &line("tei", "tei")
    })
    .await
}

async fn rank(wire: &Wire, body: &Value) -> Value {
    let (status, answer) = wire.post("/v1/rerank", body).await;
    assert_eq!(status, 200, "{body}: {answer}");
    answer
}

const DOCUMENTS: [&str; 3] = ["rien", "eau de pluie", "eau"];

/// Both forms stand side by side, best first, whichever way the engine speaks.
#[tokio::test]
async fn results_and_data_hold_the_same_scores() {
    let wire = wire().await;
    for (model, path, received) in [
        ("cohere", "/v1/rerank", json!({"model": "fake/rerank", "query": "eau pluie", "documents": DOCUMENTS})),
        ("tei", "/rerank", json!({"query": "eau pluie", "texts": DOCUMENTS, "truncate": true})),
    ] {
        let answer = rank(&wire, &json!({"model": model, "query": "eau pluie", "documents": DOCUMENTS})).await;
        let scores = [(1, 1.0), (2, 0.5), (0, 0.0)];
        let results: Vec<Value> = scores.map(|(index, score)| json!({"index": index, "relevance_score": score})).into();
        assert_eq!(answer["results"], json!(results), "{model}: {answer}");
        for (at, (index, score)) in scores.into_iter().enumerate() {
            assert_eq!(answer["data"][at]["index"], index, "{answer}");
            assert_eq!(answer["data"][at]["score"], score, "{answer}");
        }
        assert_eq!((&answer["model"], &answer["object"]), (&json!(model), &json!("list")));
        assert!(answer["usage"]["total_tokens"].as_u64() > Some(0) && answer["id"].is_string(), "{answer}");
        assert_eq!((wire.engine.last().path.as_str(), wire.engine.last().json()), (path, received));
    }
}

/// `prompt` and `input`, as `query` and `documents` were called.
#[tokio::test]
async fn old_names_are_accepted() {
    let wire = wire().await;
    let new = rank(&wire, &json!({"model": "cohere", "query": "eau pluie", "documents": DOCUMENTS})).await;
    let sent = wire.engine.last().text();
    let old = rank(&wire, &json!({"model": "cohere", "prompt": "eau pluie", "input": DOCUMENTS})).await;
    assert_eq!((&old["results"], wire.engine.last().text()), (&new["results"], sent));
}

#[tokio::test]
async fn the_best_are_returned_with_their_texts_when_asked() {
    let wire = wire().await;
    let documents = json!(["rien", {"text": "eau de pluie"}, "eau"]);
    for model in ["cohere", "tei"] {
        let answer = rank(
            &wire,
            &json!({"model": model, "query": "eau pluie", "documents": documents, "top_n": 1, "return_documents": true}),
        )
        .await;
        let wanted = json!([{"index": 1, "relevance_score": 1.0, "document": {"text": "eau de pluie"}}]);
        assert_eq!(answer["results"], wanted, "{model}");
        assert_eq!(answer["data"].as_array().map(Vec::len), Some(1), "{model}");
    }
}

#[tokio::test]
async fn a_wrong_request_names_its_field() {
    let wire = wire().await;
    for (body, param) in [
        (json!({"model": "cohere", "documents": ["a"]}), "query"),
        (json!({"model": "cohere", "query": "a"}), "documents"),
        (json!({"model": "cohere", "query": 3, "documents": ["a"]}), "query"),
        (json!({"model": "cohere", "prompt": 3, "input": ["a"]}), "prompt"),
        (json!({"model": "cohere", "query": "a", "documents": []}), "documents"),
        (json!({"model": "cohere", "query": "a", "documents": [1]}), "documents"),
        (json!({"model": "cohere", "query": "a", "documents": ["b"], "top_n": "all"}), "top_n"),
    ] {
        let (status, refused) = wire.post("/v1/rerank", &body).await;
        assert_eq!((status, &refused["error"]["param"]), (400, &json!(param)), "{body}: {refused}");
    }
    assert_eq!(wire.engine.posts(), 0);
}
