//! Keys: shown once, kept as a hash, and closed in time wherever they are used.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tests::engine::ms;
use tests::{Backend, FakeEngine, TestApp, chat, on_each_database};

use crate::identity::{key, make, member, one_model, organization, project, second};

on_each_database!(
    a_key_is_shown_once_and_its_secret_is_nowhere,
    a_key_expires,
    a_revoked_key_is_refused_at_once,
    what_is_archived_or_disabled_stops_its_keys,
    a_change_reaches_every_replica_within_five_seconds,
    keys_of_before_open_when_the_database_is_away,
);

/// Everything the gateway keeps, as bytes: its folder, and each row of a PostgreSQL database.
async fn everything_kept(app: &TestApp) -> Vec<(String, Vec<u8>)> {
    fn walk(folder: &Path, files: &mut Vec<(String, Vec<u8>)>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => walk(&path, files),
                false => files.push((path.display().to_string(), std::fs::read(&path).expect("a file"))),
            }
        }
    }
    let mut kept = Vec::new();
    walk(app.folder.path(), &mut kept);
    let url = &app.database().url;
    if url.starts_with("postgres") {
        let mut connection = PgConnection::connect(url).await.expect("the database answers");
        let tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
        for table in sqlx::query(tables).fetch_all(&mut connection).await.expect("the tables") {
            let name: String = table.get(0);
            let rows = sqlx::query(AssertSqlSafe(format!("SELECT t::text FROM {name} t")));
            for row in rows.fetch_all(&mut connection).await.expect("the rows") {
                kept.push((format!("table {name}"), row.get::<String, _>(0).into_bytes()));
            }
        }
    }
    kept
}

async fn a_key_is_shown_once_and_its_secret_is_nowhere(backend: Backend) {
    let engine = FakeEngine::start().await;
    let app = TestApp::on(backend, &one_model(&engine)).await;
    let mine = app.key("A", "internal").await;
    let person = member(
        &app,
        "p@a.fr",
        Some(mine.organization_id),
        Some(json!({"role": "manager", "organization_id": mine.organization_id})),
    )
    .await;
    let (_, theirs) = key(&app, json!({"member_id": person, "name": "portable"})).await;
    let (status, own) = app.post("/v1/me/keys", &theirs, &json!({"name": "second"})).await;
    assert_eq!(status, 201, "{own}");
    let secrets =
        [mine.secret.clone(), theirs.clone(), own["key"].as_str().expect("a key").to_owned(), app.admin_key.clone()];
    let (status, answer) = app.chat(&mine, "fake/plain").await;
    assert_eq!(status, 200, "{answer}");
    app.records(1).await;

    // No list tells it again.
    for (path, caller) in [
        ("/v1/admin/keys", &app.admin_key),
        ("/v1/me/keys", &theirs),
        ("/v1/me/keys", &mine.secret),
        ("/v1/me", &mine.secret),
        ("/v1/admin/audit", &app.admin_key),
        ("/v1/admin/records", &app.admin_key),
        ("/metrics", &app.admin_key),
    ] {
        let (status, answer) = app.get(path, caller).await;
        assert_eq!(status, 200, "{answer}");
        let text = answer.to_string();
        assert!(!text.contains("\"hash\"") && !text.contains("\"key\""), "{path}: {text}");
        assert!(secrets.iter().all(|secret| !text.contains(&secret[21..64])), "{path}: {text}");
    }

    let kept = everything_kept(&app).await;
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(
        kept.iter().any(|(_, bytes)| holds(bytes, &mine.id)),
        "the public part is kept, so the search finds what is there"
    );
    for secret in &secrets {
        let found: Vec<&String> =
            kept.iter().filter(|(_, bytes)| holds(bytes, &secret[21..64])).map(|(name, _)| name).collect();
        match *secret == app.admin_key {
            true => assert!(found.len() == 1 && found[0].ends_with("data/admin.key"), "{found:?}"),
            false => assert!(found.is_empty(), "{found:?}"),
        }
    }
}

async fn until_refused(app: &TestApp, key: &str, within: Duration) {
    let started = Instant::now();
    loop {
        let (status, answer) = app.get("/v1/me", key).await;
        if status == 401 {
            return;
        }
        assert_eq!(status, 200, "{answer}");
        assert!(started.elapsed() < within, "still open after {within:?}");
        tokio::time::sleep(ms(20)).await;
    }
}

async fn a_key_expires(backend: Backend) {
    let app = TestApp::on(backend, "").await;
    let a = organization(&app, "A").await;
    let of = project(&app, a, "p").await;
    let made = Instant::now();
    let (_, short) = key(&app, json!({"project_id": of, "expires_in": "2s"})).await;
    let (_, long) = key(&app, json!({"project_id": of, "expires_in": "90d"})).await;
    let (status, me) = app.get("/v1/me", &short).await;
    assert!(status == 200 && me["expires"].is_i64(), "{me}");
    until_refused(&app, &short, Duration::from_secs(5)).await;
    assert!(made.elapsed() >= Duration::from_secs(2), "not before its time");
    assert_eq!(app.get("/v1/me", &long).await.0, 200);
    for wrong in ["0s", "-1d", "90", "soon", "", "999999999999d"] {
        let (status, answer) =
            app.post("/v1/admin/keys", &app.admin_key, &json!({"project_id": of, "expires_in": wrong})).await;
        assert_eq!((status, answer["error"]["param"].as_str()), (400, Some("expires_in")), "{wrong}: {answer}");
    }
}

async fn a_revoked_key_is_refused_at_once(backend: Backend) {
    let app = TestApp::on(backend, "").await;
    let mine = app.key("A", "internal").await;
    let other = app.project_key(mine.organization_id, "autre", "internal").await;
    assert_eq!(app.get("/v1/me", &mine.secret).await.0, 200);
    assert_eq!(app.delete(&format!("/v1/admin/keys/{}", mine.id), &app.admin_key).await.0, 204);
    assert_eq!(app.get("/v1/me", &mine.secret).await.0, 401);
    assert_eq!(app.get("/v1/me", &other.secret).await.0, 200, "and no other");
    // Twice is no error; a leaked key can put itself out of use, and no other.
    assert_eq!(app.delete(&format!("/v1/admin/keys/{}", mine.id), &app.admin_key).await.0, 204);
    let third = app.project_key(mine.organization_id, "troisième", "internal").await;
    assert_eq!(app.delete(&format!("/v1/me/keys/{}", third.id), &other.secret).await.0, 404);
    assert_eq!(app.delete(&format!("/v1/me/keys/{}", other.id), &other.secret).await.0, 204);
    assert_eq!(app.get("/v1/me", &other.secret).await.0, 401);
    let (_, listed) = app.get("/v1/admin/keys", &app.admin_key).await;
    let shown: Vec<&Value> = listed["data"].as_array().expect("a list").iter().map(|key| &key["key_id"]).collect();
    assert!(shown.contains(&&json!(third.id)) && !shown.contains(&&json!(mine.id)), "{listed}");
}

async fn what_is_archived_or_disabled_stops_its_keys(backend: Backend) {
    let engine = FakeEngine::start().await;
    let app = TestApp::on(backend, &one_model(&engine)).await;
    let mine = app.key("A", "internal").await;
    let a = mine.organization_id;
    let person = member(&app, "p@a.fr", Some(a), Some(json!({"role": "builder", "project_id": mine.project_id}))).await;
    let (_, theirs) = key(&app, json!({"member_id": person})).await;
    assert_eq!(app.get("/v1/me", &theirs).await.0, 200);
    assert_eq!(app.chat(&mine, "fake/plain").await.0, 200);

    // Nothing stops by surprise: an organization goes last.
    let organization_path = format!("/v1/admin/organizations/{a}");
    let (status, answer) = app.delete(&organization_path, &app.admin_key).await;
    assert_eq!((status, answer["error"]["code"].as_str()), (409, Some("conflict")), "{answer}");
    assert_eq!(app.delete(&format!("/v1/admin/projects/{}", mine.project_id), &app.admin_key).await.0, 204);
    let (status, answer) = app.post("/v1/chat/completions", &mine.secret, &chat("fake/plain")).await;
    assert_eq!(status, 401, "{answer}");
    assert_eq!(app.get("/v1/me", &theirs).await.0, 200, "the member stays");
    let (status, answer) = app.post("/v1/admin/keys", &app.admin_key, &json!({"project_id": mine.project_id})).await;
    assert_eq!(status, 404, "no new key of what is archived: {answer}");

    assert_eq!(app.delete(&format!("/v1/admin/members/{person}"), &app.admin_key).await.0, 204);
    assert_eq!(app.get("/v1/me", &theirs).await.0, 401);
    let back = app.patch(&format!("/v1/admin/members/{person}"), &app.admin_key, &json!({"disabled": false})).await;
    assert_eq!(back.0, 200, "{}", back.1);
    assert_eq!(app.get("/v1/me", &theirs).await.0, 200, "back with their key");
    assert_eq!(app.delete(&format!("/v1/admin/members/{person}"), &app.admin_key).await.0, 204);

    assert_eq!(app.delete(&organization_path, &app.admin_key).await.0, 204);
    assert_eq!(app.get("/v1/me", &theirs).await.0, 401);
    assert_eq!(app.get(&organization_path, &app.admin_key).await.0, 404);
    // Its name is free again; its records stay.
    let again = organization(&app, "A").await;
    assert_ne!(again, a);
    let records = app.records(1).await;
    assert_eq!(records[0]["organization_id"], a);

    // The instance keeps an administrator.
    let (_, me) = app.get("/v1/me", &app.admin_key).await;
    let (status, answer) = app.delete(&format!("/v1/admin/members/{}", me["member_id"]), &app.admin_key).await;
    assert_eq!((status, answer["error"]["code"].as_str()), (409, Some("conflict")), "{answer}");
}

async fn a_change_reaches_every_replica_within_five_seconds(backend: Backend) {
    const FIVE: Duration = Duration::from_secs(5);
    let app = TestApp::on(backend, "").await;
    let other = second(&app, "").await;
    let mine = app.key("A", "internal").await;
    assert_eq!(other.get("/v1/me", &mine.secret).await.0, 200, "a new key opens at once on another replica");
    let person = member(&app, "p@a.fr", Some(mine.organization_id), None).await;
    let (_, theirs) = key(&app, json!({"member_id": person})).await;
    assert_eq!(other.get("/v1/admin/projects", &theirs).await.0, 403, "no role yet");

    make(
        &app,
        &format!("/v1/admin/members/{person}/grants"),
        json!({"role": "manager", "organization_id": mine.organization_id}),
    )
    .await;
    let started = Instant::now();
    while other.get("/v1/admin/projects", &theirs).await.0 != 200 {
        assert!(started.elapsed() < FIVE, "a role does not reach the other replica");
        tokio::time::sleep(ms(20)).await;
    }
    assert_eq!(app.delete(&format!("/v1/admin/keys/{}", mine.id), &app.admin_key).await.0, 204);
    assert_eq!(app.get("/v1/me", &mine.secret).await.0, 401);
    until_refused(&other, &mine.secret, FIVE).await;
    assert_eq!(app.delete(&format!("/v1/admin/members/{person}"), &app.admin_key).await.0, 204);
    until_refused(&other, &theirs, FIVE).await;
}

/// A restart reads the keys in advance: one that had not called yet opens although the database went away meanwhile.
async fn keys_of_before_open_when_the_database_is_away(backend: Backend) {
    let engine = FakeEngine::start().await;
    let app = TestApp::on(backend, &one_model(&engine)).await;
    let mine = app.key("A", "internal").await;
    let (folder, database) = app.stop().await;
    let app = TestApp::in_folder(folder, database, &one_model(&engine)).await;
    // The connections of the gateway close, and no other opens.
    app.running.as_ref().expect("a gateway").app.store.close().await;
    let (status, answer) = app.chat(&mine, "fake/plain").await;
    assert_eq!(status, 200, "{answer}");
    let stranger = TestApp::start("").await;
    let (status, answer) = app.get("/v1/me", &stranger.admin_key).await;
    assert_eq!((status, answer["error"]["code"].as_str()), (503, Some("service_unavailable")), "{answer}");
}
