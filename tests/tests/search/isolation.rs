//! Searches of organizations, projects and members never cross: what may not be read is as if it did not exist.

use std::collections::HashSet;

use serde_json::{Value, json};
use tests::{Backend, Key, TestApp};

use crate::search::stand::{Stand, chunk, document, on_both};

/// A collection as the test knows it.
struct Known {
    id: i64,
    organization: i64,
    project: i64,
    visibility: &'static str,
    documents: Vec<i64>,
}

fn reads(key: &Key, known: &Known) -> bool {
    known.project == key.project_id
        || known.visibility == "public"
        || (known.visibility == "shared" && known.organization == key.organization_id)
}

async fn search(app: &TestApp, key: &Key, body: &Value) -> (u16, Value) {
    app.post("/v1/search", &key.secret, body).await
}

/// Random organizations, projects, visibilities, changes and deletions; every chunk says the same words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_result_ever_crosses() {
    on_both(|backend| async move {
        let stand = Stand::start(backend).await;
        let app = &stand.app;
        let mut random = fastrand::Rng::with_seed(41);
        let mut keys = Vec::new();
        for name in ["Ministère B", "Ministère C"] {
            let first = app.key(name, "public").await;
            keys.push(app.project_key(first.organization_id, "autre", "public").await);
            keys.push(first);
        }
        let mut known: Vec<Known> = Vec::new();
        for step in 0..60 {
            let key = keys[random.usize(..keys.len())].clone();
            let mine: Vec<usize> = (0..known.len()).filter(|nth| known[*nth].project == key.project_id).collect();
            match random.u8(..10) {
                0..=3 => {
                    let visibility = if random.bool() { "shared" } else { "private" };
                    let body = json!({"name": format!("c{step}"), "visibility": visibility});
                    let id = crate::search::stand::collection(app, &key, &body).await;
                    let (organization, project) = (key.organization_id, key.project_id);
                    known.push(Known { id, organization, project, visibility, documents: Vec::new() });
                }
                4..=6 if !mine.is_empty() => {
                    let nth = mine[random.usize(..mine.len())];
                    let said = [chunk("le même texte"), chunk(&format!("le même texte {step}"))];
                    let made = document(app, &key, known[nth].id, &format!("d{step}"), &json!({}), &said).await;
                    known[nth].documents.push(made);
                }
                7 if !mine.is_empty() => {
                    let one = &mut known[mine[random.usize(..mine.len())]];
                    one.visibility = if random.bool() { "shared" } else { "private" };
                    // Opening to the instance is for managers.
                    let (visibility, admin) =
                        if random.u8(..4) == 0 { ("public", &app.admin_key) } else { (one.visibility, &key.secret) };
                    one.visibility = visibility;
                    let path = format!("/v1/collections/{}", one.id);
                    let (status, answer) = app.patch(&path, admin, &json!({"visibility": visibility})).await;
                    assert!((200..300).contains(&status), "{status} {answer}");
                }
                8 if !mine.is_empty() => {
                    let gone = known.swap_remove(mine[random.usize(..mine.len())]);
                    assert_eq!(app.delete(&format!("/v1/collections/{}", gone.id), &key.secret).await.0, 204);
                    let body = json!({"query": "le même texte", "collection_ids": [gone.id]});
                    assert_eq!(search(app, &key, &body).await.0, 404, "deleted, and at once");
                }
                _ => {
                    let one = random.usize(..known.len().max(1));
                    if let Some(document) = known.get_mut(one).and_then(|known| known.documents.pop()) {
                        let owner = keys.iter().find(|key| key.project_id == known[one].project).unwrap();
                        assert_eq!(app.delete(&format!("/v1/documents/{document}"), &owner.secret).await.0, 204);
                    }
                }
            }
            check(app, &keys, &known, &mut random).await;
        }
        assert!(known.iter().any(|one| !one.documents.is_empty()), "something was searched");
    })
    .await;
}

/// One caller asks for some collections, in one method: all readable and only their documents come, or 404.
async fn check(app: &TestApp, keys: &[Key], known: &[Known], random: &mut fastrand::Rng) {
    let key = &keys[random.usize(..keys.len())];
    let some: Vec<&Known> = known.iter().filter(|_| random.u8(..3) > 0).take(20).collect();
    let readable: Vec<&Known> = some.iter().filter(|one| reads(key, one)).copied().collect();
    let method = ["semantic", "lexical", "hybrid"][random.usize(..3)];
    let body = |of: &[&Known]| {
        let ids: Vec<i64> = of.iter().map(|one| one.id).collect();
        json!({"query": "le même texte", "collection_ids": ids, "method": method, "limit": 100})
    };
    if readable.len() < some.len() {
        let (status, answer) = search(app, key, &body(&some)).await;
        assert_eq!((status, &answer["error"]["param"]), (404, &json!("collection_ids")), "{answer}");
        assert!(!answer.to_string().contains("même texte"));
    }
    if readable.is_empty() {
        return;
    }
    let (status, answer) = search(app, key, &body(&readable)).await;
    assert_eq!(status, 200, "{answer}");
    let documents: HashSet<i64> = readable.iter().flat_map(|one| one.documents.iter().copied()).collect();
    let found: Vec<i64> =
        answer["data"].as_array().unwrap().iter().map(|r| r["chunk"]["document_id"].as_i64().unwrap()).collect();
    assert!(found.iter().all(|document| documents.contains(document)), "{found:?} of {documents:?}");
    assert_eq!(found.iter().copied().collect::<HashSet<i64>>(), documents, "and all of them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_and_not_visible_look_alike() {
    let stand = Stand::start(Backend::Sqlite).await;
    let mine = stand.collection("mienne").await;
    let other = stand.app.key("Ministère B", "internal").await;
    let theirs = crate::search::stand::collection(&stand.app, &other, &json!({"name": "leur"})).await;
    let document = document(&stand.app, &other, theirs, "d", &json!({}), &[chunk("le même texte")]).await;
    let unknown = stand.post("/v1/search", &json!({"query": "q", "collection_ids": [mine, 424_242]})).await;
    let hidden = stand.post("/v1/search", &json!({"query": "q", "collection_ids": [mine, theirs]})).await;
    assert_eq!(unknown, hidden);
    assert_eq!(unknown.0, 404);
    for ids in [json!([document]), json!([document + 1_000])] {
        let body = json!({"query": "q", "document_ids": ids});
        assert_eq!(stand.refused(&body).await, (404, "document_ids".to_owned()));
        let both = json!({"query": "q", "document_ids": ids, "collection_ids": [mine]});
        assert_eq!(stand.refused(&both).await, (404, "document_ids".to_owned()));
    }
}

/// Another organization's corpus is loaded beside mine: no score of mine moves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anothers_corpus_changes_no_score() {
    let stand = Stand::start(Backend::Sqlite).await;
    let mine = stand.collection("mienne").await;
    stand.document(mine, "d", &json!({}), &[chunk("congé payé"), chunk("congé maladie"), chunk("préavis")]).await;
    let body = json!({"query": "congé maladie", "collection_ids": [mine], "method": "lexical"});
    let before = stand.search(&body).await;
    let other = stand.app.key("Ministère B", "internal").await;
    let theirs = crate::search::stand::collection(&stand.app, &other, &json!({"name": "leur"})).await;
    let many: Vec<Value> = (0..60).map(|n| chunk(&format!("congé maladie {n}"))).collect();
    document(&stand.app, &other, theirs, "d", &json!({}), &many).await;
    assert_eq!(stand.search(&body).await, before);
}
