//! What is refused, in which words; each search in the records.

use serde_json::json;
use tests::engine::Reply;
use tests::{Backend, FakeEngine, TestApp};

use crate::search::stand::{Stand, VECTORS, chunk, on_both};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_search_has_its_record() {
    on_both(|backend| async move {
        let stand = Stand::start(backend).await;
        let collection = stand.collection("c").await;
        stand.document(collection, "d", &json!({}), &[chunk("texte")]).await;
        stand.search(&json!({"query": "texte", "collection_ids": [collection]})).await;
        stand.search(&json!({"query": "texte", "collection_ids": [collection], "method": "lexical"})).await;
        stand.refused(&json!({"query": "texte", "collection_ids": [collection + 1]})).await;
        stand.refused(&json!({"query": "texte", "collection_ids": [collection], "method": "x"})).await;
        // The chunk's embedding, four searches, one embedding of a question.
        let records = stand.app.records(6).await;
        let searches: Vec<_> = records
            .iter()
            .filter(|record| record["endpoint"] == "search")
            .map(|record| (record["status"].as_i64().unwrap(), record["outcome"].as_str().unwrap().to_owned()))
            .collect();
        let refused = |status| (status, "refused".to_owned());
        let success = || (200, "success".to_owned());
        assert_eq!(searches, [refused(400), refused(404), success(), success()]);
        for record in records.iter().filter(|record| record["endpoint"] == "search") {
            assert_eq!(record["tokens_in"], 0, "they are in the record of the embedding: {record}");
        }
        let asked = records.iter().find(|record| record["endpoint"] == "embeddings").unwrap();
        assert!(asked["tokens_in"].as_i64() > Some(0) && asked["model_served"] == VECTORS, "{asked}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_fails_fails_the_search() {
    let stand = Stand::start(Backend::Sqlite).await;
    let collection = stand.collection("c").await;
    stand.document(collection, "d", &json!({}), &[chunk("texte")]).await;
    stand.engine.script_model(VECTORS, Reply::json(500, &json!({"error": "x"})));
    let (status, answer) = stand.post("/v1/search", &json!({"query": "q", "collection_ids": [collection]})).await;
    assert!(matches!(status, 502 | 503), "{status} {answer}");
    let by_words = json!({"query": "texte", "collection_ids": [collection], "method": "lexical"});
    assert_eq!(stand.search(&by_words).await.len(), 1, "words need no engine");
}

/// A Qdrant server that nobody runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_away_is_503_with_a_time() {
    let stand =
        Stand::with(Backend::Sqlite, "  index: {kind: server, url: 'http://127.0.0.1:1', hosting: state}\n").await;
    let collection = stand.collection("c").await;
    let body = json!({"query": "q", "collection_ids": [collection], "method": "lexical"});
    assert!(stand.search(&body).await.is_empty(), "a word that no chunk has is looked for nowhere");
    for method in ["semantic", "hybrid"] {
        let mut body = body.clone();
        body["method"] = method.into();
        let response = stand.app.send("/v1/search", &stand.key.secret, &body).await;
        assert_eq!(response.status(), 503, "{method}");
        assert!(response.headers().contains_key("retry-after"));
        let answer: serde_json::Value = response.json().await.unwrap();
        assert_eq!(answer["error"]["code"], "service_unavailable");
        assert!(!answer.to_string().contains("127.0.0.1"), "no host: {answer}");
    }
}

/// A remote index is a place where data goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_hosted_where_a_class_may_not_go_is_not_asked() {
    let stand =
        Stand::with(Backend::Sqlite, "  index: {kind: server, url: 'http://127.0.0.1:1', hosting: foreign}\n").await;
    // Such a collection cannot be made: this one is searched by a project whose class was raised after.
    let public = stand.app.key("Ministère B", "public").await;
    let collection = crate::search::stand::collection(&stand.app, &public, &json!({"name": "c"})).await;
    let path = format!("/v1/admin/projects/{}", public.project_id);
    stand.app.patch(&path, &stand.app.admin_key, &json!({"data_class": "sensitive"})).await;
    let started = std::time::Instant::now();
    loop {
        let body = json!({"query": "q", "collection_ids": [collection], "method": "lexical"});
        let (status, answer) = stand.app.post("/v1/search", &public.secret, &body).await;
        if status == 403 {
            assert_eq!(answer["error"]["code"], "sovereignty_policy");
            return;
        }
        assert!(started.elapsed() < tests::app::PATIENCE, "{status} {answer}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_retrieval_there_is_no_search() {
    let engine = FakeEngine::start().await;
    let app = TestApp::start(&format!("models:\n{}", tests::model("fake/plain", "chat", &engine.url(), ""))).await;
    let key = app.key("Ministère A", "internal").await;
    let body = json!({"query": "q", "collection_ids": [1]});
    assert_eq!(app.post("/v1/search", &key.secret, &body).await.0, 404);
    let chat = json!({"model": "fake/plain", "messages": [{"role": "user", "content": "?"}],
        "search": true, "search_args": {"collections": [1]}});
    let (status, answer) = app.post("/v1/chat/completions", &key.secret, &chat).await;
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("search")), "never silently without its documents");
}
