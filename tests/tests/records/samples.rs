//! Draws that anybody can make again, and estimates that use their chances.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tests::{Backend, TestApp, on_each_database};

use crate::records::{ask, chat, consent, evaluator, gateway, kept, member};

on_each_database!(a_draw_is_stratified_reproducible_and_says_its_chances, what_makes_no_sense_is_refused);

async fn items(app: &TestApp, evaluator: &str, sample: &Value) -> Vec<(String, i64, f64)> {
    let mut all = Vec::new();
    loop {
        let path = format!("/v1/eval/samples/{}/items?limit=7&offset={}", sample["id"], all.len());
        let (status, list) = app.get(&path, evaluator).await;
        assert_eq!((status, &list["total"]), (200, &sample["drawn"]), "{list}");
        let page = list["data"].as_array().expect("a list");
        if page.is_empty() {
            return all;
        }
        all.extend(page.iter().map(|item| {
            let id = item["record_id"].as_str().expect("an id").to_owned();
            (id, item["stratum"].as_i64().expect("a stratum"), item["probability"].as_f64().expect("a chance"))
        }));
    }
}

async fn draw(app: &TestApp, evaluator: &str, form: &Value) -> Value {
    let (status, sample) = app.post("/v1/eval/samples", evaluator, form).await;
    assert_eq!(status, 201, "{sample}");
    sample
}

async fn a_draw_is_stratified_reproducible_and_says_its_chances(backend: Backend) {
    let rules = "evaluation: {sampling: {rate: 1, rules: [{name: tiers, model: grand, rate: 0.5}]}}";
    let (app, _engine) = gateway(backend, rules).await;
    let (a, b, evaluator) = (app.key("A", "internal").await, app.key("B", "internal").await, evaluator(&app).await);
    consent(&app, &a).await;
    consent(&app, &b).await;
    for n in 0..30 {
        let mut body = chat("petit", "Bonjour, où est le service de la mairie pour les passeports ?", false);
        body["user"] = json!(format!("u{}", n % 12));
        ask(&app, &a, &body).await;
        ask(&app, &b, &chat("petit", "Where is the town hall that issues the passports?", false)).await;
    }
    // Halved on the live path: what is kept stands for twice as much. They are stored in order: after the last, all are there.
    for _ in 0..60 {
        ask(&app, &a, &chat("grand", "Bonjour, où est le service de la mairie ?", false)).await;
    }
    let last = ask(&app, &a, &chat("petit", "Bonjour, où est le service de la mairie ?", false)).await;
    let started = std::time::Instant::now();
    while app.get(&format!("/v1/eval/records/{last}"), &evaluator).await.0 != 200 {
        assert!(started.elapsed() < tests::app::PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (_, all) = app.get("/v1/eval/records?limit=1000", &evaluator).await;
    let all = all["data"].as_array().expect("a list").clone();
    let halved = all.iter().filter(|record| record["model"] == "grand").count();

    let form = json!({"name": "test", "by": ["organization", "model", "language"], "per_stratum": 10, "seed": 7});
    let sample = draw(&app, &evaluator, &form).await;
    assert_eq!((&sample["captured"], &sample["drawn"]), (&json!(all.len()), &json!(30)), "{sample:#}");
    let strata = sample["strata"].as_array().expect("strata");
    assert_eq!(strata.len(), 3, "{strata:#?}");
    let drawn = items(&app, &evaluator, &sample).await;
    let by_id: BTreeMap<&str, &Value> =
        all.iter().map(|record| (record["id"].as_str().expect("an id"), record)).collect();
    for (id, stratum, probability) in &drawn {
        let stratum = &strata[usize::try_from(*stratum).expect("a place")];
        let (name, record) = (&stratum["name"], by_id[id.as_str()]);
        for (field, of) in [("model", "model"), ("language", "language")] {
            assert_eq!(name[field], record[of], "{stratum:#}");
        }
        let live = record["probability"].as_f64().expect("a chance");
        let captured = stratum["captured"].as_f64().expect("a count");
        assert!((probability - live * 10.0 / captured).abs() < 1e-12, "{stratum:#} {probability}");
        assert!((stratum["population"].as_f64().expect("a size") - captured / live).abs() < 1e-9);
    }
    let halved_stratum = strata.iter().find(|stratum| stratum["name"]["model"] == "grand").expect("the halved one");
    assert_eq!(halved_stratum["captured"], halved);

    // The same seed draws the same, in the same order; another does not. Anybody can draw it from the ids.
    let again = items(&app, &evaluator, &draw(&app, &evaluator, &form).await).await;
    assert_eq!(again, drawn);
    let mut other = form.clone();
    other["seed"] = json!(8);
    assert_ne!(items(&app, &evaluator, &draw(&app, &evaluator, &other).await).await, drawn);
    let mut ranked: Vec<(Vec<u8>, &str)> = all
        .iter()
        .filter(|record| record["organization_id"] == b.organization_id)
        .map(|record| record["id"].as_str().expect("an id"))
        .map(|id| (<sha2::Sha256 as sha2::Digest>::digest(format!("7:{id}")).to_vec(), id))
        .collect();
    ranked.sort();
    let by_hand: BTreeSet<&str> = ranked.iter().take(10).map(|(_, id)| *id).collect();
    let of_b: BTreeSet<&str> = drawn
        .iter()
        .filter(|(id, _, _)| by_id[id.as_str()]["organization_id"] == b.organization_id)
        .map(|(id, _, _)| id.as_str())
        .collect();
    assert_eq!(of_b, by_hand);

    // The estimate weighs each stratum by the requests it stands for.
    let value = |id: &str| match by_id[id]["model"] == "grand" {
        true => 1.0,
        false => {
            f64::from(u8::from(by_id[id]["organization_id"] == a.organization_id)) * 0.5
                + f64::from(id.as_bytes()[30] % 2) * 0.1
        }
    };
    let values: BTreeMap<&str, f64> = drawn.iter().map(|(id, _, _)| (id.as_str(), value(id))).collect();
    let path = format!("/v1/eval/samples/{}/estimate", sample["id"]);
    let (status, told) = app.post(&path, &evaluator, &json!({"values": values})).await;
    assert_eq!((status, &told["missing"], &told["strangers"]), (200, &json!(0), &json!(0)), "{told}");
    let weights: f64 = drawn.iter().map(|(_, _, probability)| 1.0 / probability).sum();
    let by_hand: f64 = drawn.iter().map(|(id, _, probability)| value(id) / probability).sum::<f64>() / weights;
    let mean = told["estimate"]["estimate"].as_f64().unwrap_or_else(|| panic!("{told}"));
    assert!((mean - by_hand).abs() < 1e-9, "{mean} {by_hand}");
    assert!(told["estimate"]["low"].as_f64() < Some(mean) && Some(mean) < told["estimate"]["high"].as_f64(), "{told}");
    // Without a value for a stratum, no figure that looks fine.
    let few: BTreeMap<&str, f64> =
        values.iter().filter(|(id, _)| by_id[*id]["model"] == "petit").map(|(i, v)| (*i, *v)).collect();
    let (_, told) = app.post(&path, &evaluator, &json!({"values": few})).await;
    assert_eq!((&told["mean"], &told["estimate"]), (&Value::Null, &Value::Null), "{told}");
    assert!(told["refused"]["code"] == "too_few" && told["missing"].as_i64() == Some(10), "{told}");

    // A size is shared out over what strata stand for.
    let sized = draw(
        &app,
        &evaluator,
        &json!({"name": "taille", "by": ["model"], "size": 20, "organization_id": a.organization_id}),
    )
    .await;
    assert_eq!(sized["drawn"], 20, "{sized:#}");
    assert!(
        sized["strata"].as_array().expect("strata").iter().all(|one| one["drawn"].as_i64() >= Some(2)),
        "{sized:#}"
    );
}

async fn what_makes_no_sense_is_refused(backend: Backend) {
    let (app, _engine) = gateway(backend, crate::records::ON).await;
    let (key, instance) = (app.key("A", "internal").await, evaluator(&app).await);
    consent(&app, &key).await;
    ask(&app, &key, &chat("petit", "Bonjour", false)).await;
    kept(&app, &instance, 1).await;
    for (wrong, param) in [
        (json!({"name": "x"}), "size"),
        (json!({"name": "x", "size": 0}), "size"),
        (json!({"name": "x", "size": 5, "per_stratum": 5}), "size"),
        (json!({"name": "x", "size": 1_000_000}), "size"),
        (json!({"name": "", "size": 5}), "name"),
        (json!({"name": "x", "size": 5, "by": ["content"]}), "by"),
        (json!({"name": "x", "size": 5, "by": ["model", "model"]}), "by"),
        (json!({"name": "x", "size": 5, "start": "hier"}), "start"),
    ] {
        let (status, refused) = app.post("/v1/eval/samples", &instance, &wrong).await;
        assert_eq!((status, &refused["error"]["param"]), (400, &json!(param)), "{wrong}: {refused}");
    }
    // A census of one: the mean is there, its error is not.
    let sample = draw(&app, &instance, &json!({"name": "tout", "size": 5})).await;
    assert_eq!(sample["drawn"], 1);
    let id = items(&app, &instance, &sample).await.remove(0).0;
    let path = format!("/v1/eval/samples/{}/estimate", sample["id"]);
    let (_, told) = app.post(&path, &instance, &json!({"values": {id: 0.5, "req_x": 1.0}})).await;
    assert_eq!(
        (&told["mean"], &told["strangers"], told["refused"].is_object()),
        (&json!(0.5), &json!(1), true),
        "{told}"
    );
    // Who evaluates one organization draws from it, named or not, and from no other.
    let other = app.key("B", "internal").await;
    let id = key.organization_id;
    let of_a = member(&app, Some(id), &[json!({"role": "evaluator", "organization_id": id})]).await;
    let sample = draw(&app, &of_a, &json!({"name": "mien", "size": 5})).await;
    assert_eq!(sample["organization_id"], id);
    let form = json!({"name": "autre", "size": 5, "organization_id": other.organization_id});
    assert_eq!(app.post("/v1/eval/samples", &of_a, &form).await.0, 404);
}
