//! What cannot be ingested says why, and leaves nothing behind.

use serde_json::json;
use tests::engine::{Embeddings, Reply};
use tests::{Backend, on_each_database};

use crate::ingestion::formats::{pdf, zipped};
use crate::ingestion::stand::{MODEL, Stand};

on_each_database!(
    what_cannot_be_read_says_why,
    a_refusal_of_the_model_is_the_reason,
    vectors_of_another_size_are_refused,
    deleting_stops_the_work_and_leaves_nothing,
);

async fn what_cannot_be_read_says_why(backend: Backend) {
    let stand = Stand::with(backend, "file_limit: 1MiB, pages: 3", "").await;
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("a.txt", vec![0, 1, 2, 3], "n’est d’aucun format connu"),
        ("b.pdf", b"%PDF-1.7 rien".to_vec(), "endommagé"),
        ("c.pdf", pdf(&[None, Some("Deux"), None]), "numérisé, sans texte lisible (pages 1, 3)"),
        ("d.pdf", pdf(&[Some("Un"), Some("Deux"), Some("Trois"), Some("Quatre")]), "4 pages"),
        ("e.zip", zipped(&[("a.txt", "Un texte.")]), "(ZIP) ne sont pas lus"),
        ("f.png", b"\x89PNG\r\n\x1a\nrien".to_vec(), "ne sont pas lus"),
    ];
    for (name, content, told) in cases {
        let document = stand.ingest(name, content).await;
        assert_eq!(document["status"], "failed", "{name}: {document}");
        assert!(document["reason"].as_str().is_some_and(|reason| reason.contains(told)), "{name}: {document}");
        assert!(stand.chunks(document["id"].as_i64().expect("an id")).await.is_empty(), "{name}");
    }
    assert_eq!(stand.engine.counts().posts, 0);
    assert!(stand.points().await.is_empty());
    // The same reason in the other language.
    let (_, page) =
        stand.app.get(&format!("/v1/documents?collection_id={}", stand.collection), &stand.key.secret).await;
    let failed = page["data"].as_array().expect("a list").iter().find(|one| one["name"] == "c.pdf").expect("the scan");
    let request =
        stand.app.request(reqwest::Method::GET, &format!("/v1/documents/{}", failed["id"]), &stand.key.secret);
    let answer = request.header("accept-language", "en").send().await.expect("an answer");
    let (_, english) = tests::read(answer).await;
    assert!(english["reason"].as_str().is_some_and(|reason| reason.contains("optical character")), "{english}");
}

async fn a_refusal_of_the_model_is_the_reason(backend: Backend) {
    let stand = Stand::start(backend).await;
    let long = json!({"error": {"message": "the input is larger than the max context size", "type": "exceed_context_size_error"}});
    stand.engine.script_model(MODEL, Reply::json(400, &long));
    let document = stand.ingest("long.txt", "Un texte que le moteur trouve trop long.").await;
    assert_eq!(document["status"], "failed", "{document}");
    let id = document["id"].as_i64().expect("an id");
    assert!(stand.chunks(id).await.is_empty());
    // Its neighbours are not at fault: each is tried alone.
    stand.engine.unscript();
    stand.engine.script_model(MODEL, Embeddings::of(crate::ingestion::stand::DIMENSIONS));
    let document = stand.ingest("court.txt", "Un autre texte.").await;
    assert_eq!(document["status"], "done", "{document}");
    assert_eq!(stand.points().await.len(), 1);
}

async fn vectors_of_another_size_are_refused(backend: Backend) {
    let stand = Stand::start(backend).await;
    stand.engine.script_model(MODEL, Embeddings::of(crate::ingestion::stand::DIMENSIONS + 1));
    let document = stand.ingest("a.txt", "Un texte.").await;
    assert_eq!(document["status"], "failed", "{document}");
    assert!(document["reason"].as_str().is_some_and(|reason| reason.contains("17")), "{document}");
    assert!(stand.points().await.is_empty());
}

async fn deleting_stops_the_work_and_leaves_nothing(backend: Backend) {
    let stand = Stand::start(backend).await;
    let gate = tests::engine::Gate::closed();
    stand.engine.next(Reply::from(Embeddings::of(crate::ingestion::stand::DIMENSIONS)).behind(&gate));
    let id = stand.upload("a.txt", "Un texte qui sera retiré.").await;
    assert!(stand.engine.until(|counts| counts.posts == 1).await, "{:?}", stand.engine.counts());
    let (status, _) = stand.app.delete(&format!("/v1/documents/{id}"), &stand.key.secret).await;
    assert_eq!(status, 204);
    gate.open();
    // Another document goes through after it: then the first one's worker has ended.
    let document = stand.ingest("b.txt", "Un texte qui reste.").await;
    assert_eq!(document["status"], "done", "{document}");
    let started = std::time::Instant::now();
    while stand.points().await.iter().any(|point| point.document == id as u64) {
        assert!(started.elapsed() < crate::ingestion::stand::PATIENCE, "its vectors stay");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(stand.points().await.len(), 1);
    let (status, _) = stand.app.get(&format!("/v1/documents/{id}"), &stand.key.secret).await;
    assert_eq!(status, 404);
}
