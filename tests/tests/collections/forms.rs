//! Uploads: what a form may say, what is refused before anything is kept, when the answer comes.

use reqwest::Method;
use serde_json::{Value, json};
use tests::engine::{Embeddings, ms};
use tests::{Backend, on_each_database, read};

use crate::collections::stand::{DIMENSIONS, MODEL, Stand, form, made, upload};

on_each_database!(
    the_answer_comes_once_it_is_searchable,
    a_client_need_not_wait,
    a_file_that_cannot_be_read_is_refused_with_its_reason,
    what_is_wrong_with_a_form_is_named,
    the_same_upload_is_the_same_document
);

const FICHE: &[u8] = "# Congés payés\n\nTout salarié a droit à des congés payés.\n".as_bytes();

async fn the_answer_comes_once_it_is_searchable(backend: Backend) {
    let stand = Stand::start(backend).await;
    let collection = stand.collection("fonds").await.to_string();
    for (fields, name) in [
        (vec![("collection_id", collection.as_str()), ("metadata", r#"{"theme": "travail"}"#)], "congés.md"),
        (
            vec![("collection", collection.as_str()), ("name", "Autre nom"), ("preset_separators", "markdown")],
            "Autre nom",
        ),
        (
            vec![
                ("collection_id", collection.as_str()),
                ("name", "Coupé"),
                ("chunk_size", "20"),
                ("chunk_overlap", "0"),
                ("chunk_min_size", "0"),
                ("separators", "\n\n"),
                ("separators", " "),
                ("is_separator_regex", "false"),
            ],
            "Coupé",
        ),
    ] {
        let (status, document) = stand.upload(&stand.key, &fields, Some(("congés.md", FICHE))).await;
        assert_eq!((status, &document["status"], &document["name"]), (201, &json!("done"), &json!(name)), "{document}");
        assert_eq!((&document["object"], &document["bytes"]), (&json!("document"), &json!(FICHE.len())));
        assert!(document["id"].is_i64() && document["indexed"] == document["chunks"], "{document}");
        assert_eq!(document["chunks"].as_i64().unwrap_or(0) > 1, name == "Coupé", "{document}");
    }
    let held = stand.points().await;
    assert_eq!(held, u64::try_from(stand.rows("SELECT COUNT(*) FROM chunks").await).expect("a count"));
    assert_eq!(stand.files().len(), 3, "{:?}", stand.files());
    let (_, list) = stand.app.get("/v1/documents?name=cong%C3%A9s.md", &stand.key.secret).await;
    assert_eq!(list["data"][0]["metadata"], json!({"theme": "travail"}), "{list}");
}

async fn a_client_need_not_wait(backend: Backend) {
    let stand = Stand::start(backend).await;
    stand.engine.script_model(MODEL, tests::engine::Reply::from(Embeddings::of(DIMENSIONS)).after(ms(400)));
    let collection = stand.collection("fonds").await.to_string();
    let (kind, body) = form(&[("collection_id", &collection)], Some(("a.txt", FICHE)));
    let request = stand.app.request(Method::POST, "/v1/documents", &stand.key.secret).header("content-type", kind);
    let response = request.header("prefer", "wait=1, respond-async").body(body).send().await.expect("an answer");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["preference-applied"]),
        (202, &"respond-async".parse().expect("a value"))
    );
    let place = response.headers()["location"].to_str().expect("a path").to_owned();
    let document: Value = response.json().await.expect("JSON");
    assert_eq!(place, format!("/v1/documents/{}", document["id"]));
    assert_ne!(document["status"], "done", "{document}");
    stand.until("it is not done", async || stand.app.get(&place, &stand.key.secret).await.1["status"] == "done").await;
}

async fn a_file_that_cannot_be_read_is_refused_with_its_reason(backend: Backend) {
    let stand = Stand::start(backend).await;
    let collection = stand.collection("fonds").await.to_string();
    let fields = [("collection_id", collection.as_str())];
    let broken = ("a.pdf", b"%PDF-1.7\nnothing of a PDF".as_slice());
    let (status, refused) = stand.upload(&stand.key, &fields, Some(broken)).await;
    assert_eq!((status, &refused["error"]["code"]), (422, &json!("document_failed")), "{refused}");
    let (_, list) = stand.app.get("/v1/documents?status=failed", &stand.key.secret).await;
    assert_eq!(list["data"][0]["reason"], refused["detail"], "{list}");
    let english = upload(&stand.app, &stand.key.secret, &fields, Some(broken), &[("accept-language", "en")]).await;
    assert!(english.0 == 422 && english.1["detail"] != refused["detail"], "tried again, told in English: {english:?}");
    assert_eq!(stand.app.get("/v1/documents", &stand.key.secret).await.1["total"], 1);
    assert_eq!(stand.points().await, 0);
}

async fn what_is_wrong_with_a_form_is_named(backend: Backend) {
    let stand = Stand::start(backend).await;
    let collection = stand.collection("fonds").await.to_string();
    let id = ("collection_id", collection.as_str());
    let file = Some(("a.txt", FICHE));
    let large = vec![b'a'; (1 << 20) + 1];
    let huge = vec![b'a'; 3 << 20];
    let long = "x".repeat((64 << 10) + 1);
    let many: Vec<(&str, &str)> = std::iter::once(id).chain(std::iter::repeat_n(("x", "y"), 200)).collect();
    for (fields, file, status, param) in [
        (vec![], file, 400, json!("collection_id")),
        (vec![("collection_id", "fonds")], file, 400, json!("collection_id")),
        (vec![("collection_id", "999")], file, 404, Value::Null),
        (vec![id, ("metadata", "{theme: travail}")], file, 400, json!("metadata")),
        (vec![id, ("metadata", "[1, 2]")], file, 400, json!("metadata")),
        (vec![id, ("metadata", r#"{"a": {"b": 1}}"#)], file, 400, json!("metadata.a")),
        (vec![id, ("chunk_size", "many")], file, 400, json!("chunk_size")),
        (vec![id, ("chunk_size", "10"), ("chunk_overlap", "10")], file, 400, json!("chunk_size")),
        (vec![id, ("is_separator_regex", "perhaps")], file, 400, json!("is_separator_regex")),
        (vec![id, ("preset_separators", "klingon")], file, 400, json!("preset_separators")),
        (vec![id, ("name", &long)], file, 400, json!("name")),
        (many, file, 400, Value::Null),
        (vec![id], None, 400, json!("name")),
        (vec![id], Some(("vide.txt", b"".as_slice())), 400, json!("file")),
        (vec![id], Some(("a.txt", large.as_slice())), 413, json!("file")),
        (vec![id], Some(("a.txt", huge.as_slice())), 413, json!("file")),
    ] {
        let (got, refused) = stand.upload(&stand.key, &fields, file).await;
        assert_eq!((got, &refused["error"]["param"]), (status, &param), "{:?}: {refused}", fields.last());
    }
    let forms: [(&str, &[u8], u16); 4] = [
        ("application/json", b"{\"collection_id\": 1}", 415),
        ("multipart/form-data", b"--a--", 415),
        ("multipart/form-data; boundary=a", b"--a\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nhalf", 400),
        ("application/x-www-form-urlencoded", b"name=a", 400),
    ];
    for (kind, body, wanted) in forms {
        let request = stand.app.request(Method::POST, "/v1/documents", &stand.key.secret);
        let request = request.header("content-type", kind).body(body.to_vec());
        let (status, refused) = read(request.send().await.expect("an answer")).await;
        assert_eq!(status, wanted, "{kind}: {refused}");
    }
    assert_eq!(stand.rows("SELECT COUNT(*) FROM documents").await, 0, "nothing half-written");
    assert_eq!(stand.files(), Vec::<std::path::PathBuf>::new());
}

async fn the_same_upload_is_the_same_document(backend: Backend) {
    let stand = Stand::start(backend).await;
    let collection = stand.collection("fonds").await.to_string();
    let fields = [("collection_id", collection.as_str()), ("metadata", r#"{"a": 1}"#)];
    let first = made(stand.upload(&stand.key, &fields, Some(("a.txt", FICHE))).await);
    let calls = stand.engine.posts();
    assert_eq!(made(stand.upload(&stand.key, &fields, Some(("a.txt", FICHE))).await), first);
    assert_eq!(stand.engine.posts(), calls, "nothing is embedded again");
    // At once, several times: one document.
    let twice = [("collection_id", collection.as_str()), ("name", "deux fois")];
    let (one, two) = tokio::join!(
        stand.upload(&stand.key, &twice, Some(("b.txt", FICHE))),
        stand.upload(&stand.key, &twice, Some(("b.txt", FICHE)))
    );
    assert_eq!(made(one), made(two));
    // Another name, another content, another collection: other documents.
    let elsewhere = stand.collection("autre").await.to_string();
    let renamed = made(stand.upload(&stand.key, &fields, Some(("b.txt", FICHE))).await);
    let changed = made(stand.upload(&stand.key, &fields, Some(("a.txt", b"Autre chose."))).await);
    let copied = made(stand.upload(&stand.key, &[("collection_id", &elsewhere)], Some(("a.txt", FICHE))).await);
    // Other metadata, or another splitting, replace it.
    let other = [("collection_id", collection.as_str()), ("metadata", r#"{"a": 2}"#)];
    let replaced = made(stand.upload(&stand.key, &other, Some(("a.txt", FICHE))).await);
    let mut all = vec![first, renamed, changed, copied, replaced];
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 5);
    assert_eq!(stand.app.get(&format!("/v1/documents/{first}"), &stand.key.secret).await.0, 404);
    assert_eq!(stand.app.get("/v1/documents", &stand.key.secret).await.1["total"], 5);
    stand.until("what is replaced stays", async || stand.files().len() == 5 && stand.points().await == 5).await;
}
