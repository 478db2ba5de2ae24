//! The chains of both logs: whatever is touched behind the gateway's back is seen, and what goes by its rules is not held
//! against it.

use guichet::store::chain::Log;
use guichet::store::verify::{Point, Verified};
use serde_json::json;
use tests::{Backend, TestApp, on_each_database};

use crate::records::{ON, ask, chat, consent, evaluator, gateway, kept, sql};

on_each_database!(
    an_untouched_log_is_intact_and_its_head_can_be_looked_for,
    each_way_of_tampering_is_seen_and_placed,
    replicas_write_one_chain,
);

async fn verify(app: &TestApp, log: Log) -> Verified {
    app.running.as_ref().expect("a gateway").app.store.verify(log, None).await.expect("the log is read")
}

/// Both logs with `count` records each; the ids in the order stored.
async fn filled(app: &TestApp, count: usize) -> Vec<String> {
    let (key, evaluator) = (app.key("A", "internal").await, evaluator(app).await);
    consent(app, &key).await;
    let mut ids = Vec::new();
    // In two waves, each stored before the next: two blocks at least.
    for wave in [count / 2, count] {
        while ids.len() < wave {
            ids.push(ask(app, &key, &chat("petit", "Bonjour", false)).await);
        }
        app.records(wave).await;
        kept(app, &evaluator, wave).await;
    }
    ids
}

async fn an_untouched_log_is_intact_and_its_head_can_be_looked_for(backend: Backend) {
    let (app, _engine) = gateway(backend, ON).await;
    for log in Log::ALL {
        let empty = verify(&app, log).await;
        assert!(empty.intact && empty.records == 0, "{empty:?}");
    }
    filled(&app, 12).await;
    let store = &app.running.as_ref().expect("a gateway").app.store;
    for log in Log::ALL {
        let found = verify(&app, log).await;
        assert!(found.intact && found.records == 12 && found.unchained == 0, "{found:?}");
        let noted = found.head.clone();
        assert!(store.verify(log, Some(&noted)).await.expect("it is read").intact);
        let other = Point { hash: "0".repeat(64), ..noted };
        let found = store.verify(log, Some(&other)).await.expect("it is read");
        assert_eq!((found.wrong, found.faults[0].what), (1, "head"), "{found:?}");
    }
    assert_eq!(verify(&app, Log::Evaluation).await.contents, 12);
}

async fn each_way_of_tampering_is_seen_and_placed(backend: Backend) {
    let (app, _engine) = gateway(backend, ON).await;
    let ids = filled(&app, 8).await;
    // What is done, what undoes it, in which log it is seen, under which names, and whether the record is named.
    let (first, second) = (&ids[2], &ids[3]);
    let swap = |table: &str| {
        let a = format!("(SELECT seq FROM {table} WHERE id = '{first}')");
        let b = format!("(SELECT seq FROM {table} WHERE id = '{second}')");
        [
            format!("UPDATE {table} SET seq = -{a} WHERE id = '{first}'"),
            format!("UPDATE {table} SET seq = {b} - 1000000 WHERE id = '{second}'"),
            format!("UPDATE {table} SET seq = {b} + 1000000 WHERE id = '{first}' AND seq < 0"),
            format!("UPDATE {table} SET seq = seq + 1000000 - 1 WHERE id = '{second}'"),
        ]
    };
    for (log, done, undone, what) in [
        (
            Log::Usage,
            format!("UPDATE usage_records SET tokens_out = tokens_out + 1 WHERE id = '{first}'"),
            format!("UPDATE usage_records SET tokens_out = tokens_out - 1 WHERE id = '{first}'"),
            "altered",
        ),
        (
            Log::Usage,
            format!("UPDATE usage_records SET model_asked = 'autre' WHERE id = '{second}'"),
            format!("UPDATE usage_records SET model_asked = 'petit' WHERE id = '{second}'"),
            "altered",
        ),
        (
            Log::Evaluation,
            format!("UPDATE evaluation_records SET language = 'xx' WHERE id = '{first}'"),
            format!("UPDATE evaluation_records SET language = NULL WHERE id = '{first}'"),
            "altered",
        ),
        (
            Log::Evaluation,
            format!("UPDATE evaluation_contents SET content = content || ' ' WHERE id = '{first}'"),
            format!("UPDATE evaluation_contents SET content = rtrim(content) WHERE id = '{first}'"),
            "content_altered",
        ),
        (
            Log::Evaluation,
            format!("UPDATE evaluation_contents SET id = 'x' WHERE id = '{first}'"),
            format!("UPDATE evaluation_contents SET id = '{first}' WHERE id = 'x'"),
            "content_removed",
        ),
        (
            Log::Evaluation,
            format!("UPDATE evaluation_records SET purged_at = 1, purged_why = 'age' WHERE id = '{first}'"),
            format!("UPDATE evaluation_records SET purged_at = NULL, purged_why = NULL WHERE id = '{first}'"),
            "content_remains",
        ),
        (
            Log::Usage,
            "UPDATE log_blocks SET at = at + 1 WHERE log = 'usage' AND number = 1".to_owned(),
            "UPDATE log_blocks SET at = at - 1 WHERE log = 'usage' AND number = 1".to_owned(),
            "block",
        ),
        (
            Log::Usage,
            "UPDATE log_blocks SET log = 'gone' WHERE log = 'usage' AND number = 1".to_owned(),
            "UPDATE log_blocks SET log = 'usage' WHERE log = 'gone'".to_owned(),
            "block",
        ),
        (
            Log::Usage,
            "UPDATE log_chains SET number = number + 1 WHERE log = 'usage'".to_owned(),
            "UPDATE log_chains SET number = number - 1 WHERE log = 'usage'".to_owned(),
            "end",
        ),
        (
            Log::Usage,
            format!(
                "INSERT INTO usage_records (id, started_at, organization_id, key_id, endpoint, streamed, model_asked, \
                 data_class, tokens_in, tokens_out, tokens_estimated, duration_ms, status, outcome, client_retry, attempts) \
                 SELECT 'req_faux', started_at + 3600000, organization_id, key_id, endpoint, streamed, model_asked, \
                 data_class, tokens_in, tokens_out, tokens_estimated, duration_ms, status, outcome, client_retry, attempts \
                 FROM usage_records WHERE id = '{first}'"
            ),
            "DELETE FROM usage_records WHERE id = 'req_faux'".to_owned(),
            "added",
        ),
    ] {
        assert!(sql(&app, &done).await > 0, "{done}");
        let found = verify(&app, log).await;
        assert!(!found.intact && found.faults.iter().any(|fault| fault.what == what), "{done}: {found:#?}");
        if what == "altered" {
            let record = if done.contains(first.as_str()) { first } else { second };
            assert_eq!((found.wrong, found.faults[0].record.as_ref()), (1, Some(record)), "{found:#?}");
        }
        assert!(sql(&app, &undone).await > 0, "{undone}");
        let found = verify(&app, log).await;
        assert!(found.intact, "{undone}: {found:#?}");
    }
    for (log, table) in [(Log::Usage, "usage_records"), (Log::Evaluation, "evaluation_records")] {
        for statement in swap(table) {
            assert_eq!(sql(&app, &statement).await, 1, "{statement}");
        }
        let found = verify(&app, log).await;
        assert!(!found.intact, "moved records of {table} are seen");
        assert_eq!(sql(&app, &format!("DELETE FROM {table} WHERE id = '{}'", ids[6])).await, 1);
        let found = verify(&app, log).await;
        assert!(found.faults.iter().any(|fault| fault.what == "removed"), "{found:#?}");
    }
}

/// Two gateways on one database: each batch waits for the other's, and nothing forks.
async fn replicas_write_one_chain(backend: Backend) {
    let (app, engine) = gateway(backend, ON).await;
    let folder = tempfile::TempDir::new().expect("a folder");
    std::fs::create_dir(folder.path().join("data")).expect("its data folder");
    std::fs::write(folder.path().join("data/admin.key"), &app.admin_key).expect("the key");
    let database = tests::database::TestDatabase { url: app.database().url.clone() };
    let other = TestApp::in_folder(folder, database, &crate::records::configuration(&engine, ON)).await;
    let key = app.key("A", "internal").await;
    consent(&app, &key).await;
    let evaluator = evaluator(&app).await;
    for _ in 0..30 {
        ask(&app, &key, &chat("petit", "Bonjour", false)).await;
        ask(&other, &key, &chat("petit", "Bonjour", true)).await;
    }
    app.records(60).await;
    // A replica hears of a consent within a second; those before it left no content.
    let started = std::time::Instant::now();
    loop {
        let (_, list) = app.get("/v1/eval/records?limit=1000", &evaluator).await;
        let count = list["data"].as_array().map_or(0, Vec::len);
        let waiting = verify(&app, Log::Evaluation).await;
        assert!(waiting.intact, "{waiting:#?}");
        if count >= 30 {
            break;
        }
        assert!(started.elapsed() < tests::app::PATIENCE, "{count}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let found = verify(&app, Log::Usage).await;
    assert!(found.intact && found.records == 60, "{found:#?}");
    assert_eq!(json!(found)["intact"], true);
}
