//! Filters on metadata: each type, combined, and what is wrong with one.

use serde_json::{Value, json};

use crate::search::stand::{Stand, chunk, on_both};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_type_and_their_combinations() {
    on_both(|backend| async move {
        let stand = Stand::start(backend).await;
        let collection = stand.collection("filtres").await;
        let documents = [
            ("a", json!({"ministere": "Culture", "annee": 2023, "publie": true, "date": "2023-06-01", "themes": ["art", "aide"]})),
            ("b", json!({"ministere": "Travail", "annee": 2024, "publie": false, "date": "2024-02-10", "themes": ["emploi"]})),
            ("c", json!({"ministere": "Travaux", "annee": 2025, "publie": true, "date": "2025-01-31"})),
        ];
        for (name, metadata) in &documents {
            stand.document(collection, name, metadata, &[chunk(&format!("texte commun {name}"))]).await;
        }
        let eq = |key: &str, value: Value| json!({"key": key, "type": "eq", "value": value});
        let cases = [
            (eq("ministere", json!("Culture")), "a"),
            (eq("annee", json!(2024)), "b"),
            (eq("publie", json!(true)), "ac"),
            (eq("themes", json!("aide")), "a"),
            (eq("document_name", json!("c")), "c"),
            (json!({"key": "ministere", "type": "sw", "value": "Trava"}), "bc"),
            (json!({"key": "ministere", "type": "ew", "value": "ail"}), "b"),
            (json!({"key": "ministere", "type": "co", "value": "ultu"}), "a"),
            (json!({"key": "annee", "type": "ge", "value": 2024}), "bc"),
            (json!({"key": "annee", "type": "range", "from": 2023, "to": 2024}), "ab"),
            (json!({"key": "date", "type": "ge", "value": "2024-02-10"}), "bc"),
            (json!({"key": "date", "type": "le", "value": "2024-02-10"}), "ab"),
            (json!({"and": [eq("publie", json!(true)), {"key": "ministere", "type": "sw", "value": "Trav"}]}), "c"),
            (json!({"or": [eq("annee", json!(2023)), {"and": [eq("publie", json!(false)), eq("annee", json!(2024))]}]}), "ab"),
            (json!([eq("publie", json!(true)), eq("annee", json!(2025))]), "c"),
            (eq("absente", json!(1)), ""),
        ];
        for method in ["semantic", "lexical", "hybrid"] {
            for (filter, wanted) in &cases {
                let body = json!({"query": "texte commun", "collection_ids": [collection], "method": method, "metadata_filters": filter});
                let mut found: Vec<String> = stand.search(&body).await.iter().map(name).collect();
                found.sort();
                assert_eq!(found.concat(), *wanted, "{method} {filter}");
            }
        }
    })
    .await;
}

fn name(result: &Value) -> String {
    result["chunk"]["metadata"]["document_name"].as_str().expect("a name").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_filter_is_named_by_its_path() {
    let stand = Stand::start(tests::Backend::Sqlite).await;
    let collection = stand.collection("filtres").await;
    for (filter, path) in [
        (json!({"key": "a", "type": "like", "value": 1}), "metadata_filters.type"),
        (
            json!({"and": [{"key": "a", "value": 1}, {"key": "b", "type": "sw", "value": 2}]}),
            "metadata_filters.and[1].value",
        ),
        (json!("annee=2024"), "metadata_filters"),
        (json!({"or": []}), "metadata_filters.or"),
    ] {
        let body = json!({"query": "q", "collection_ids": [collection], "metadata_filters": filter});
        assert_eq!(stand.refused(&body).await, (400, path.to_owned()), "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_some_documents() {
    let stand = Stand::start(tests::Backend::Sqlite).await;
    let collection = stand.collection("documents").await;
    let one = stand.document(collection, "un", &json!({}), &[chunk("texte commun")]).await;
    let two = stand.document(collection, "deux", &json!({}), &[chunk("texte commun aussi")]).await;
    let asked = |documents: Value| json!({"query": "commun", "document_ids": documents, "method": "lexical"});
    let found = stand.search(&asked(json!([two]))).await;
    assert_eq!((found.len(), &found[0]["chunk"]["document_id"]), (1, &json!(two)), "its collection need not be named");
    assert_eq!(stand.search(&asked(json!([one, two]))).await.len(), 2);
    assert_eq!(stand.refused(&asked(json!([one, 999_999]))).await, (404, "document_ids".to_owned()));
}
