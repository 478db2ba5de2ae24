//! Each route, by its names of today and before; pages and orders of lists.

use serde_json::{Value, json};
use tests::{Backend, FakeEngine, TestApp, model, on_each_database};

use crate::collections::stand::{DIMENSIONS, MODEL, Stand, encoded, ids, made};

on_each_database!(
    a_collection_is_made_read_changed_and_deleted,
    lists_come_in_pages_and_orders,
    a_document_without_a_file_takes_chunks,
    chunks_have_their_older_address,
    wrong_requests_name_the_field
);

async fn a_collection_is_made_read_changed_and_deleted(backend: Backend) {
    let stand = Stand::start(backend).await;
    let (app, key) = (&stand.app, &stand.key.secret);
    let form = json!({"name": " Fiches ", "description": "du service public", "visibility": "shared", "model": MODEL});
    let (status, collection) = app.post("/v1/collections", key, &form).await;
    assert_eq!(status, 201, "{collection}");
    let id = collection["id"].as_i64().expect("an integer");
    for (field, value) in [
        ("object", json!("collection")),
        ("name", json!("Fiches")),
        ("description", json!("du service public")),
        ("visibility", json!("shared")),
        ("data_class", json!("internal")),
        ("language", json!("fr")),
        ("embedding_model", json!(MODEL)),
        ("dimensions", json!(DIMENSIONS)),
        ("owner", json!("produit")),
        ("project_id", json!(stand.key.project_id)),
        ("documents", json!(0)),
    ] {
        assert_eq!(collection[field], value, "{field}: {collection}");
    }
    let path = format!("/v1/collections/{id}");
    assert_eq!(app.get(&path, key).await, (200, collection));
    let change = json!({"name": "Fiches 2", "description": "", "visibility": "private", "data_class": "sensitive"});
    let (status, changed) = app.patch(&path, key, &change).await;
    assert_eq!(status, 200, "{changed}");
    assert_eq!(
        [&changed["name"], &changed["description"], &changed["visibility"], &changed["data_class"]],
        [&json!("Fiches 2"), &Value::Null, &json!("private"), &json!("sensitive")]
    );
    assert_eq!(app.get(&path, key).await.1["name"], "Fiches 2");
    assert_eq!(app.delete(&path, key).await.0, 204);
    for answer in [app.get(&path, key).await, app.delete(&path, key).await, app.patch(&path, key, &json!({})).await] {
        assert_eq!((answer.0, &answer.1["error"]["code"]), (404, &json!("not_found")), "{answer:?}");
    }
    assert_eq!(app.get("/v1/collections", key).await.1["total"], 0);
}

async fn lists_come_in_pages_and_orders(backend: Backend) {
    let stand = Stand::start(backend).await;
    let (app, key) = (&stand.app, &stand.key.secret);
    let mut collections = Vec::new();
    for (name, visibility) in [("c", "private"), ("a", "shared"), ("b", "private")] {
        let form = json!({"name": name, "visibility": visibility});
        collections.push(made(app.post("/v1/collections", key, &form).await));
    }
    let [c, a, b] = collections[..] else { panic!("{collections:?}") };
    let mut documents = Vec::new();
    for name in ["z", "x", "y"] {
        let into = c.to_string();
        documents.push(made(encoded(app, key, &[("collection_id", into.as_str()), ("name", name)]).await));
    }
    let [z, x, y] = documents[..] else { panic!("{documents:?}") };
    for (query, wanted) in [
        ("collections", vec![c, a, b]),
        ("collections?order_by=name", vec![a, b, c]),
        ("collections?order_by=name&order_direction=desc&limit=2", vec![c, b]),
        ("collections?order_by=created_at&order_direction=desc", vec![b, a, c]),
        ("collections?limit=1&offset=1", vec![a]),
        ("collections?visibility=private", vec![c, b]),
        ("collections?name=a", vec![a]),
        ("documents", vec![z, x, y]),
        ("documents?order_by=name", vec![x, y, z]),
        ("documents?limit=2&offset=2", vec![y]),
        ("documents?name=x", vec![x]),
        ("documents?status=failed", vec![]),
        (&format!("documents?collection_id={c}&order_direction=desc"), vec![y, x, z]),
        (&format!("documents?collection={a}"), vec![]),
    ] {
        let (status, list) = app.get(&format!("/v1/{query}"), key).await;
        assert_eq!((status, ids(&list)), (200, wanted), "{query}: {list}");
        assert_eq!(list["object"], "list");
    }
    let (_, list) = app.get("/v1/collections?limit=1", key).await;
    assert_eq!(list["total"], 3, "of all, not of the page: {list}");
    assert_eq!(app.get(&format!("/v1/collections/{c}"), key).await.1["documents"], 3);
}

async fn a_document_without_a_file_takes_chunks(backend: Backend) {
    let stand = Stand::start(backend).await;
    let (app, key) = (&stand.app, &stand.key.secret);
    let collection = stand.collection("fonds").await.to_string();
    // Form-encoded, and as a form of parts.
    let fields = [("collection", collection.as_str()), ("name", "à la main"), ("metadata", r#"{"theme": "congés"}"#)];
    let (status, document) = encoded(app, key, &fields).await;
    assert_eq!((status, &document["status"]), (201, &json!("done")), "{document}");
    let other = made(stand.upload(&stand.key, &fields, None).await);
    let id = document["id"].as_i64().expect("an id");
    assert_ne!(id, other, "without a file there is nothing to be the same");

    let chunks = format!("/v1/documents/{id}/chunks");
    let bare =
        json!([{"content": "Tout salarié a droit à des congés.", "metadata": {"page": 1}}, {"content": "Deux."}]);
    let (status, added) = app.post(&chunks, key, &bare).await;
    assert_eq!((status, &added["status"], &added["document_id"]), (201, &json!("done"), &json!(id)), "{added}");
    let wrapped = json!({"chunks": [{"content": "Trois."}]});
    let (status, more) = app.post(&chunks, key, &wrapped).await;
    assert_eq!(status, 201, "{more}");
    assert_eq!(stand.points().await, 3);
    let (status, list) = app.get(&chunks, key).await;
    assert_eq!((status, &list["total"]), (200, &json!(3)), "{list}");
    let mut all: Vec<i64> = added["ids"].as_array().expect("ids").iter().filter_map(Value::as_i64).collect();
    all.extend(more["ids"].as_array().expect("ids").iter().filter_map(Value::as_i64));
    assert_eq!(ids(&list), all);
    let first = &list["data"][0];
    let wanted = json!({"page": 1, "theme": "congés", "document_name": "à la main"});
    assert_eq!((&first["metadata"], &first["indexed"], &first["position"]), (&wanted, &json!(true), &json!(0)));
    assert_eq!(ids(&app.get(&format!("{chunks}?limit=1&offset=2"), key).await.1), [all[2]]);
    let (_, collection) = app.get(&format!("/v1/collections/{collection}"), key).await;
    assert_eq!((&collection["documents"], &collection["chunks"]), (&json!(2), &json!(3)));

    // One at a time.
    let one = format!("{chunks}/{}", all[1]);
    assert_eq!(app.get(&one, key).await.1["content"], "Deux.");
    assert_eq!(app.delete(&one, key).await.0, 204);
    assert_eq!((app.get(&one, key).await.0, app.delete(&one, key).await.0), (404, 404));
    stand.until("the chunk stays in the index", async || stand.points().await == 2).await;
    assert_eq!(app.get(&format!("/v1/documents/{id}"), key).await.1["chunks"], 2);
    let counted = format!(
        "SELECT CAST(SUM(documents) AS BIGINT) FROM collection_terms WHERE collection_id = {}",
        collection["id"]
    );
    let terms = stand.rows(&counted).await;
    assert_eq!(app.delete(&format!("/v1/documents/{id}"), key).await.0, 204);
    assert!(terms > 0);
    assert_eq!(stand.rows("SELECT COUNT(*) FROM collection_terms").await, 0, "its terms are no longer counted");
}

async fn chunks_have_their_older_address(backend: Backend) {
    let stand = Stand::start(backend).await;
    let (app, key) = (&stand.app, &stand.key.secret);
    let collection = stand.collection("fonds").await.to_string();
    let id = made(stand.upload(&stand.key, &[("collection_id", &collection), ("name", "d")], None).await);
    let (_, added) = app.post(&format!("/v1/documents/{id}/chunks"), key, &json!([{"content": "Un."}])).await;
    let chunk = added["ids"][0].as_i64().expect("an id");
    for (old, new) in [
        (format!("/v1/chunks/{id}"), format!("/v1/documents/{id}/chunks")),
        (format!("/v1/chunks/{id}/{chunk}"), format!("/v1/documents/{id}/chunks/{chunk}")),
    ] {
        let (old, new) = (app.get(&old, key).await, app.get(&new, key).await);
        assert_eq!((old.0, &old), (200, &new));
    }
    assert_eq!(app.get(&format!("/v1/chunks/{id}/0"), key).await.0, 404);
}

async fn wrong_requests_name_the_field(backend: Backend) {
    let stand = Stand::start(backend).await;
    let (app, key) = (&stand.app, &stand.key.secret);
    let collection = stand.collection("fonds").await;
    for (form, param) in [
        (json!({}), json!("name")),
        (json!({"name": "  "}), json!("name")),
        (json!({"name": "a", "visibility": "secret"}), json!("visibility")),
        (json!({"name": "a", "data_class": "public"}), json!("data_class")),
        (json!({"name": "a", "visbility": "shared"}), json!("visbility")),
        (json!({"name": "a", "description": "x".repeat(2_001)}), json!("description")),
        (json!({"name": "a", "embedding_model": "inconnu"}), json!("embedding_model")),
        (json!({"name": "a", "embedding_model": "causeur"}), json!("embedding_model")),
    ] {
        let (status, refused) = app.post("/v1/collections", key, &form).await;
        assert!((400..500).contains(&status), "{form}: {refused}");
        assert_eq!(refused["error"]["param"], param, "{form}: {refused}");
    }
    for (query, param) in [
        ("collections?limit=0", "limit"),
        ("collections?limit=1001", "limit"),
        ("collections?offset=-1", "offset"),
        ("collections?order_by=size", "order_by"),
        ("documents?order_direction=up", "order_direction"),
    ] {
        let (status, refused) = app.get(&format!("/v1/{query}"), key).await;
        assert_eq!((status, &refused["error"]["param"]), (400, &json!(param)), "{query}: {refused}");
    }
    for path in
        ["/v1/collections?limit=many", "/v1/documents?status=lost", "/v1/collections/abc", "/v1/documents/x/chunks"]
    {
        let (status, refused) = app.get(path, key).await;
        assert_eq!((status, &refused["error"]["code"]), (400, &json!("invalid_request_error")), "{path}: {refused}");
    }
    for path in
        ["/v1/collections/999", "/v1/documents/999", "/v1/documents?collection_id=999", "/v1/documents/999/chunks"]
    {
        let (status, refused) = app.get(path, key).await;
        assert_eq!((status, &refused["error"]["code"]), (404, &json!("not_found")), "{path}: {refused}");
    }
    let id = made(stand.upload(&stand.key, &[("collection_id", &collection.to_string()), ("name", "d")], None).await);
    let long = "congé ".repeat(200);
    for (body, param) in [
        (json!([]), "chunks"),
        (json!({"chunks": vec![json!({"content": "a"}); 65]}), "chunks"),
        (json!([{"content": "a"}, {"content": ""}]), "chunks[1].content"),
        (json!([{"content": long}]), "chunks[0].content"),
        (json!([{"content": "a", "metadata": {"b": {"c": 1}}}]), "chunks[0].metadata.b"),
    ] {
        let (status, refused) = app.post(&format!("/v1/documents/{id}/chunks"), key, &body).await;
        assert_eq!((status, &refused["error"]["param"]), (400, &json!(param)), "{refused}");
    }
    assert_eq!(stand.rows("SELECT COUNT(*) FROM chunks").await, 0, "nothing half-written");
}

/// Without the section `retrieval` nothing of it exists, in the description neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_retrieval_there_is_no_route() {
    let engine = FakeEngine::start().await;
    let app = TestApp::start(&format!("models:\n{}", model("fake/plain", "chat", &engine.url(), ""))).await;
    let key = app.key("A", "internal").await;
    for path in ["/v1/collections", "/v1/documents", "/v1/documents/1/chunks", "/v1/chunks/1"] {
        let (status, refused) = app.get(path, &key.secret).await;
        assert_eq!(status, 404, "{path}: {refused}");
        assert!(refused["detail"].as_str().is_some_and(|words| words.contains("/reference")), "{path}: {refused}");
    }
    let (_, described) = app.get("/openapi.json", "").await;
    assert!(!described.to_string().contains("/v1/collections"));
    assert!(!app.folder.path().join("data/index").exists());
}
