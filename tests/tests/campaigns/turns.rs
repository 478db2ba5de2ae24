//! One item at a time: races, locks that expire, answers given twice, skipping, closing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::app::PATIENCE;
use tests::{Backend, on_each_database};

use super::{Stand, numbers, rows, stand};

on_each_database!(
    annotators_race_and_none_gets_anothers_item,
    a_lock_expires_and_what_came_too_late_is_told,
    an_answer_is_taken_once,
    skipped_items_go_to_others_and_nothing_is_forgotten,
    a_closed_campaign_gives_and_takes_nothing,
    a_long_campaign_is_walked_whole,
);

const YES: &str = "sans-danger";

fn form(stand: &Stand, rows: &[Value], annotators: &[i64]) -> Value {
    json!({"name": "tours", "grid": "guichet@1", "criteria": [YES], "rows": rows, "per_item": 1,
        "organization_id": stand.key.organization_id, "annotators": annotators})
}

async fn annotators_race_and_none_gets_anothers_item(backend: Backend) {
    let stand = stand(backend).await;
    let annotators = stand.annotators(8).await;
    let mut form = form(&stand, &rows(5), &numbers(&annotators));
    let campaign = stand.campaign(&form).await;
    let asked = annotators.iter().map(|(_, _, key)| stand.next(&campaign, key));
    let given = futures_util::future::join_all(asked).await;
    let items: Vec<&str> = given.iter().flatten().filter_map(|item| item["item"].as_str()).collect();
    assert_eq!((items.len(), BTreeSet::from_iter(&items).len()), (5, 5), "each item once, three get none");
    // Asking again shows the same item, also when asked twice at once.
    let mine = given.iter().position(Option::is_some).expect("somebody");
    let key = &annotators[mine].2;
    let again = futures_util::future::join_all((0..4).map(|_| stand.next(&campaign, key))).await;
    for item in again {
        assert_eq!(item.expect("an item")["item"], given[mine].as_ref().expect("an item")["item"]);
    }
    // Of two people wanted, two get each: all eight and two more.
    form["per_item"] = json!(2);
    let campaign = stand.campaign(&form).await;
    let given = futures_util::future::join_all(annotators.iter().map(|(_, _, key)| stand.next(&campaign, key))).await;
    assert_eq!(given.iter().flatten().count(), 8);
    let mut counts = std::collections::BTreeMap::new();
    for item in given.iter().flatten() {
        *counts.entry(item["item"].to_string()).or_insert(0) += 1;
    }
    assert!(counts.values().all(|count| *count <= 2), "{counts:?}");
    // The same answer twice at once is one answer.
    let item = given[0].as_ref().expect("an item");
    let said = json!({"item": item["item"], "answers": {YES: true}});
    let both = futures_util::future::join_all((0..2).map(|_| stand.answer(&campaign, &annotators[0].2, &said))).await;
    let statuses: BTreeSet<u16> = both.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, BTreeSet::from([200, 201]), "{both:?}");
}

async fn a_lock_expires_and_what_came_too_late_is_told(backend: Backend) {
    let stand = stand(backend).await;
    let annotators = stand.annotators(2).await;
    let (slow, fast) = (&annotators[0].2, &annotators[1].2);
    let mut form = form(&stand, &rows(1), &numbers(&annotators));
    form["lock"] = json!("3s");
    let campaign = stand.campaign(&form).await;
    let item = stand.next(&campaign, slow).await.expect("an item");
    assert!(stand.next(&campaign, fast).await.is_none(), "it is held");
    let started = Instant::now();
    let given = loop {
        if let Some(given) = stand.next(&campaign, fast).await {
            break given;
        }
        assert!(started.elapsed() < PATIENCE, "it is held for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(given["item"], item["item"]);
    let said = json!({"item": item["item"], "answers": {YES: true}});
    // Given to another meanwhile, or answered by them: the late answer is refused and told why.
    let (status, refused) = stand.answer(&campaign, slow, &said).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("lock_expired")), "{refused}");
    assert!(refused["detail"].as_str().is_some_and(|text| text.contains("quelqu’un d’autre")), "{refused}");
    assert_eq!(stand.answer(&campaign, fast, &said).await.0, 201);
    let (status, refused) = stand.answer(&campaign, slow, &said).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("lock_expired")), "{refused}");
    assert!(stand.next(&campaign, slow).await.is_none());
    let done = stand.get(&campaign, "/annotations").await;
    assert_eq!((&done["total"], &done["data"][0]["member_id"]), (&json!(1), &json!(annotators[1].0)), "{done}");

    // Too late, and nobody else has it: it counts.
    form["lock"] = json!("1ms");
    let campaign = stand.campaign(&form).await;
    let item = stand.next(&campaign, slow).await.expect("an item");
    tokio::time::sleep(Duration::from_millis(5)).await;
    let said = json!({"item": item["item"], "answers": {YES: false}});
    assert_eq!(stand.answer(&campaign, slow, &said).await.0, 201);
}

async fn an_answer_is_taken_once(backend: Backend) {
    let stand = stand(backend).await;
    let annotators = stand.annotators(2).await;
    let key = &annotators[0].2;
    let campaign = stand.campaign(&form(&stand, &rows(2), &numbers(&annotators))).await;
    let item = stand.next(&campaign, key).await.expect("an item");
    let wrong = [
        (json!({}), "answers.sans-danger"),
        (json!({"answers": {YES: "peut-être"}}), "answers.sans-danger"),
        (json!({"answers": {YES: true, "clair": 3}}), "answers.clair"),
        (json!({"answers": {YES: null}}), "answers"),
        (json!({"answers": {YES: true}, "skip": true}), "skip"),
        (json!({"answers": {YES: true}, "seconds": -1}), "seconds"),
        (json!({"answers": {YES: [true]}}), "answers.sans-danger"),
    ];
    for (mut said, param) in wrong {
        said["item"] = item["item"].clone();
        let (status, refused) = stand.answer(&campaign, key, &said).await;
        assert_eq!((status, refused["error"]["param"].as_str()), (400, Some(param)), "{said}: {refused}");
    }
    let said =
        json!({"item": item["item"], "answers": {YES: "na"}, "comment": "écrire à jean@exemple.fr", "seconds": 7});
    let (status, taken) = stand.answer(&campaign, key, &said).await;
    assert_eq!((status, &taken["outcome"]), (201, &json!("answered")), "{taken}");
    assert_eq!(stand.answer(&campaign, key, &said).await.0, 200, "a client that asks again is told the same");
    for other in
        [json!({"answers": {YES: true}}), json!({"skip": true}), json!({"answers": {YES: "na"}, "comment": "autre"})]
    {
        let mut other = other;
        other["item"] = item["item"].clone();
        let (status, refused) = stand.answer(&campaign, key, &other).await;
        assert_eq!((status, &refused["error"]["code"]), (409, &json!("already_answered")), "{refused}");
    }
    // Another's item, and one of nobody, are the same to who was not given it.
    let (status, refused) = stand.answer(&campaign, &annotators[1].2, &said).await;
    let mut nobody = said.clone();
    nobody["item"] = json!("it_000000000000000000000000");
    let (other, words) = stand.answer(&campaign, &annotators[1].2, &nobody).await;
    assert_eq!((status, other, &refused), (404, 404, &words));
    let done = stand.get(&campaign, "/annotations").await;
    let one = &done["data"][0];
    assert_eq!((&one["answers"][YES], &one["seconds"]), (&json!("na"), &json!(7.0)), "{done}");
    assert_eq!(one["comment"], "écrire à [email]", "comments are redacted");
}

async fn skipped_items_go_to_others_and_nothing_is_forgotten(backend: Backend) {
    let stand = stand(backend).await;
    let annotators = stand.annotators(2).await;
    let campaign = stand.campaign(&form(&stand, &rows(3), &numbers(&annotators))).await;
    let seen = stand.annotate(&campaign, &annotators[0].2, |_| json!({"skip": true})).await;
    assert_eq!(seen.len(), 3);
    let seen = stand.annotate(&campaign, &annotators[1].2, |_| json!({"answers": {YES: "non"}})).await;
    assert_eq!(seen.len(), 3, "what one skips the other gets");
    let progress = &stand.get(&campaign, "").await["progress"];
    assert_eq!((&progress["skipped"], &progress["answered"], &progress["left"]), (&json!(3), &json!(3), &json!(0)));
    let agreement = stand.get(&campaign, "/agreement").await;
    let told = &agreement["criteria"][0];
    assert_eq!((&told["skipped"], &told["ratings"]), (&json!(3), &json!(3)), "{told:#}");
    assert_eq!(told["alpha"]["refused"]["code"], "too_few", "{told:#}");
    // Nobody answered: the table says so by a line without a value.
    let alone = stand.campaign(&form(&stand, &rows(2), &[])).await;
    let said = stand.guichet(&["eval", "campaign", "export", &alone["id"].to_string(), "--evidence"]);
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(lines.len() == 3 && lines[1].starts_with("sans-danger,,human,"), "{said:?}");
}

/// Far more items than are looked at together, and one that comes free behind somebody's back.
async fn a_long_campaign_is_walked_whole(backend: Backend) {
    let stand = stand(backend).await;
    let annotators = stand.annotators(2).await;
    let (one, other) = (&annotators[0].2, &annotators[1].2);
    let campaign = stand.campaign(&form(&stand, &rows(130), &numbers(&annotators))).await;
    let held = stand.next(&campaign, one).await.expect("an item");
    let seen = stand.annotate(&campaign, other, |_| json!({"answers": {YES: true}})).await;
    let distinct: BTreeSet<String> = seen.iter().map(|item| item["item"].to_string()).collect();
    assert_eq!((seen.len(), distinct.len()), (129, 129), "each once");
    assert!(!distinct.contains(&held["item"].to_string()));
    assert_eq!(stand.answer(&campaign, one, &json!({"item": held["item"], "skip": true})).await.0, 201);
    assert!(stand.next(&campaign, one).await.is_none(), "all else is done");
    let freed = stand.next(&campaign, other).await.expect("what was skipped");
    assert_eq!(freed["item"], held["item"]);
}

async fn a_closed_campaign_gives_and_takes_nothing(backend: Backend) {
    let stand = stand(backend).await;
    let annotators = stand.annotators(1).await;
    let key = &annotators[0].2;
    let campaign = stand.campaign(&form(&stand, &rows(2), &numbers(&annotators))).await;
    let item = stand.next(&campaign, key).await.expect("an item");
    let path = format!("/v1/eval/campaigns/{}", campaign["id"]);
    let (status, closed) = stand.app.patch(&path, &stand.evaluator, &json!({"closed": true})).await;
    assert!(status == 200 && closed["closed"].is_i64(), "{closed}");
    let (status, refused) = stand.app.get(&format!("{path}/next"), key).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("campaign_closed")), "{refused}");
    let said = json!({"item": item["item"], "answers": {YES: true}});
    let (status, refused) = stand.answer(&campaign, key, &said).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("campaign_closed")), "{refused}");
    let (status, open) = stand.app.patch(&path, &stand.evaluator, &json!({"closed": false})).await;
    assert!(status == 200 && open["closed"].is_null(), "{open}");
    assert_eq!(stand.answer(&campaign, key, &said).await.0, 201);
    let (_, trail) = stand.app.get("/v1/admin/audit?limit=10", &stand.app.admin_key).await;
    let actions: Vec<&str> =
        trail["data"].as_array().expect("a list").iter().filter_map(|e| e["action"].as_str()).collect();
    assert_eq!(actions[..3], ["campaign.reopen", "campaign.close", "campaign.create"], "{actions:?}");
}
