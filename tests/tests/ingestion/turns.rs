//! Organizations take turns: a small document is not behind another's thousand.

use std::time::{Duration, Instant};

use tests::engine::{Embeddings, Gate, Reply, ms};
use tests::{Backend, on_each_database};

use crate::ingestion::stand::{DIMENSIONS, MODEL, PATIENCE, Stand, collection, ended, upload};

on_each_database!(a_small_document_is_not_behind_a_thousand, a_long_document_leaves_room);

async fn waiting(stand: &Stand) -> u64 {
    let path = format!("/v1/documents?collection_id={}&status=done&limit=1", stand.collection);
    let (status, page) = stand.app.get(&path, &stand.key.secret).await;
    assert_eq!(status, 200, "{page}");
    page["total"].as_u64().unwrap_or_else(|| panic!("no total in {page}"))
}

async fn a_small_document_is_not_behind_a_thousand(backend: Backend) {
    const MANY: u64 = 300;
    // About four seconds of work, of which a turn is half of one.
    let stand = Stand::with(backend, "batch: 4", "").await;
    let gate = Gate::closed();
    stand.engine.script_model(MODEL, Reply::from(Embeddings::of(DIMENSIONS)).after(ms(100)).behind(&gate));
    for nth in 0..MANY {
        stand.upload(&format!("{nth}.txt"), format!("Le texte numéro {nth} de la première administration.")).await;
    }
    let other = stand.app.key("Ministère B", "internal").await;
    let theirs = collection(&stand.app, &other, "petit fonds").await;
    let id = upload(&stand.app, &other, theirs, "seul.txt", "Un seul petit texte.".into()).await;
    gate.open();
    let done = ended(&stand.app, &other, id).await;
    assert_eq!(done["status"], "done", "{done}");
    let before = waiting(&stand).await;
    assert!(before < MANY / 2, "{before} of the others came first");
    let started = Instant::now();
    while waiting(&stand).await < MANY {
        assert!(started.elapsed() < PATIENCE, "{} of {MANY}", waiting(&stand).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(stand.points().await.len() as u64, MANY + 1);
}

async fn a_long_document_leaves_room(backend: Backend) {
    let stand = Stand::with(backend, "chunk_tokens: 40, batch: 4, embedders: 1, readers: 1", "").await;
    stand.engine.script_model(MODEL, Reply::from(Embeddings::of(DIMENSIONS)).after(ms(100)));
    let long: Vec<String> =
        (0..400).map(|nth| format!("Alinéa {nth} : le préfet arrête ce qui suit pour la commune.")).collect();
    let long = stand.upload("long.txt", long.join("\n\n")).await;
    assert!(stand.engine.until(|counts| counts.posts >= 1).await, "{:?}", stand.engine.counts());
    let other = stand.app.key("Ministère B", "internal").await;
    let theirs = collection(&stand.app, &other, "petit fonds").await;
    let id = upload(&stand.app, &other, theirs, "seul.txt", "Un seul petit texte.".into()).await;
    assert_eq!(ended(&stand.app, &other, id).await["status"], "done");
    let state = crate::ingestion::stand::state(&stand.app, &stand.key, long).await;
    assert_eq!(state["status"], "embedding", "the long one was not finished first: {state}");
    assert_eq!(ended(&stand.app, &stand.key, long).await["status"], "done");
}
