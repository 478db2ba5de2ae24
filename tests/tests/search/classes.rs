//! A request's class is the highest among its project and the collections it searches: it governs every model it uses.

use serde_json::{Value, json};
use tests::Backend;
use tests::engine::Chat;

use crate::search::stand::{CHAT, Stand, chunk, document};

fn cites(model: &str, collection: i64) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Que dit le dossier ?"}],
        "search": true, "search_args": {"collections": [collection], "method": "lexical", "k": 3}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sensitive_collection_raises_the_class_of_a_public_project() {
    let stand = Stand::start(Backend::Sqlite).await;
    let public = stand.app.key("Ministère B", "public").await;
    let low = crate::search::stand::collection(&stand.app, &public, &json!({"name": "bas"})).await;
    let high =
        crate::search::stand::collection(&stand.app, &public, &json!({"name": "haut", "data_class": "sensitive"}))
            .await;
    for collection in [low, high] {
        document(&stand.app, &public, collection, "d", &json!({}), &[chunk("Le dossier dit ceci.")]).await;
    }
    stand.engine.script_model("causeur-europe", Chat::text("Ceci [1]."));
    stand.engine.script_model(CHAT, Chat::text("Ceci [1]."));
    let ask = async |body: &Value| stand.app.post("/v1/chat/completions", &public.secret, body).await;
    let (status, answer) = ask(&cites("causeur-europe", low)).await;
    assert_eq!(status, 200, "{answer}");
    stand.engine.forget();
    let (status, answer) = ask(&cites("causeur-europe", high)).await;
    assert_eq!((status, &answer["error"]["code"]), (403, &json!("sovereignty_policy")), "{answer}");
    assert_eq!(stand.engine.posts(), 0, "nothing of it left");
    let (status, answer) = ask(&cites(CHAT, high)).await;
    assert_eq!(status, 200, "{answer}");
    let body = json!({"query": "dossier", "collection_ids": [low, high]});
    assert_eq!(stand.app.post("/v1/search", &public.secret, &body).await.0, 200);
    let records = stand.app.records(7).await;
    let class = |endpoint: &str| {
        let record = records.iter().find(|record| record["endpoint"] == endpoint).expect(endpoint);
        record["data_class"].as_str().unwrap().to_owned()
    };
    assert_eq!(class("search"), "sensitive");
    let chats: Vec<(&Value, &Value)> = records
        .iter()
        .filter(|record| record["endpoint"] == "chat.completions")
        .map(|record| (&record["data_class"], &record["status"]))
        .collect();
    assert_eq!(chats[0], (&json!("sensitive"), &json!(200)), "{chats:?}");
}

/// An embedding model that a class may not reach refuses the search, even of a question it has embedded before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remembered_question_obeys_the_rules() {
    let stand = Stand::start(Backend::Sqlite).await;
    let public = stand.app.key("Ministère B", "public").await;
    let low = crate::search::stand::collection(&stand.app, &public, &json!({"name": "bas"})).await;
    document(&stand.app, &public, low, "d", &json!({}), &[chunk("texte")]).await;
    let body = json!({"query": "texte", "collection_ids": [low]});
    assert_eq!(stand.app.post("/v1/search", &public.secret, &body).await.0, 200);
    let moved =
        crate::search::stand::configuration(&stand.engine, "").replacen("hosting: state", "hosting: foreign", 1);
    stand.app.write_configuration(&moved);
    let (_, project) = stand.app.get(&format!("/v1/admin/projects/{}", public.project_id), &stand.app.admin_key).await;
    assert_eq!(project["data_class"], "public", "{project}");
    let raised = json!({"data_class": "sensitive"});
    let path = format!("/v1/admin/projects/{}", public.project_id);
    let (status, answer) = stand.app.patch(&path, &stand.app.admin_key, &raised).await;
    assert_eq!(status, 200, "{answer}");
    let started = std::time::Instant::now();
    loop {
        let (status, answer) = stand.app.post("/v1/search", &public.secret, &body).await;
        if (status, &answer["error"]["code"]) == (403, &json!("sovereignty_policy")) {
            return;
        }
        assert!(started.elapsed() < tests::app::PATIENCE, "{status} {answer}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
