//! Quotas of an organization: documents and bytes, over all its projects, named when they are reached.

use serde_json::json;
use tests::{Backend, on_each_database};

use crate::collections::stand::{Stand, made};

on_each_database!(documents_are_counted_over_all_projects, bytes_are_counted_with_chunks_given_by_hand);

async fn documents_are_counted_over_all_projects(backend: Backend) {
    let stand = Stand::with(backend, "  quota: {documents: 2}\n").await;
    let other = stand.app.project_key(stand.key.organization_id, "autre produit", "internal").await;
    let elsewhere = stand.app.key("Ministère B", "internal").await;
    let mut collections = Vec::new();
    for key in [&stand.key, &other, &elsewhere] {
        collections.push(made(stand.app.post("/v1/collections", &key.secret, &json!({"name": "c"})).await).to_string());
    }
    let [mine, others, theirs] = &collections[..] else { panic!("{collections:?}") };
    let first = made(stand.upload(&stand.key, &[("collection_id", mine), ("name", "a")], None).await);
    made(stand.upload(&other, &[("collection_id", others), ("name", "b")], None).await);
    let third = [("collection_id", mine.as_str()), ("name", "c")];
    let (status, refused) = stand.upload(&stand.key, &third, None).await;
    assert_eq!((status, &refused["error"]["code"]), (403, &json!("storage_quota_exceeded")), "{refused}");
    let words = refused["detail"].as_str().unwrap_or_default();
    assert!(words.contains("2 documents") && words.contains("retrieval.quota.documents"), "{words}");
    made(stand.upload(&elsewhere, &[("collection_id", theirs), ("name", "d")], None).await);
    // Room comes back with a deletion. Of several at once, only as many as fit.
    assert_eq!(stand.app.delete(&format!("/v1/documents/{first}"), &stand.key.secret).await.0, 204);
    let together = futures_util::future::join_all((0..6).map(|_| stand.upload(&stand.key, &third, None))).await;
    assert_eq!(together.iter().filter(|(status, _)| *status == 201).count(), 1, "{together:?}");
    assert_eq!(stand.app.delete(&format!("/v1/collections/{mine}"), &stand.key.secret).await.0, 204);
    made(stand.upload(&other, &[("collection_id", others), ("name", "e")], None).await);
}

async fn bytes_are_counted_with_chunks_given_by_hand(backend: Backend) {
    let stand = Stand::with(backend, "  quota: {bytes: 100B}\n").await;
    let collection = stand.collection("fonds").await.to_string();
    let fields = [("collection_id", collection.as_str())];
    let text = b"Soixante octets de texte sur les conges payes des salaries..";
    let id = made(stand.upload(&stand.key, &fields, Some(("a.txt", text))).await);
    let (status, refused) = stand.upload(&stand.key, &fields, Some(("b.txt", text))).await;
    assert_eq!((status, &refused["error"]["code"]), (403, &json!("storage_quota_exceeded")), "{refused}");
    assert!(refused["detail"].as_str().is_some_and(|words| words.contains("retrieval.quota.bytes")), "{refused}");
    let chunks = format!("/v1/documents/{id}/chunks");
    let (status, refused) = stand.app.post(&chunks, &stand.key.secret, &json!([{"content": "x".repeat(41)}])).await;
    assert_eq!((status, &refused["error"]["code"]), (403, &json!("storage_quota_exceeded")), "{refused}");
    let (status, added) = stand.app.post(&chunks, &stand.key.secret, &json!([{"content": "x".repeat(40)}])).await;
    assert_eq!(status, 201, "{added}");
    let (_, held) = stand.app.get(&format!("/v1/collections/{collection}"), &stand.key.secret).await;
    assert_eq!(held["bytes"], 100, "{held}");
    assert_eq!(stand.files().len(), 1, "a file that is refused does not stay: {:?}", stand.files());
}
