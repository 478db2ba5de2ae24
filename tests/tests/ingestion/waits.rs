//! What fails for now waits, says what for, and goes on by itself.

use reqwest::Method;
use serde_json::json;
use tests::engine::{Embeddings, Gate, Reply};
use tests::{Backend, TestApp, on_each_database, read};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::ingestion::stand::{self, DIMENSIONS, MODEL, Stand, corpus, until};

on_each_database!(
    an_engine_that_is_down_is_waited_for,
    an_index_that_is_away_is_waited_for,
    a_quota_that_is_used_up_is_waited_for,
    a_batch_larger_than_a_limit_goes_in_pieces,
    the_next_batch_is_embedded_while_this_one_is_indexed,
    each_call_is_a_record_of_the_project,
);

async fn an_engine_that_is_down_is_waited_for(backend: Backend) {
    let stand = Stand::start(backend).await;
    let done = stand.ingest("avant.txt", "Un premier texte.").await;
    assert_eq!(done["status"], "done", "{done}");
    stand.engine.stop().await;
    let id = stand.upload("pendant.txt", "Un texte pour un moteur à l’arrêt.").await;
    let waiting = until(&stand.app, &stand.key, id, |state| state["reason"].is_string()).await;
    assert_eq!(waiting["status"], "embedding", "{waiting}");
    stand.engine.restart().await.expect("its port is free");
    let done = stand::ended(&stand.app, &stand.key, id).await;
    assert_eq!((&done["status"], &done["reason"]), (&json!("done"), &json!(null)), "{done}");
    assert_eq!(stand.points().await.len(), 2);
}

/// Meanwhile searches say when to come back. With a Qdrant server, it comes to where it was missed; without one, the
/// gateway is started again with the embedded index.
async fn an_index_that_is_away_is_waited_for(backend: Backend) {
    let free = TcpListener::bind("127.0.0.1:0").await.and_then(|port| port.local_addr()).expect("a free port");
    let prefix: String = std::iter::repeat_with(|| fastrand::char('a'..='z')).take(12).collect();
    let away = format!("  index: {{kind: server, url: 'http://{free}', hosting: state, prefix: {prefix}}}\n");
    let engine = stand::engine().await;
    let mut app = TestApp::on(backend, &stand::configuration(&engine, "", &away)).await;
    let key = app.key("Ministère A", "internal").await;
    let collection = stand::collection(&app, &key, "fonds").await;
    let text = "Un texte pour un index à l’arrêt.";
    let id = stand::upload(&app, &key, collection, "pendant.txt", text.into()).await;
    let waiting = until(&app, &key, id, |state| state["reason"].is_string()).await;
    assert_eq!(waiting["status"], "embedding", "{waiting}");
    assert!(waiting["reason"].as_str().is_some_and(|reason| reason.contains("index ne répond pas")), "{waiting}");
    let search = json!({"query": text, "collection_ids": [collection]});
    let refused = app.send("/v1/search", &key.secret, &search).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));

    let mut relays = JoinSet::new();
    match tests::index::server() {
        Some(url) => {
            let server = url.strip_prefix("http://").expect("an address").to_owned();
            let relay = TcpListener::bind(free).await.expect("its port is free");
            relays.spawn(async move {
                let mut ways = JoinSet::new();
                while let Ok((mut client, _)) = relay.accept().await {
                    let server = server.clone();
                    ways.spawn(async move {
                        let mut server = TcpStream::connect(server).await?;
                        tokio::io::copy_bidirectional(&mut client, &mut server).await
                    });
                }
            });
        }
        None => {
            let (folder, database) = app.stop().await;
            app = TestApp::in_folder(folder, database, &stand::configuration(&engine, "", "")).await;
        }
    }
    let done = stand::ended(&app, &key, id).await;
    assert_eq!((&done["status"], &done["reason"]), (&json!("done"), &json!(null)), "{done}");
    let (status, found) = app.post("/v1/search", &key.secret, &search).await;
    assert_eq!((status, &found["data"][0]["chunk"]["content"]), (200, &json!(text)), "{found}");
}

async fn a_quota_that_is_used_up_is_waited_for(backend: Backend) {
    let plan = "limits: {default_plan: p}\nplans:\n  p: {organization: [{requests: 1/day}]}\n";
    let stand = Stand::with(backend, "", plan).await;
    let first = stand.ingest("un.txt", "Un premier texte.").await;
    assert_eq!(first["status"], "done", "{first}");
    let id = stand.upload("deux.txt", "Un second texte.").await;
    let waiting = until(&stand.app, &stand.key, id, |state| state["reason"].is_string()).await;
    assert_eq!(waiting["status"], "embedding", "{waiting}");
    assert_eq!(stand.engine.posts(), 1);
    let path = format!("/v1/admin/organizations/{}/limits", stand.key.organization_id);
    let more = json!({"limits": [{"limit": "requests/day", "value": 10}]});
    let (status, page) =
        read(stand.app.request(Method::PUT, &path, &stand.app.admin_key).json(&more).send().await.expect("an answer"))
            .await;
    assert_eq!(status, 200, "{page}");
    let done = stand::ended(&stand.app, &stand.key, id).await;
    assert_eq!(done["status"], "done", "{done}");
    assert_eq!(stand.engine.posts(), 2);
}

async fn a_batch_larger_than_a_limit_goes_in_pieces(backend: Backend) {
    // About 25 tokens a chunk: five fit in a request, no more.
    let plan = "limits: {default_plan: p}\nplans:\n  p: {organization: [{tokens: 200/minute}]}\n";
    let stand = Stand::with(backend, "chunk_tokens: 40", plan).await;
    let text: Vec<String> =
        (0..8).map(|nth| format!("Alinéa {nth} : le préfet arrête ce qui suit pour la commune.")).collect();
    let id = stand.upload("long.txt", text.join("\n\n").repeat(2)).await;
    // All of it is more than a minute allows: a part goes at once, the rest waits its turn.
    let some = until(&stand.app, &stand.key, id, |state| state["indexed"].as_i64() > Some(0)).await;
    assert_ne!(some["status"], "failed", "{some}");
    assert!(stand.engine.posts() >= 1);
    let path = format!("/v1/admin/organizations/{}/limits", stand.key.organization_id);
    let none = json!({"limits": [{"limit": "tokens/minute", "value": null}]});
    let (status, page) =
        read(stand.app.request(Method::PUT, &path, &stand.app.admin_key).json(&none).send().await.expect("an answer"))
            .await;
    assert_eq!(status, 200, "{page}");
    let done = stand::ended(&stand.app, &stand.key, id).await;
    assert_eq!(done["status"], "done", "{done}");
    assert_eq!(stand.points().await.len() as u64, done["chunks"].as_u64().expect("a count"));
}

async fn the_next_batch_is_embedded_while_this_one_is_indexed(backend: Backend) {
    let stand = Stand::with(backend, "embedders: 1, batch: 4", "").await;
    let gate = Gate::closed();
    stand.engine.script_model(MODEL, Reply::from(Embeddings::of(DIMENSIONS)).behind(&gate));
    let (name, text) = corpus(1).into_iter().next().expect("a document");
    let id = stand.upload(&name, text).await;
    // The second request comes before anything of the first is flushed.
    gate.admit(1);
    assert!(stand.engine.until(|counts| counts.posts == 2).await, "{:?}", stand.engine.counts());
    assert_eq!(stand::state(&stand.app, &stand.key, id).await["indexed"], 0);
    gate.open();
    let done = stand::ended(&stand.app, &stand.key, id).await;
    assert_eq!(done["status"], "done", "{done}");
    for call in stand.engine.calls() {
        assert!(call.json()["input"].as_array().is_some_and(|input| (1..=4).contains(&input.len())));
    }
}

async fn each_call_is_a_record_of_the_project(backend: Backend) {
    let stand = Stand::start(backend).await;
    let done = stand.ingest("a.txt", "Un texte de sept mots en tout.").await;
    assert_eq!(done["status"], "done", "{done}");
    let records = stand.app.records(1).await;
    let record = &records[0];
    assert_eq!((&record["endpoint"], &record["outcome"]), (&json!("embeddings"), &json!("success")), "{record}");
    assert_eq!(record["project_id"], stand.key.project_id, "{record}");
    assert_eq!(record["organization_id"], stand.key.organization_id, "{record}");
    assert_eq!(record["data_class"], "internal", "{record}");
    // As the engine counted, prefix included.
    assert_eq!((&record["tokens_in"], &record["tokens_estimated"]), (&json!(8), &json!(false)), "{record}");
}
