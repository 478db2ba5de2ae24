//! What is past its time goes by itself, and what was counted stays. The clock is moved by asking what holds at a later
//! moment.

use guichet::evaluation::retention::keep;
use guichet::store::chain::Log;
use guichet::store::now;
use guichet::store::retention::Purged;
use serde_json::{Value, json};
use tests::{Backend, TestApp, on_each_database};

use crate::records::{ON, ask, chat, consent, content, evaluator, gateway, kept, places};

on_each_database!(
    content_goes_after_ninety_days_and_a_checked_item_stays,
    usage_goes_after_a_year_and_the_months_count_stays,
    it_runs_by_itself,
);

const DAY: i64 = 86_400_000;
const WITNESS: &str = "phrase-temoin";

/// The retention as it would run in so many days.
async fn purge(app: &TestApp, days: i64, dry_run: bool) -> Purged {
    let app = &app.running.as_ref().expect("a gateway").app;
    let keep = keep(&app.config.load(), now() + days * DAY);
    app.store.purge(keep, dry_run).await.expect("the retention runs")
}

async fn intact(app: &TestApp) {
    for log in Log::ALL {
        let found = app.running.as_ref().expect("a gateway").app.store.verify(log, None).await.expect("it is read");
        assert!(found.intact, "{found:#?}");
    }
}

async fn content_goes_after_ninety_days_and_a_checked_item_stays(backend: Backend) {
    let (app, _engine) = gateway(backend, ON).await;
    let (key, evaluator) = (app.key("A", "internal").await, evaluator(&app).await);
    consent(&app, &key).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(ask(&app, &key, &chat("petit", &format!("{WITNESS}-{n}"), false)).await);
    }
    kept(&app, &evaluator, 5).await;
    app.records(5).await;
    let said = json!({"request_id": ids[1], "comment": format!("{WITNESS} aussi")});
    assert_eq!(app.post("/v1/feedback", &key.secret, &said).await.0, 200);

    let path = format!("/v1/eval/records/{}/keep", ids[0]);
    let put = async |form: &Value| {
        let request = app.request(reqwest::Method::PUT, &path, &evaluator).json(form);
        tests::read(request.send().await.expect("an answer")).await
    };
    let (status, refused) = put(&json!({"dataset": "accueil", "checked": false})).await;
    assert_eq!((status, &refused["error"]["param"]), (400, &json!("checked")), "{refused}");
    assert_eq!(put(&json!({"dataset": "deux mots", "checked": true})).await.0, 400);
    assert_eq!(put(&json!({"dataset": "accueil", "checked": true})).await.0, 200);

    let early = purge(&app, 89, false).await;
    assert_eq!((early.contents, early.comments, early.usage_records), (0, 0, 0));
    let would = purge(&app, 91, true).await;
    assert_eq!((would.contents, would.comments, would.usage_records), (4, 1, 0));
    assert_eq!(content(&app, &evaluator, &ids[4]).await["purged"], Value::Null, "counting takes nothing away");
    let gone = purge(&app, 91, false).await;
    assert_eq!((gone.contents, gone.comments), (4, 1));
    // The month's key dies with its last content, a checked item apart.
    assert_eq!(gone.months, would.months);
    assert_eq!(gone.months.len(), 1, "{gone:?}");
    assert_eq!(purge(&app, 91, false).await, Purged::default(), "nothing is left to take away");

    let record = content(&app, &evaluator, &ids[0]).await;
    assert!(record["content"]["messages"][0]["content"].as_str().is_some_and(|text| text.starts_with(WITNESS)));
    let record = content(&app, &evaluator, &ids[1]).await;
    assert_eq!((&record["content"], &record["purged_why"]), (&Value::Null, &json!("age")), "{record:#}");
    intact(&app).await;
    let found = app.running.as_ref().expect("a gateway").app.store.verify(Log::Evaluation, None).await.expect("read");
    assert_eq!((found.records, found.contents, found.purged), (5, 1, 4), "purged content still verifies");
    for n in 1..5 {
        let found = places(app.folder.path(), &app.database().url, &format!("{WITNESS}-{n}")).await;
        assert!(found.is_empty(), "{n}: {found:?}");
    }
    // Let go of, it goes like the rest.
    let released = app.delete(&format!("{path}?dataset=accueil"), &evaluator).await;
    assert_eq!(released.0, 204, "{}", released.1);
    assert_eq!(purge(&app, 91, false).await.contents, 1);
}

async fn usage_goes_after_a_year_and_the_months_count_stays(backend: Backend) {
    let (app, _engine) = gateway(backend, ON).await;
    let (key, evaluator) = (app.key("A", "internal").await, evaluator(&app).await);
    consent(&app, &key).await;
    for user in ["ana", "bob", "ana", "eve"] {
        let mut body = chat("petit", "Bonjour", false);
        body["user"] = json!(user);
        ask(&app, &key, &body).await;
    }
    let month = jiff_month(app.records(4).await[0]["started_at"].as_i64().expect("a time"));
    kept(&app, &evaluator, 4).await;
    let path = format!("/v1/admin/users/active?month={month}");
    let (_, before) = app.get(&path, &app.admin_key).await;
    assert_eq!(before["data"][0]["active_end_users"], 3, "{before}");

    let would = purge(&app, 367, true).await;
    assert_eq!((would.usage_records, would.contents), (4, 4), "{would:?}");
    let gone = purge(&app, 367, false).await;
    assert_eq!((gone.usage_records, gone.evaluation_records, gone.contents), (4, 4, 4), "{gone:?}");
    app.records(0).await;
    kept(&app, &evaluator, 0).await;
    let (_, after) = app.get(&path, &app.admin_key).await;
    assert_eq!(after["data"][0], before["data"][0], "the month's count stays");
    intact(&app).await;
    let found = app.running.as_ref().expect("a gateway").app.store.verify(Log::Usage, None).await.expect("it is read");
    assert!(found.start.number > 0 && found.records == 0, "{found:#?}");

    // The log goes on after its cut, and a beginning that no purge declares is seen.
    ask(&app, &key, &chat("petit", "Encore", false)).await;
    app.records(1).await;
    intact(&app).await;
    crate::records::sql(&app, "UPDATE log_chains SET start_hash = 'x' WHERE log = 'usage'").await;
    let found = app.running.as_ref().expect("a gateway").app.store.verify(Log::Usage, None).await.expect("it is read");
    assert!(found.faults.iter().any(|fault| fault.what == "start"), "{found:#?}");
}

fn jiff_month(at: i64) -> String {
    guichet::store::people::Month::holding(at).expect("a month").name
}

async fn it_runs_by_itself(backend: Backend) {
    let evaluation = "evaluation: {keep: 1s}";
    let (app, engine) = gateway(backend, evaluation).await;
    let (key, evaluator) = (app.key("A", "internal").await, evaluator(&app).await);
    consent(&app, &key).await;
    let id = ask(&app, &key, &chat("petit", WITNESS, false)).await;
    kept(&app, &evaluator, 1).await;
    let (folder, database) = app.stop().await;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let app = TestApp::in_folder(folder, database, &crate::records::configuration(&engine, evaluation)).await;
    let started = std::time::Instant::now();
    while content(&app, &evaluator, &id).await["purged"].is_null() {
        assert!(started.elapsed() < tests::app::PATIENCE, "the content stays");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // Files are emptied right after.
    while !places(app.folder.path(), &app.database().url, WITNESS).await.is_empty() {
        assert!(started.elapsed() < tests::app::PATIENCE, "the content is still on the disk");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
