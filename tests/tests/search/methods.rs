//! Three methods, their ranks, thresholds, pages, documents, order by a model, highlights.

use std::collections::HashSet;

use serde_json::{Value, json};
use tests::Backend;

use crate::search::stand::{Stand, chunk, contents, on_both};

const PREAVIS: &str = "Le préavis de démission dure un mois pour un employé.";
const CONGES: &str = "Tout salarié a droit à deux jours et demi de congés payés par mois.";
const TITRE: &str = "Le titre de séjour se demande à la préfecture.";

async fn small(backend: Backend) -> (Stand, i64) {
    let stand = Stand::start(backend).await;
    let collection = stand.collection("fiches").await;
    let titled = json!({"content": CONGES, "metadata": {"title": "Congés", "page": 4}});
    stand.document(collection, "travail", &json!({"theme": "travail"}), &[chunk(PREAVIS), titled]).await;
    stand.document(collection, "etrangers", &json!({"theme": "séjour"}), &[chunk(TITRE)]).await;
    (stand, collection)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_methods_and_their_ranks() {
    on_both(|backend| async move {
        let (stand, collection) = small(backend).await;
        // The same text has the same vector.
        let semantic = stand.search(&json!({"query": PREAVIS, "collection_ids": [collection]})).await;
        assert_eq!((semantic.len(), &semantic[0]["method"]), (3, &json!("semantic")), "{semantic:#?}");
        assert_eq!(contents(&semantic)[0], PREAVIS);
        assert!((semantic[0]["score"].as_f64().unwrap() - 1.0).abs() < 1e-3, "a cosine");
        assert_eq!(semantic[0]["ranks"]["semantic"]["rank"], 1);
        assert_eq!(semantic[0]["ranks"].as_object().unwrap().len(), 1);
        let by_words = json!({"query": "demission et conges", "collection_ids": [collection], "method": "lexical"});
        let lexical = stand.search(&by_words).await;
        let found: HashSet<String> = contents(&lexical).into_iter().collect();
        assert_eq!(found, HashSet::from([PREAVIS.to_owned(), CONGES.to_owned()]), "without accents, by stems");
        let both = json!({"query": PREAVIS, "collection_ids": [collection], "method": "hybrid", "rff_k": 10});
        let (status, hybrid) = stand.post("/v1/search", &both).await;
        assert_eq!((status, &hybrid["lanes"]), (200, &json!(["semantic", "lexical"])));
        let first = &hybrid["data"][0];
        assert_eq!(first["chunk"]["content"], PREAVIS);
        assert!((first["score"].as_f64().unwrap() - 2.0 / 11.0).abs() < 1e-9, "first in both lanes: 2/(k+1)");
        assert_eq!((&first["ranks"]["semantic"]["rank"], &first["ranks"]["lexical"]["rank"]), (&json!(1), &json!(1)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_is_what_clients_read() {
    let (stand, collection) = small(Backend::Sqlite).await;
    let old = json!({"prompt": "congés", "collections": [collection.to_string()], "k": 1, "method": "lexical"});
    let (_, answer) = stand.post("/v1/search", &old).await;
    let chunk = &answer["data"][0]["chunk"];
    assert!(chunk["id"].is_i64() && chunk["document_id"].is_i64(), "{answer}");
    assert_eq!(chunk["collection_id"], collection);
    let metadata = &chunk["metadata"];
    assert_eq!(
        (&metadata["document_name"], &metadata["theme"], &metadata["title"], &metadata["page"]),
        (&json!("travail"), &json!("travail"), &json!("Congés"), &json!(4))
    );
    assert_eq!(answer["usage"], json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}), "no model");
    let (_, answer) = stand.post("/v1/search", &json!({"query": "un deux", "collection_ids": [collection]})).await;
    assert!(answer["usage"]["total_tokens"].as_u64() > Some(0), "{answer}");
}

/// conversations sends exactly this, right after its uploads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_searches_with_a_threshold_and_no_method() {
    let (stand, collection) = small(Backend::Sqlite).await;
    let body = json!({"query": TITRE, "collection_ids": [collection], "score_threshold": 0.6});
    assert_eq!(contents(&stand.search(&body).await), [TITRE]);
    let far = json!({"query": "rien de tel", "collection_ids": [collection], "score_threshold": 0.999});
    assert!(stand.search(&far).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_asked_again_is_not_embedded_again() {
    let (stand, collection) = small(Backend::Sqlite).await;
    let body = json!({"query": "une question", "collection_ids": [collection]});
    stand.search(&body).await;
    let before = stand.engine.posts();
    stand.search(&body).await;
    assert_eq!(stand.engine.posts(), before);
    // What one organization asked is not another's to find out.
    let other = stand.app.key("Ministère B", "internal").await;
    let theirs = crate::search::stand::collection(&stand.app, &other, &json!({"name": "leurs"})).await;
    let asked = json!({"query": "une question", "collection_ids": [theirs]});
    let (status, _) = stand.app.post("/v1/search", &other.secret, &asked).await;
    assert_eq!((status, stand.engine.posts()), (200, before + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_follow_each_other_without_gap_or_repeat() {
    on_both(|backend| async move {
        let stand = Stand::start(backend).await;
        let collection = stand.collection("long").await;
        let many: Vec<Value> = (0..150).map(|n| chunk(&format!("Congé numéro {n} {}", "congé ".repeat(n % 7)))).collect();
        stand.document(collection, "tout", &json!({}), &many).await;
        for method in ["semantic", "lexical", "hybrid"] {
            let page = |offset: usize, limit: usize| {
                json!({"query": "congé", "collection_ids": [collection], "method": method, "offset": offset, "limit": limit})
            };
            let mut seen = Vec::new();
            for offset in (0..150).step_by(30) {
                let results = stand.search(&page(offset, 30)).await;
                assert_eq!(results.len(), 30, "{method} {offset}");
                seen.extend(results.iter().map(|result| result["chunk"]["id"].as_i64().unwrap()));
            }
            assert_eq!(seen.iter().collect::<HashSet<_>>().len(), 150, "{method}");
            let ids = |results: Vec<Value>| results.iter().map(|r| r["chunk"]["id"].as_i64().unwrap()).collect::<Vec<_>>();
            assert_eq!(ids(stand.search(&page(0, 100)).await), seen[..100], "{method}");
            assert_eq!(ids(stand.search(&page(95, 10)).await), seen[95..105], "{method}: over the edge of a window");
            assert!(stand.search(&page(150, 10)).await.is_empty(), "{method}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_results_when_they_are_asked() {
    let stand = Stand::start(Backend::Sqlite).await;
    let collection = stand.collection("groupes").await;
    for document in 0..5 {
        let chunks: Vec<Value> =
            (0..60).map(|n| chunk(&format!("{}préavis {document} {n}", "préavis ".repeat(5 - document)))).collect();
        stand.document(collection, &format!("d{document}"), &json!({}), &chunks).await;
    }
    let body = json!({"query": "préavis", "collection_ids": [collection], "method": "lexical", "group_by": "document"});
    let results = stand.search(&body).await;
    let documents: Vec<&Value> = results.iter().map(|result| &result["chunk"]["metadata"]["document_name"]).collect();
    assert_eq!(documents, ["d0", "d1", "d2", "d3", "d4"], "past the first hundred chunks");
    let others = results[0]["other_chunk_ids"].as_array().unwrap();
    assert!(others.len() == 59 && !others.contains(&results[0]["chunk"]["id"]));
    let mut second = body.clone();
    (second["limit"], second["offset"]) = (2.into(), 2.into());
    let page = stand.search(&second).await;
    assert_eq!(
        page.iter().map(|result| &result["chunk"]).collect::<Vec<_>>(),
        [&results[2]["chunk"], &results[3]["chunk"]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_puts_results_in_order() {
    let (stand, collection) = small(Backend::Sqlite).await;
    let plain = json!({"query": "titre séjour préfecture", "collection_ids": [collection]});
    for rerank in [json!(true), json!("classeur"), json!({"model": "classeur"})] {
        let mut body = plain.clone();
        body["rerank"] = rerank;
        let results = stand.search(&body).await;
        assert_eq!((contents(&results)[0].as_str(), &results[0]["reranked"]), (TITRE, &json!(true)), "{results:#?}");
        assert!((results[0]["score"].as_f64().unwrap() - 1.0).abs() < 1e-9, "the relevance");
        assert!(results[0]["ranks"]["semantic"]["rank"].as_u64() > Some(0));
        body["score_threshold"] = 0.9.into();
        assert_eq!(stand.search(&body).await.len(), 1, "compared with the score that is shown");
    }
    let unknown = json!({"query": "q", "collection_ids": [collection], "rerank": "inconnu"});
    assert_eq!(stand.refused(&unknown).await, (404, "model".to_owned()));
    let wrong = json!({"query": "q", "collection_ids": [collection], "rerank": "causeur"});
    assert_eq!(stand.refused(&wrong).await.0, 422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn highlights_are_pieces_of_the_text() {
    let (stand, collection) = small(Backend::Sqlite).await;
    let body = json!({"query": "conge paye", "collection_ids": [collection], "method": "lexical", "highlight": true});
    let results = stand.search(&body).await;
    let pieces = results[0]["highlight"].as_array().unwrap();
    let all: String = pieces.iter().map(|piece| piece["text"].as_str().unwrap()).collect();
    assert_eq!(all, CONGES);
    let matched: Vec<&Value> =
        pieces.iter().filter(|piece| piece["match"] == true).map(|piece| &piece["text"]).collect();
    assert_eq!(matched, ["congés", "payés"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collections_of_two_languages_are_searched_together() {
    let stand = Stand::start(Backend::Sqlite).await;
    let french = stand.collection("fr").await;
    let english =
        crate::search::stand::collection(&stand.app, &stand.key, &json!({"name": "en", "language": "en"})).await;
    stand.document(french, "f", &json!({}), &[chunk("Les permis sont délivrés.")]).await;
    stand.document(english, "e", &json!({}), &[chunk("Permits are being issued.")]).await;
    let body = json!({"query": "issuing permits permis", "collection_ids": [french, english], "method": "lexical"});
    assert_eq!(stand.search(&body).await.len(), 2);
}
