//! Two answers side by side: sides that change places, preferences, rankings and their refusals.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::{Backend, on_each_database};

use super::{Stand, numbers, stand};

on_each_database!(preferences_are_those_of_the_candidates, what_cannot_be_ranked_is_refused_with_its_reason);

/// Pairs of these candidates in turn; each answer tells its strength, the same question its number.
fn duels(count: usize, pairs: &[[(&str, i64); 2]]) -> Vec<Value> {
    let row = |n: usize| {
        let [(one, first), (other, second)] = pairs[n % pairs.len()];
        json!({"id": format!("q{n}"), "prompt": format!("Question {n} ?"), "answers": [
            {"candidate": one, "text": format!("force {first}")}, {"candidate": other, "text": format!("force {second}")}]})
    };
    (0..count).map(row).collect()
}

async fn campaign(stand: &Stand, rows: &[Value], annotators: &[i64]) -> Value {
    let document = super::grids::sound("duels", "Juste ?");
    let (status, stored) = stand.app.post("/v1/eval/grids", &stand.evaluator, &json!({"document": document})).await;
    assert!(status < 300, "{stored}");
    let per_item = annotators.len();
    stand
        .campaign(
            &json!({"name": "duels", "grid": "duels@3", "rows": rows, "per_item": per_item, "annotators": annotators}),
        )
        .await
}

fn strength(answer: &Value) -> i64 {
    let text = answer["text"].as_str().expect("a text");
    text.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a strength")
}

/// The stronger, but for one question in eight, and a tie in eight: all win somewhere.
fn prefers(item: &Value) -> &'static str {
    let (a, b) = (strength(&item["answers"][0]), strength(&item["answers"][1]));
    let question = item["messages"][0]["text"].as_str().expect("a question");
    let number: i64 = question.split_whitespace().find_map(|word| word.parse().ok()).expect("a number");
    match (number % 8, a > b) {
        (0, _) => "nul",
        (1, stronger_first) => {
            if stronger_first {
                "B"
            } else {
                "A"
            }
        }
        (_, true) => "A",
        (_, false) => "B",
    }
}

async fn preferences_are_those_of_the_candidates(backend: Backend) {
    let stand = stand(backend).await;
    let annotators = stand.annotators(2).await;
    let (strong, middle, weak) = (("fort", 3), ("moyen", 2), ("faible", 1));
    let rows = duels(48, &[[strong, middle], [weak, strong], [middle, weak]]);
    let campaign = campaign(&stand, &rows, &numbers(&annotators)).await;
    assert_eq!(campaign["criteria"], json!(["mieux"]), "only what fits pairs is asked");
    let mut sides = Vec::new();
    for (_, _, key) in &annotators {
        let seen = stand.annotate(&campaign, key, |item| json!({"answers": {"mieux": prefers(item)}})).await;
        assert_eq!(seen.len(), 48);
        let labels: BTreeSet<String> = seen
            .iter()
            .map(|item| {
                format!(
                    "{}{}",
                    item["answers"][0]["side"].as_str().unwrap_or(""),
                    item["answers"][1]["side"].as_str().unwrap_or("")
                )
            })
            .collect();
        assert_eq!(labels, BTreeSet::from(["AB".to_owned()]));
        // Who stands on the left, by question.
        let mut left: Vec<(String, i64)> =
            seen.iter().map(|item| (item["messages"][0]["text"].to_string(), strength(&item["answers"][0]))).collect();
        left.sort();
        sides.push(left);
    }
    let apart = sides[0].iter().zip(&sides[1]).filter(|(one, other)| one != other).count();
    assert!((8..40).contains(&apart), "sides are shuffled for each: {apart} of 48 differ");

    let found = stand.get(&campaign, "/pairs").await;
    let told = &found["criteria"][0];
    assert_eq!(
        (&told["criterion"], &told["choices"], &told["raters"]),
        (&json!("mieux"), &json!(96), &json!(2)),
        "{told:#}"
    );
    // By name: faible–fort, faible–moyen, fort–moyen, each 16 questions answered twice, alike by both.
    let pairs = told["pairs"].as_array().expect("pairs");
    let of = |one: &str, other: &str| {
        let pair = pairs.iter().find(|pair| pair["first"] == one && pair["second"] == other).expect("the pair").clone();
        let count = |name: &str| pair[name].as_u64().expect("a count");
        assert_eq!((count("wins") + count("losses") + count("ties"), count("units")), (32, 16), "{pair:#}");
        assert_eq!(count("ties"), 4, "{pair:#}");
        pair
    };
    assert!(of("faible", "fort")["share"]["high"].as_f64() < Some(0.5));
    assert!(of("fort", "moyen")["share"]["low"].as_f64() > Some(0.5));
    of("faible", "moyen");
    let left = &told["left"];
    let share = left["estimate"].as_f64().unwrap_or_else(|| panic!("{left:#}"));
    assert!((0.25..0.75).contains(&share), "nobody chooses by place: {left:#}");

    let found = stand.get(&campaign, "/rankings").await;
    let places = found["criteria"][0]["ranking"]["places"].as_array().expect("places").clone();
    let names: Vec<&str> = places.iter().filter_map(|place| place["name"].as_str()).collect();
    assert_eq!(names, ["fort", "moyen", "faible"], "{found:#}");
    assert!(places.iter().all(|place| place["low"].is_f64() && place["rank_low"].is_u64()), "{found:#}");
    assert_eq!(found["criteria"][0]["ranking"]["units"], json!(48), "answers to one question are one unit");

    // The table of evidence tells wins of one candidate, and refuses to tell them of nobody.
    let id = campaign["id"].to_string();
    let said = stand.guichet(&["eval", "campaign", "export", &id, "--evidence"]);
    assert!(said.code == Some(1) && said.err.contains("faible, fort, moyen"), "{said:?}");
    let said = stand.guichet(&["eval", "campaign", "export", &id, "--evidence", "--candidate", "fort"]);
    let count = |word: &str| said.out.lines().filter(|line| line.starts_with(&format!("mieux,{word},human,q"))).count();
    assert_eq!(count("win") + count("loss") + count("tie"), 64, "{said:?}");
    let pair = pairs.iter().find(|pair| pair["first"] == "fort").expect("fort–moyen");
    let against = pairs.iter().find(|pair| pair["second"] == "fort").expect("faible–fort");
    let wins = pair["wins"].as_u64().unwrap_or(0) + against["losses"].as_u64().unwrap_or(0);
    assert_eq!(count("win") as u64, wins);
}

async fn what_cannot_be_ranked_is_refused_with_its_reason(backend: Backend) {
    let stand = stand(backend).await;
    let annotators = stand.annotators(1).await;
    let key = &annotators[0].2;
    let refused = async |rows: &[Value]| {
        let campaign = campaign(&stand, rows, &numbers(&annotators)).await;
        let best = |item: &Value| {
            let (a, b) = (strength(&item["answers"][0]), strength(&item["answers"][1]));
            json!({"answers": {"mieux": if a > b { "A" } else { "B" }}})
        };
        stand.annotate(&campaign, key, best).await;
        let found = stand.get(&campaign, "/rankings").await["criteria"][0].clone();
        (found["ranking"]["refused"].clone(), found["unnamed"].clone())
    };
    // One always wins.
    let (why, _) = refused(&duels(30, &[[("a", 2), ("b", 1)]])).await;
    assert_eq!(why["code"], "disconnected", "{why}");
    assert!(
        why["fr"].as_str().is_some_and(|text| text.contains("aucun classement : b") && text.contains("duels")),
        "{why}"
    );
    // Two islands.
    let islands = [[("a", 2), ("b", 1)], [("b", 2), ("a", 1)], [("c", 2), ("d", 1)], [("d", 2), ("c", 1)]];
    let (why, _) = refused(&duels(40, &islands)).await;
    assert_eq!(why["code"], "disconnected", "{why}");
    // Linked, and too few to say.
    let (why, _) = refused(&duels(4, &[[("a", 2), ("b", 1)], [("b", 2), ("a", 1)]])).await;
    assert_eq!(why["code"], "too_few", "{why}");
    // Nobody said what answered.
    let nameless: Vec<Value> = (0..10)
        .map(|n| json!({"prompt": format!("Q {n} ?"), "answers": [{"text": "force 1"}, {"text": "force 2"}]}))
        .collect();
    let (why, unnamed) = refused(&nameless).await;
    assert_eq!((&why["code"], &unnamed), (&json!("too_few"), &json!(10)), "{why}");
    // Records that do not answer the same messages are no pair.
    let form = json!({"name": "x", "grid": "duels@3", "rows": [{"record_id": "req_a", "against_id": "req_b"}]});
    let (status, wrong) = stand.app.post("/v1/eval/campaigns", &stand.evaluator, &form).await;
    assert_eq!((status, wrong["error"]["param"].as_str()), (400, Some("rows[0].record_id")), "{wrong}");
}
