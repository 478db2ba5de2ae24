//! A whole campaign through HTTP: traffic, a sample, three annotators whose biases are known, gold items among the others,
//! and figures that are those of what was answered.

use std::collections::{BTreeMap, BTreeSet};

use eval::panel::{Answer, Rating, agreement};
use eval::stats::bootstrap::Plan;
use serde_json::{Value, json};
use tests::{Backend, on_each_database};

use super::{numbers, stand};
use crate::records::{ask, chat, kept};

on_each_database!(a_campaign_gives_the_figures_of_what_was_answered);

/// What is right of an item: told by the number in its question.
fn truth(item: &Value) -> i64 {
    let question = item["messages"][0]["text"].as_str().expect("a question");
    let number: i64 = question.split_whitespace().find_map(|word| word.parse().ok()).expect("a number");
    1 + number % 4
}

/// The careful, the lenient, and who says the same of everything.
fn says(annotator: usize, item: &Value) -> Value {
    let level = match annotator {
        0 => truth(item),
        1 => (truth(item) + 1).min(4),
        _ => 3,
    };
    json!({"answers": {"reponse-juste": level, "sans-danger": annotator != 2 || truth(item) > 1}, "comment": "vu"})
}

/// A criterion's score in a report, wherever it stands.
fn found_in<'r>(report: &'r Value, id: &str) -> Option<&'r Value> {
    if report["id"] == id && report["state"].is_string() {
        return Some(report);
    }
    match report {
        Value::Array(list) => list.iter().find_map(|one| found_in(one, id)),
        Value::Object(map) => map.values().find_map(|one| found_in(one, id)),
        _ => None,
    }
}

async fn a_campaign_gives_the_figures_of_what_was_answered(backend: Backend) {
    let stand = stand(backend).await;
    for n in 0..24 {
        let model = if n % 2 == 0 { "petit" } else { "grand" };
        let mut body = chat(model, &format!("Dossier {n} : où en est ma demande de passeport ?"), n % 3 == 0);
        body["user"] = json!(format!("agent-{}", n % 12));
        ask(&stand.app, &stand.key, &body).await;
    }
    kept(&stand.app, &stand.instance, 24).await;
    let form = json!({"name": "tout", "by": ["model"], "size": 24});
    let (status, sample) = stand.app.post("/v1/eval/samples", &stand.evaluator, &form).await;
    assert_eq!((status, &sample["drawn"]), (201, &json!(24)), "{sample}");
    let gold: Vec<Value> = (100..112)
        .map(|n| {
            json!({"prompt": format!("Dossier {n} : où en est ma demande ?"), "answers": [{"text": "Elle avance."}],
                "expected": {"reponse-juste": 1 + n % 4, "sans-danger": true}})
        })
        .collect();
    let annotators = stand.annotators(3).await;
    let campaign = stand
        .campaign(&json!({"name": "accueil", "grid": "guichet@1", "criteria": ["reponse-juste", "sans-danger"],
            "sample_id": sample["id"], "rows": gold, "per_item": 3, "seed": 42, "annotators": numbers(&annotators),
            "instructions": "Jugez comme un usager."}))
        .await;
    let progress = &campaign["progress"];
    assert_eq!((&progress["items"], &progress["gold"], &progress["left"]), (&json!(24), &json!(12), &json!(24)));
    assert_eq!(campaign["organization_id"], json!(stand.key.organization_id));

    // Each annotator gets every item once, gold among them, in an order of their own.
    let mut orders = Vec::new();
    let mut ratings: BTreeMap<&str, Vec<Rating>> = BTreeMap::new();
    for (at, (number, _, key)) in annotators.iter().enumerate() {
        let seen = stand.annotate(&campaign, key, |item| says(at, item)).await;
        let items: Vec<String> = seen.iter().map(|item| item["item"].as_str().expect("an id").to_owned()).collect();
        assert_eq!(BTreeSet::from_iter(&items).len(), 36, "{items:?}");
        for item in
            seen.iter().filter(|item| item["messages"][0]["text"].as_str().is_some_and(|t| t.contains("passeport")))
        {
            let said = says(at, item);
            for criterion in ["reponse-juste", "sans-danger"] {
                let value = match &said["answers"][criterion] {
                    Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
                    other => other.to_string(),
                };
                let item = item["item"].as_str().expect("an id").to_owned();
                let (rater, answer) = (number.to_string(), Answer::Value(value));
                ratings.entry(criterion).or_default().push(Rating {
                    unit: item.clone(),
                    item,
                    rater,
                    answer,
                    words: None,
                });
            }
        }
        orders.push(items);
    }
    assert!(orders[0] != orders[1] && orders[1] != orders[2], "each has an order of their own");
    assert_eq!(BTreeSet::from_iter(&orders[0]), BTreeSet::from_iter(&orders[2]));
    // Gold is not all at one end.
    let (_, items) =
        stand.app.get(&format!("/v1/eval/campaigns/{}/items?limit=1000", campaign["id"]), &stand.evaluator).await;
    let gold: BTreeSet<&str> = items["data"]
        .as_array()
        .expect("items")
        .iter()
        .filter(|item| item["gold"] == true)
        .filter_map(|item| item["id"].as_str())
        .collect();
    let first_half = orders[0][..18].iter().filter(|id| gold.contains(id.as_str())).count();
    assert!((1..12).contains(&first_half), "{first_half} of 12 gold items in the first half");

    // Agreement is what the crate says of these very answers.
    let found = stand.get(&campaign, "/agreement?resamples=500&seed=3").await;
    assert_eq!(found["grid_hash"], campaign["grid_hash"]);
    let plan = Plan { resamples: 500, seed: 3, ..Plan::default() };
    let grid = eval::grid::Grid::read(eval::grid::GUICHET_1).expect("a grid");
    for told in found["criteria"].as_array().expect("criteria") {
        let id = told["criterion"].as_str().expect("an id");
        let by_hand = agreement(grid.criterion(id).expect("a criterion"), &ratings[id], &plan);
        let close = |path: &str, wanted: f64| {
            let got = told.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} in {told:#}"));
            assert!((got - wanted).abs() < 1e-9, "{id}{path}: {got} {wanted}");
        };
        let alpha = by_hand.alpha.said().expect("α");
        close("/alpha/estimate", alpha.alpha.estimate);
        close("/alpha/interval/estimate", alpha.alpha.estimate);
        close("/fleiss/estimate", by_hand.fleiss.said().expect("κ").kappa.estimate);
        assert_eq!(
            (&told["items"], &told["ratings"], &told["raters"]),
            (&json!(24), &json!(72), &json!(3)),
            "{told:#}"
        );
        assert_eq!(told["cohen"].as_array().map(Vec::len), Some(3));
    }
    let juste = &found["criteria"][0];
    assert_eq!(juste["criterion"], "reponse-juste");
    // Who says the same of everything agrees with nobody beyond chance, or κ does not exist; it is never 1.
    let pair = |one: usize, other: usize| {
        let names = [annotators[one].0.to_string(), annotators[other].0.to_string()];
        let list = juste["cohen"].as_array().expect("pairs");
        list.iter()
            .find(|pair| {
                names.contains(&pair["first"].as_str().unwrap_or("").to_owned())
                    && names.contains(&pair["second"].as_str().unwrap_or("").to_owned())
            })
            .expect("the pair")["kappa"]
            .clone()
    };
    assert!(pair(0, 1)["estimate"].as_f64() > Some(0.5), "{juste:#}");
    assert!(pair(0, 2)["estimate"].as_f64().is_some_and(|kappa| kappa.abs() < 1e-9), "{juste:#}");

    // Accuracy on gold is that of the biases: the careful is right, the lenient only on level 4, the other on level 3.
    let accuracy = found["accuracy"].as_array().expect("accuracy");
    for ((number, _, _), right) in annotators.iter().zip([12, 3, 3]) {
        let told =
            accuracy.iter().find(|one| one["rater"].as_str() == Some(number.to_string().as_str())).expect("a rater");
        let on = told["by_criterion"].as_array().expect("criteria").iter().find(|c| c["criterion"] == "reponse-juste");
        let on = on.expect("the criterion");
        assert_eq!((&on["answers"], &on["right"]), (&json!(12), &json!(right)), "{told:#}");
        assert!(on["share"]["low"].as_f64() < Some(f64::from(right) / 12.0), "{told:#}");
    }
    assert_eq!(found["annotators"].as_array().map(Vec::len), Some(3));
    assert!(found["annotators"][0]["median_seconds"].as_f64().is_some(), "{found:#}");

    // The table of evidence scores the grid: each record under its own name, end users as units, gold left out.
    let evidence = stand.guichet(&["eval", "campaign", "export", &campaign["id"].to_string(), "--evidence"]);
    assert_eq!(evidence.code, Some(0), "{evidence:?}");
    assert_eq!(evidence.out.lines().count(), 1 + 24 * 3 * 2, "{}", evidence.out);
    assert!(evidence.out.contains(",req_"), "{}", evidence.out);
    std::fs::write(stand.app.folder.path().join("evidence.csv"), &evidence.out).expect("a file");
    let scored = stand.guichet(&["eval", "grid", "score", "guichet-1", "--evidence", "evidence.csv"]);
    assert_eq!(scored.code, Some(0), "{scored:?}");
    let report: Value = serde_json::from_str(&scored.out).expect("JSON");
    assert!(report.to_string().contains("\"alpha\""), "{report:#}");
    let criterion = found_in(&report, "reponse-juste").expect("the criterion");
    assert_eq!((&criterion["n"], &criterion["coverage"]), (&json!(24), &json!(1.0)), "{criterion:#}");
    // Under the grid's minimum of 30 it says so, and gives no figure.
    assert_eq!((&criterion["state"], &criterion["score"]), (&json!("inconclusive"), &Value::Null), "{criterion:#}");
    let (one, other) = (criterion["alpha"]["estimate"].as_f64(), juste["alpha"]["estimate"].as_f64());
    assert!((one.expect("α") - other.expect("α")).abs() < 1e-9, "the grid and the campaign say the same α");

    // Answers, comments and time, for whoever runs the campaign.
    let all = stand.get(&campaign, "/annotations?limit=1000").await;
    assert_eq!((&all["total"], &all["data"][0]["comment"]), (&json!(108), &json!("vu")));
    let (_, closed) = stand
        .app
        .patch(&format!("/v1/eval/campaigns/{}", campaign["id"]), &stand.evaluator, &json!({"closed": true}))
        .await;
    assert_eq!((&closed["progress"]["complete"], &closed["progress"]["left"]), (&json!(24), &json!(0)), "{closed}");
}
