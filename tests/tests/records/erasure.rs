//! One end user erased within a month: their contents go, the month's count stays, and the chains still verify.

use guichet::store::chain::Log;
use serde_json::{Value, json};
use tests::{Backend, on_each_database};

use crate::records::{ON, ask, chat, consent, content, evaluator, gateway, kept, member, places};

on_each_database!(one_end_user_is_erased_and_the_others_stay);

async fn one_end_user_is_erased_and_the_others_stay(backend: Backend) {
    let (app, _engine) = gateway(backend, ON).await;
    let (key, evaluator) = (app.key("A", "internal").await, evaluator(&app).await);
    consent(&app, &key).await;
    let mut ids = Vec::new();
    for (user, words) in [("ana", "histoire-ana"), ("bob", "histoire-bob"), ("ana", "suite-ana")] {
        let mut body = chat("petit", words, false);
        body["user"] = json!(user);
        ids.push(ask(&app, &key, &body).await);
    }
    kept(&app, &evaluator, 3).await;
    let before = app.records(3).await;
    let said = json!({"request_id": ids[0], "comment": "avis-ana"});
    assert_eq!(app.post("/v1/feedback", &key.secret, &said).await.0, 200);
    // Even what was kept for a dataset.
    let path = format!("/v1/eval/records/{}/keep", ids[0]);
    let form = json!({"dataset": "accueil", "checked": true});
    let request = app.request(reqwest::Method::PUT, &path, &evaluator).json(&form);
    assert_eq!(request.send().await.expect("an answer").status(), 200);

    let organization = key.organization_id;
    let manager =
        member(&app, Some(organization), &[json!({"role": "manager", "organization_id": organization})]).await;
    let erase = json!({"organization_id": organization, "user": "ana"});
    assert_eq!(app.post("/v1/eval/erasures", &evaluator, &erase).await.0, 403);
    let (status, erased) = app.post("/v1/eval/erasures", &manager, &erase).await;
    assert_eq!(status, 200, "{erased}");
    let reached = ["contents", "usage_records", "evaluation_records"].map(|name| erased[name].clone());
    assert_eq!(reached, [json!(2), json!(2), json!(2)]);
    for (id, gone) in [(&ids[0], true), (&ids[1], false), (&ids[2], true)] {
        let record = content(&app, &evaluator, id).await;
        assert_eq!(record["purged_why"] == "erasure", gone, "{record:#}");
        assert_eq!(record["content"] == Value::Null, gone);
    }
    let after = app.records(3).await;
    let user = |records: &[Value], id: &str| {
        records.iter().find(|record| record["id"] == *id).expect("a record")["end_user"].clone()
    };
    assert_eq!(user(&after, &ids[1]), user(&before, &ids[1]));
    assert_eq!(user(&after, &ids[0]), user(&after, &ids[2]), "they stay one person in the count");
    assert_ne!(user(&after, &ids[0]), user(&before, &ids[0]));
    let (_, active) = app.get("/v1/admin/users/active", &app.admin_key).await;
    assert_eq!(active["data"][0]["active_end_users"], 2, "{active}");
    let pseudonym = user(&before, &ids[0]).as_str().expect("a pseudonym").to_owned();
    // The journal holds usage metadata until it is recycled: the pseudonym is looked for where it is kept.
    for table in ["usage_records", "evaluation_records"] {
        let touch = format!("UPDATE {table} SET end_user = end_user WHERE end_user = '{pseudonym}'");
        assert_eq!(crate::records::sql(&app, &touch).await, 0, "{table}");
    }
    for words in ["histoire-ana", "suite-ana", "avis-ana"] {
        let found = places(app.folder.path(), &app.database().url, words).await;
        assert!(found.is_empty(), "{words} in {found:?}");
    }
    for log in Log::ALL {
        let found = app.running.as_ref().expect("a gateway").app.store.verify(log, None).await.expect("it is read");
        assert!(found.intact, "an erasure is declared: {found:#?}");
    }
    let changed =
        crate::records::sql(&app, &format!("UPDATE usage_records SET end_user = 'x' WHERE id = '{}'", ids[0])).await;
    assert_eq!(changed, 1);
    let found = app.running.as_ref().expect("a gateway").app.store.verify(Log::Usage, None).await.expect("it is read");
    assert!(!found.intact, "what is not declared is seen");

    // Again: nothing is left. Another month: its key was never made.
    let (_, erased) = app.post("/v1/eval/erasures", &manager, &erase).await;
    assert_eq!(erased["contents"], 0, "{erased}");
    let past = json!({"organization_id": organization, "user": "ana", "month": "2020-01"});
    assert_eq!(app.post("/v1/eval/erasures", &manager, &past).await.0, 404);
    for wrong in
        [json!({"organization_id": organization}), json!({"organization_id": organization, "user": "a", "month": "x"})]
    {
        assert_eq!(app.post("/v1/eval/erasures", &manager, &wrong).await.0, 400, "{wrong}");
    }
    // The trail says who erased, and not whom.
    let (_, trail) = app.get("/v1/admin/audit?limit=5", &app.admin_key).await;
    let text = trail.to_string();
    assert!(text.contains("content.erase") && !text.contains(&pseudonym) && !text.contains("ana\""), "{text}");
}
