//! Progress as server-sent events.

use serde_json::{Value, json};
use tests::engine::{Embeddings, Gate, Reply};
use tests::{Backend, on_each_database};

use crate::ingestion::stand::{DIMENSIONS, MODEL, Stand, corpus};

on_each_database!(progress_is_told_to_its_end, a_failure_ends_the_stream_with_its_reason, only_readers_are_told);

/// The events of a document, until the stream ends.
async fn events(stand: &Stand, id: i64) -> Vec<(String, Value)> {
    let path = format!("/v1/documents/{id}/events");
    let response = stand.app.request(reqwest::Method::GET, &path, &stand.key.secret).send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.expect("a stream that ends");
    text.split("\n\n")
        .filter_map(|event| {
            let (name, data) = event.strip_prefix("event: ")?.split_once("\ndata: ")?;
            Some((name.to_owned(), serde_json::from_str(data).expect("JSON")))
        })
        .collect()
}

async fn progress_is_told_to_its_end(backend: Backend) {
    let stand = Stand::with(backend, "batch: 2, chunk_tokens: 60", "").await;
    let gate = Gate::closed();
    stand.engine.script_model(MODEL, Reply::from(Embeddings::of(DIMENSIONS)).behind(&gate));
    let (name, text) = corpus(1).into_iter().next().expect("a document");
    let id = stand.upload(&name, text).await;
    let (told, ()) = tokio::join!(events(&stand, id), async {
        assert!(stand.engine.until(|counts| counts.posts >= 1).await);
        gate.open();
    });
    assert!(told.iter().all(|(name, data)| name == "progress" && data["id"] == id), "{told:?}");
    let done: Vec<i64> = told.iter().filter_map(|(_, data)| data["done"].as_i64()).collect();
    assert!(done.is_sorted(), "{done:?}");
    let (_, last) = told.last().expect("an event");
    assert_eq!((&last["status"], &last["done"]), (&json!("done"), &last["total"]), "{last}");
    let orders = ["queued", "parsing", "splitting", "embedding", "indexing", "done"];
    let stages: Vec<&str> = told.iter().filter_map(|(_, data)| data["status"].as_str()).collect();
    assert!(stages.iter().all(|stage| orders.contains(stage)) && stages.contains(&"embedding"), "{stages:?}");
}

async fn a_failure_ends_the_stream_with_its_reason(backend: Backend) {
    let stand = Stand::start(backend).await;
    let id = stand.upload("a.pdf", "%PDF-1.7 rien").await;
    let told = events(&stand, id).await;
    let (_, last) = told.last().expect("an event");
    assert_eq!(last["status"], "failed", "{last}");
    assert!(last["reason"].as_str().is_some_and(|reason| reason.contains("endommagé")), "{last}");
    // After the end, the end is told again, and nothing else.
    assert_eq!(events(&stand, id).await.len(), 1);
}

async fn only_readers_are_told(backend: Backend) {
    let stand = Stand::start(backend).await;
    let id = stand.upload("a.txt", "Un texte.").await;
    let other = stand.app.key("Ministère B", "internal").await;
    let (status, _) = stand.app.get(&format!("/v1/documents/{id}/events"), &other.secret).await;
    assert_eq!(status, 404);
    let (status, _) = stand.app.get("/v1/documents/999999/events", &stand.key.secret).await;
    assert_eq!(status, 404);
}
