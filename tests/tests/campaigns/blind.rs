//! What an annotator must not know: what answered, what others said, which items are gold.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::{Backend, Chat, FakeEngine, TestApp, model, on_each_database};

use super::{Stand, numbers};
use crate::records::{consent, evaluator, kept, member};

on_each_database!(nothing_tells_the_model_nor_anothers_answer);

const ALPHA: &str = "secret-alpha";
const BETA: &str = "secret-beta";

/// Names of all fields, however deep.
fn fields(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                into.insert(name.clone());
                fields(value, into);
            }
        }
        Value::Array(list) => list.iter().for_each(|one| fields(one, into)),
        _ => {}
    }
}

async fn nothing_tells_the_model_nor_anothers_answer(backend: Backend) {
    let engine = FakeEngine::start().await;
    engine.script(Chat::obliging("Votre dossier avance."));
    let models = format!("{}{}", model(ALPHA, "chat", &engine.url(), ""), model(BETA, "chat", &engine.url(), ""));
    let app = TestApp::on(backend, &format!("evaluation: {{}}\nmodels:\n{models}")).await;
    let key = app.key("A", "internal").await;
    consent(&app, &key).await;
    let instance = evaluator(&app).await;
    let grant = json!({"role": "evaluator", "organization_id": key.organization_id});
    let evaluator = member(&app, Some(key.organization_id), &[grant]).await;
    let stand = Stand { app, _engine: engine, key, evaluator, instance };
    let mut ids = Vec::new();
    for n in 0..6 {
        let name = if n % 2 == 0 { ALPHA } else { BETA };
        let body = json!({"model": name, "messages": [
            {"role": "system", "content": format!("Tu es {name}.")},
            {"role": "user", "content": format!("Dossier {} ?", n / 2)}]});
        ids.push(crate::records::ask(&stand.app, &stand.key, &body).await);
    }
    kept(&stand.app, &stand.instance, 6).await;
    let annotators = stand.annotators(2).await;
    let mut rows: Vec<Value> = ids.iter().map(|id| json!({"record_id": id})).collect();
    rows.extend(ids.chunks(2).map(|pair| json!({"record_id": pair[0], "against_id": pair[1]})));
    rows.push(
        json!({"prompt": "Étalon ?", "answers": [{"text": "Oui.", "candidate": ALPHA}], "expected": {"juste": true}}),
    );
    let document = super::grids::sound("aveugle", "Juste ?");
    let (status, stored) = stand.app.post("/v1/eval/grids", &stand.evaluator, &json!({"document": document})).await;
    assert_eq!(status, 201, "{stored}");
    let campaign = stand
        .campaign(&json!({"name": "à l’aveugle", "grid": "aveugle@3", "rows": rows, "per_item": 2,
            "annotators": numbers(&annotators)}))
        .await;
    let (first, second) = (&annotators[0].2, &annotators[1].2);
    let say = |item: &Value| match item["answers"].as_array().map(Vec::len) {
        Some(2) => json!({"answers": {"mieux": "A"}, "comment": "avis-du-premier"}),
        _ => json!({"answers": {"juste": true}, "comment": "avis-du-premier"}),
    };
    let mut seen = stand.annotate(&campaign, first, say).await;
    assert_eq!(seen.len(), 10);
    let path = format!("/v1/eval/campaigns/{}", campaign["id"]);
    for other in ["", "/next"] {
        seen.push(stand.app.get(&format!("{path}{other}"), second).await.1);
    }
    seen.push(stand.app.get("/v1/eval/campaigns", second).await.1);
    for answer in &seen {
        let text = answer.to_string();
        for word in [ALPHA, BETA, "avis-du-premier", "req_"] {
            assert!(!text.contains(word), "{word} in {answer:#}");
        }
        let mut names = BTreeSet::new();
        fields(answer, &mut names);
        for name in
            ["model", "deployment", "candidate", "record_id", "expected", "gold", "seed", "finish_reason", "weight"]
        {
            assert!(!names.contains(name), "{name} in {answer:#}");
        }
    }
    // Items of a kind look alike, gold or not; ids say nothing.
    let shapes: BTreeSet<Vec<String>> = seen[..10]
        .iter()
        .map(|item| {
            let mut names = BTreeSet::new();
            fields(item, &mut names);
            names.into_iter().collect()
        })
        .collect();
    assert!(shapes.len() <= 2, "{shapes:#?}");
    assert!(
        seen[..10].iter().all(|item| item["item"].as_str().is_some_and(|id| id.starts_with("it_") && id.len() == 27))
    );

    // Who is named without a role sees items and nothing else.
    for route in ["/items", "/annotations", "/agreement", "/pairs", "/rankings"] {
        let (status, refused) = stand.app.get(&format!("{path}{route}"), second).await;
        assert_eq!(status, 403, "{route}: {refused}");
    }
    for route in ["/v1/eval/records", "/v1/eval/samples", "/v1/eval/grids", "/v1/eval/feedback"] {
        assert_eq!(stand.app.get(route, second).await.0, 403, "{route}");
    }

    // An evaluator who annotates gets no result until it is over.
    let open = stand.campaign(&json!({"name": "ouverte", "grid": "aveugle@3", "rows": rows[..2], "per_item": 1})).await;
    let item = stand.next(&open, &stand.evaluator).await.expect("an item");
    let path = format!("/v1/eval/campaigns/{}", open["id"]);
    for route in ["/items", "/annotations", "/agreement", "/pairs", "/rankings"] {
        let (status, refused) = stand.app.get(&format!("{path}{route}"), &stand.evaluator).await;
        assert_eq!((status, &refused["error"]["code"]), (409, &json!("campaign_open")), "{route}: {refused}");
    }
    let said = json!({"item": item["item"], "answers": {"juste": true}});
    assert_eq!(stand.answer(&open, &stand.evaluator, &said).await.0, 201);
    stand.annotate(&open, &stand.evaluator, |_| json!({"answers": {"juste": false}})).await;
    assert_eq!(stand.get(&open, "/items").await["data"][0]["candidate"], ALPHA, "once nothing is left, it opens");
}
