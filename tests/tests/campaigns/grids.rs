//! Grids over HTTP: bad ones told whole, good ones stored with their hash, used ones never changed.

use serde_json::json;
use tests::{Backend, on_each_database};

use super::{rows, stand};

on_each_database!(a_bad_grid_is_told_whole, a_grid_that_was_used_never_changes);

/// A cycle of references, unknown evidence, a weight of zero, an id twice.
const BAD: &str = "
grid: mauvaise
version: 1
title: {fr: Mauvaise, en: Bad}
facets:
  - id: a
    label: {fr: A, en: A}
    weight: 0
    references: [b]
    criteria:
      - {id: un, question: {fr: Q, en: Q}, scale: boolean, evidence: [human]}
  - id: b
    label: {fr: B, en: B}
    weight: 1
    references: [a]
    criteria:
      - {id: un, question: {fr: Q, en: Q}, scale: boolean, evidence: [voyance]}
";

/// A sound one, with a question of its own.
pub fn sound(id: &str, question: &str) -> String {
    format!(
        "grid: {id}\nversion: 3\ntitle: {{fr: Saine, en: Sound}}\nfacets:\n  - id: f\n    label: {{fr: F, en: F}}\n    \
         weight: 1\n    criteria:\n      - {{id: juste, question: {{fr: '{question}', en: '{question}'}}, scale: boolean, \
         evidence: [human]}}\n      - {{id: mieux, question: {{fr: Laquelle ?, en: Which?}}, scale: pairwise, evidence: \
         [human]}}\n      - {{id: machine, question: {{fr: C, en: C}}, scale: {{interval: {{low: 0, high: 1}}}}, evidence: \
         ['auto:chrf']}}\n"
    )
}

/// A grid of one facet, as [`sound`] writes it, in JSON.
fn seen_as_json(text: &str) -> serde_json::Value {
    let question = text.split('\'').nth(1).expect("a question");
    json!({"grid": "mairie", "version": 3, "title": {"fr": "Saine", "en": "Sound"}, "facets": [
        {"id": "f", "label": {"fr": "F", "en": "F"}, "weight": 1, "criteria": [
            {"id": "juste", "question": {"fr": question, "en": question}, "scale": "boolean", "evidence": ["human"]},
            {"id": "mieux", "question": {"fr": "Laquelle ?", "en": "Which?"}, "scale": "pairwise", "evidence": ["human"]},
            {"id": "machine", "question": {"fr": "C", "en": "C"}, "scale": {"interval": {"low": 0, "high": 1}},
                "evidence": ["auto:chrf"]}]}]})
}

async fn a_bad_grid_is_told_whole(backend: Backend) {
    let stand = stand(backend).await;
    let (status, refused) = stand.app.post("/v1/eval/grids", &stand.evaluator, &json!({"document": BAD})).await;
    assert_eq!((status, &refused["error"]["param"]), (400, &json!("document")), "{refused}");
    let told = refused["detail"].as_str().expect("words");
    for path in
        ["facets[0].weight", "facets[1].references[0]", "facets[1].criteria[0].id", "facets[1].criteria[0].evidence[0]"]
    {
        assert!(told.contains(path), "{path} is not told: {told}");
    }
    assert!(told.contains("en rond") && told.contains("« voyance »"), "{told}");
    for (document, word) in [("", "grille"), ("{", "YAML"), ("[1, 2]", "clés"), ("a: &a [*a, *a]", "")] {
        let (status, refused) =
            stand.app.post("/v1/eval/grids", &stand.evaluator, &json!({"document": document})).await;
        assert_eq!(status, 400, "{document}: {refused}");
        assert!(refused["detail"].as_str().is_some_and(|text| text.contains(word)), "{document}: {refused}");
    }
    let odd = sound("a/b", "?");
    let (status, refused) = stand.app.post("/v1/eval/grids", &stand.evaluator, &json!({"document": odd})).await;
    assert_eq!(status, 400, "a name that no address holds: {refused}");
    let huge = format!("{}#{}", sound("grande", "?"), "x".repeat(300 << 10));
    assert_eq!(stand.app.post("/v1/eval/grids", &stand.evaluator, &json!({"document": huge})).await.0, 400);
    // Nothing was stored.
    let (_, list) = stand.app.get("/v1/eval/grids", &stand.evaluator).await;
    assert_eq!(list["data"], json!([]));
}

async fn a_grid_that_was_used_never_changes(backend: Backend) {
    let stand = stand(backend).await;
    let store =
        async |document: &str| stand.app.post("/v1/eval/grids", &stand.evaluator, &json!({"document": document})).await;
    let (first, second) = (sound("mairie", "Juste ?"), sound("mairie", "Juste, vraiment ?"));
    let (status, stored) = store(&first).await;
    assert_eq!((status, &stored["id"]), (201, &json!("mairie@3")), "{stored}");
    assert_eq!(stored["hash"], eval::grid::Grid::read(&first).expect("a grid").hash);
    // The same is the same, comments and layout apart; another takes its place while nobody used it.
    assert_eq!(store(&format!("# relue\n{first}")).await, (200, stored.clone()));
    let (status, replaced) = store(&second).await;
    assert!(status == 201 && replaced["hash"] != stored["hash"], "{replaced}");

    let form = json!({"name": "c", "grid": "mairie@3", "rows": rows(2), "organization_id": stand.key.organization_id});
    let campaign = stand.campaign(&form).await;
    assert_eq!((&campaign["grid_hash"], &campaign["criteria"]), (&replaced["hash"], &json!(["juste"])), "{campaign}");
    let (status, refused) = store(&first).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("conflict")), "{refused}");
    assert!(refused["detail"].as_str().is_some_and(|text| text.contains("autre version")), "{refused}");
    assert_eq!(store(&second).await.0, 200, "the same is still the same");
    // As JSON too, which is the same grid.
    let as_json = json!({"document": seen_as_json(&second)});
    assert_eq!(stand.app.post("/v1/eval/grids", &stand.evaluator, &as_json).await.0, 200);
    let (status, seen) = stand.app.get("/v1/eval/grids/mairie@3", &stand.evaluator).await;
    assert_eq!((status, &seen["document"]), (200, &json!(second)), "{seen}");
    assert!(seen["used"].is_i64() && seen["content"]["facets"][0]["criteria"][0]["id"] == "juste", "{seen}");

    // The shipped one is there without being stored, and nobody takes its name.
    let (status, shipped) = stand.app.get("/v1/eval/grids/guichet@1", &stand.evaluator).await;
    assert_eq!((status, &shipped["id"], &shipped["organization_id"]), (200, &json!("guichet@1"), &json!(null)));
    let (status, refused) = store(&sound("guichet", "?").replace("version: 3", "version: 1")).await;
    assert_eq!(status, 409, "{refused}");
    for unknown in ["mairie@4", "mairie", "@", "rien@1"] {
        assert_eq!(stand.app.get(&format!("/v1/eval/grids/{unknown}"), &stand.evaluator).await.0, 404, "{unknown}");
    }

    // What makes no campaign.
    let wrong = [
        (json!({"grid": "rien@1"}), "grid"),
        (json!({"grid": "mairie"}), "grid"),
        (json!({"criteria": ["rien"]}), "criteria"),
        (json!({"criteria": ["machine"]}), "criteria"),
        (json!({"criteria": ["mieux"]}), "criteria"),
        (json!({"rows": []}), "rows"),
        (json!({"per_item": 0}), "per_item"),
        (json!({"lock": "90d"}), "lock"),
        (json!({"annotators": [999_999]}), "annotators"),
        (json!({"sample_id": 999_999}), "sample_id"),
        (json!({"name": ""}), "name"),
        (json!({"rows": [{"answers": [{"text": "sans question"}]}]}), "rows[0].prompt"),
        (json!({"rows": [{"prompt": "?"}]}), "rows[0].answers"),
        (json!({"rows": [{"record_id": "req_inconnu"}]}), "rows[0].record_id"),
        (json!({"rows": [{"prompt": "?", "answers": [{"text": "a"}], "probability": 2}]}), "rows[0].probability"),
        (
            json!({"rows": [{"prompt": "?", "answers": [{"text": "a"}], "expected": {"rien": true}}]}),
            "rows[0].expected.rien",
        ),
        (
            json!({"rows": [{"prompt": "?", "answers": [{"text": "a"}], "expected": {"juste": "?"}}]}),
            "rows[0].expected.juste",
        ),
        (json!({"rows": [{"prompt": "?", "answers": [{"text": "a"}], "expected": {"juste": true}}]}), "rows"),
        (
            json!({"rows": [{"prompt": "?", "answers": [{"text": "a"}, {"text": "b"}, {"text": "c"}]}]}),
            "rows[0].answers",
        ),
    ];
    for (change, param) in wrong {
        let mut form = form.clone();
        for (name, value) in change.as_object().expect("fields") {
            form[name] = value.clone();
        }
        let (status, refused) = stand.app.post("/v1/eval/campaigns", &stand.evaluator, &form).await;
        assert_eq!((status, refused["error"]["param"].as_str()), (400, Some(param)), "{change}: {refused}");
    }
}
