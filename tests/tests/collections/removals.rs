//! Deleting deletes: rows, files, vectors, queue; also when the gateway stops in between, and while a worker writes.

use serde_json::json;
use tests::engine::{Embeddings, Reply, ms};
use tests::{Backend, TestApp, on_each_database};

use crate::collections::stand::{DIMENSIONS, MODEL, Stand, configuration, made};

on_each_database!(
    a_document_leaves_nothing,
    a_collection_leaves_nothing,
    what_was_not_removed_is_removed_after_a_restart,
    what_is_deleted_while_it_is_ingested_stays_deleted
);

const TABLES: [&str; 4] = ["documents", "chunks", "collection_terms", "ingestion_jobs"];

async fn nothing_is_left(stand: &Stand) {
    stand.until("a removal stays", async || stand.rows("SELECT COUNT(*) FROM removals").await == 0).await;
    assert_eq!(stand.points().await, 0);
    assert_eq!(stand.files(), Vec::<std::path::PathBuf>::new());
    for table in TABLES {
        assert_eq!(stand.rows(&format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table}");
    }
}

async fn a_document_leaves_nothing(backend: Backend) {
    let stand = Stand::start(backend).await;
    let collection = stand.collection("fonds").await;
    let fields = [("collection_id", collection.to_string())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let id = made(stand.upload(&stand.key, &fields, Some(("a.txt", b"Des conges payes."))).await);
    assert!(stand.points().await > 0 && stand.files().len() == 1);
    assert_eq!(stand.app.delete(&format!("/v1/documents/{id}"), &stand.key.secret).await.0, 204);
    for path in [format!("/v1/documents/{id}"), format!("/v1/documents/{id}/chunks")] {
        assert_eq!(stand.app.get(&path, &stand.key.secret).await.0, 404, "{path}");
    }
    nothing_is_left(&stand).await;
    let (_, left) = stand.app.get(&format!("/v1/collections/{collection}"), &stand.key.secret).await;
    assert_eq!([&left["documents"], &left["chunks"], &left["bytes"]], [&json!(0); 3], "{left}");
    assert_eq!(stand.rows("SELECT COUNT(*) FROM collections WHERE terms <> 0").await, 0);
}

async fn a_collection_leaves_nothing(backend: Backend) {
    let stand = Stand::start(backend).await;
    let collection = stand.collection("fonds").await.to_string();
    for nth in 0..3 {
        let (name, text) = (format!("{nth}.txt"), format!("Texte {nth}."));
        made(stand.upload(&stand.key, &[("collection_id", &collection)], Some((&name, text.as_bytes()))).await);
    }
    let kept = stand.collection("autre").await.to_string();
    let other = made(stand.upload(&stand.key, &[("collection_id", &kept)], Some(("a.txt", b"Autre."))).await);
    assert_eq!(stand.app.delete(&format!("/v1/collections/{collection}"), &stand.key.secret).await.0, 204);
    assert_eq!(stand.app.get("/v1/documents", &stand.key.secret).await.1["total"], 1, "gone at once");
    stand.until("its rows stay", async || stand.rows("SELECT COUNT(*) FROM collections").await == 1).await;
    stand.until("its files stay", async || stand.files().len() == 1 && stand.points().await == 1).await;
    assert_eq!(stand.app.delete(&format!("/v1/documents/{other}"), &stand.key.secret).await.0, 204);
    nothing_is_left(&stand).await;
}

async fn what_was_not_removed_is_removed_after_a_restart(backend: Backend) {
    let stand = Stand::start(backend).await;
    let collection = stand.collection("fonds").await.to_string();
    let fields = [("collection_id", collection.as_str())];
    made(stand.upload(&stand.key, &fields, Some(("a.txt", b"Des conges payes."))).await);
    let (id, file) = (stand.rows("SELECT id FROM documents").await, stand.files());
    // As a crash leaves it between the deletion and what follows: the row is noted, the rest is there.
    let Stand { app, engine, key } = stand;
    let (folder, database) = app.stop().await;
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(&database.url).await.expect("the database");
    for query in [
        format!(
            "INSERT INTO removals (id, collection_id, document_id, file, attempts, not_before, keep_until, created_at) \
                 VALUES (99, {collection}, {id}, '{collection}/{id}', 0, 0, 0, 0)"
        ),
        format!("DELETE FROM chunks WHERE document_id = {id}"),
        "DELETE FROM collection_terms".to_owned(),
        format!("DELETE FROM documents WHERE id = {id}"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(query)).execute(&pool).await.expect("it is written");
    }
    pool.close().await;
    assert!(file.iter().all(|file| file.exists()));
    let app = TestApp::in_folder(folder, database, &configuration(&engine, "")).await;
    nothing_is_left(&Stand { app, engine, key }).await;
}

async fn what_is_deleted_while_it_is_ingested_stays_deleted(backend: Backend) {
    let stand = Stand::start(backend).await;
    stand.engine.script_model(MODEL, Reply::from(Embeddings::of(DIMENSIONS)).after(ms(300)));
    let collection = stand.collection("fonds").await.to_string();
    let id = made(stand.app.post("/v1/collections", &stand.key.secret, &json!({"name": "entière"})).await).to_string();
    for (into, name) in [(&collection, "a.txt"), (&id, "b.txt")] {
        let fields = [("collection_id", into.as_str())];
        let headers = [("prefer", "respond-async")];
        let file = Some((name, b"Des conges payes.".as_slice()));
        made(crate::collections::stand::upload(&stand.app, &stand.key.secret, &fields, file, &headers).await);
    }
    let under_way = "SELECT COUNT(*) FROM documents WHERE status = 'embedding'";
    stand.until("nothing is embedded", async || stand.rows(under_way).await > 0).await;
    let (_, list) = stand.app.get(&format!("/v1/documents?collection_id={collection}"), &stand.key.secret).await;
    let document = list["data"][0]["id"].as_i64().expect("an id");
    assert_eq!(stand.app.delete(&format!("/v1/documents/{document}"), &stand.key.secret).await.0, 204);
    assert_eq!(stand.app.delete(&format!("/v1/collections/{id}"), &stand.key.secret).await.0, 204);
    // What the engine still answers must not come back.
    let engine = &stand.engine;
    assert!(engine.until(|counts| counts.posts >= 1).await, "{:?}", engine.counts());
    stand
        .until("it is in the index", async || {
            let calls_end = stand.rows("SELECT COUNT(*) FROM ingestion_jobs").await == 0;
            calls_end && stand.points().await == 0 && stand.files().is_empty()
        })
        .await;
    assert_eq!(stand.rows("SELECT COUNT(*) FROM chunks").await, 0);
}
