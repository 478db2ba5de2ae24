//! What goes with its time: contents of items, rows given, comments. What was answered stays.

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Backend, on_each_database, read};

use super::{Stand, numbers, rows, stand};
use crate::records::{ask, chat, kept, sql};

on_each_database!(an_item_whose_content_is_gone_is_said_so, rows_go_in_their_time_unless_somebody_checked_them);

const YES: &str = "sans-danger";

async fn purge(stand: &Stand) -> Value {
    let (status, purged) = stand.app.post("/v1/eval/purge", &stand.app.admin_key, &json!({})).await;
    assert_eq!(status, 200, "{purged}");
    purged
}

async fn an_item_whose_content_is_gone_is_said_so(backend: Backend) {
    let stand = stand(backend).await;
    for n in 0..4 {
        ask(&stand.app, &stand.key, &chat("petit", &format!("Bonjour, question {n} ?"), false)).await;
    }
    kept(&stand.app, &stand.instance, 4).await;
    let (_, sample) = stand.app.post("/v1/eval/samples", &stand.evaluator, &json!({"name": "s", "size": 4})).await;
    let annotators = stand.annotators(1).await;
    let key = &annotators[0].2;
    let campaign = stand
        .campaign(&json!({"name": "part", "grid": "guichet@1", "criteria": [YES, "fautes"], "sample_id": sample["id"],
            "per_item": 1, "annotators": numbers(&annotators)}))
        .await;
    let item = stand.next(&campaign, key).await.expect("an item");
    let said = json!({"item": item["item"], "answers": {YES: true, "fautes": 2}, "comment": "à revoir"});
    assert_eq!(stand.answer(&campaign, key, &said).await.0, 201);
    let held = stand.next(&campaign, key).await.expect("an item");

    let path = format!("/v1/admin/projects/{}/consent", stand.key.project_id);
    let (status, _) =
        read(stand.app.request(Method::DELETE, &path, &stand.app.admin_key).send().await.expect("an answer")).await;
    assert_eq!(status, 204);
    let purged = purge(&stand).await;
    assert_eq!(purged["contents"], json!(4), "{purged}");
    assert!(stand.next(&campaign, key).await.is_none(), "nothing is shown without its content");
    // Who had read it may still say what they read.
    let late = json!({"item": held["item"], "answers": {YES: true, "fautes": 0}});
    assert_eq!(stand.answer(&campaign, key, &late).await.0, 201);
    let progress = stand.get(&campaign, "").await["progress"].clone();
    assert_eq!(
        (&progress["purged"], &progress["left"], &progress["complete"]),
        (&json!(4), &json!(0), &json!(2)),
        "{progress}"
    );
    let items = stand.get(&campaign, "/items").await;
    assert!(items["data"].as_array().expect("items").iter().all(|item| item["purged"] == true), "{items:#}");
    // Answers stay, comments went with what they are about, and what was never answered is missing, not zero.
    let done = stand.get(&campaign, "/annotations").await;
    assert_eq!(done["total"], json!(2));
    assert!(!done.to_string().contains("à revoir"), "{done}");
    assert_eq!(stand.answer(&campaign, key, &said).await.0, 200, "the same answer is still the same");
    let evidence = stand.guichet(&["eval", "campaign", "export", &campaign["id"].to_string(), "--evidence"]);
    assert_eq!(evidence.out.lines().filter(|line| line.starts_with("sans-danger,,")).count(), 2, "{evidence:?}");
    // A campaign of what is gone says so from the start.
    let again = stand
        .campaign(&json!({"name": "trop tard", "grid": "guichet@1", "criteria": [YES], "sample_id": sample["id"]}))
        .await;
    assert_eq!((&again["progress"]["items"], &again["progress"]["purged"]), (&json!(4), &json!(4)), "{again}");
    let sheet =
        stand.guichet(&["eval", "campaign", "export", &again["id"].to_string(), "--annotator", &annotators[0].1]);
    assert!(sheet.code == Some(0) && sheet.out.lines().count() == 1, "{sheet:?}");
}

async fn rows_go_in_their_time_unless_somebody_checked_them(backend: Backend) {
    let stand = stand(backend).await;
    let annotators = stand.annotators(1).await;
    let key = &annotators[0].2;
    let secret = "Écrivez à camille.martin@exemple.fr.";
    let mut given = rows(1);
    given[0]["answers"][0]["text"] = json!(secret);
    given[0]["prompt"] = json!([{"role": "user", "content": secret}]);
    let form = json!({"name": "lignes", "grid": "guichet@1", "criteria": [YES], "rows": given, "per_item": 2,
        "annotators": numbers(&annotators), "organization_id": stand.key.organization_id});
    let (plain, checked) = {
        let mut checked = form.clone();
        checked["checked"] = json!(true);
        (stand.campaign(&form).await, stand.campaign(&checked).await)
    };
    for campaign in [&plain, &checked] {
        let item = stand.next(campaign, key).await.expect("an item");
        assert_eq!(item["answers"][0]["text"], "Écrivez à [email].", "redacted before it is stored");
        assert_eq!(item["messages"][0]["text"], "Écrivez à [email].");
        let said = json!({"item": item["item"], "answers": {YES: true}, "comment": "vu"});
        assert_eq!(stand.answer(campaign, key, &said).await.0, 201);
    }
    let nothing = purge(&stand).await;
    assert_eq!((&nothing["contents"], &nothing["comments"]), (&json!(0), &json!(0)), "{nothing}");
    let hundred_days = 100 * 86_400_000_i64;
    sql(&stand.app, &format!("UPDATE campaigns SET made_at = made_at - {hundred_days}")).await;
    sql(&stand.app, &format!("UPDATE campaign_turns SET given_at = given_at - {hundred_days}")).await;
    let (_, counted) = stand.app.post("/v1/eval/purge", &stand.app.admin_key, &json!({"dry_run": true})).await;
    assert_eq!((&counted["contents"], &counted["comments"]), (&json!(1), &json!(2)), "{counted}");
    let gone = purge(&stand).await;
    assert_eq!((&gone["contents"], &gone["comments"]), (&json!(1), &json!(2)), "{gone}");
    assert_eq!(stand.get(&plain, "").await["progress"]["purged"], json!(1));
    assert_eq!(stand.get(&checked, "").await["progress"]["purged"], json!(0));
}
