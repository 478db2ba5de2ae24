//! The database goes away: requests go on, records wait on disk within their bound, and all are there when it returns.

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tests::database::TestDatabase;
use tests::{Backend, FakeEngine, Key, Process, TestApp, chat, on_each_database, read};

use crate::accounting::{fields, models};

on_each_database!(
    requests_go_on_and_no_record_is_lost,
    memory_stays_flat_while_records_wait,
    a_restart_without_the_database_loses_nothing,
    /// The default: what cannot be recorded is not served.
    a_full_spool_refuses,
);

/// A database that takes nothing, until it is brought back.
enum Away {
    /// Another process holds the one write lock.
    Sqlite(SqliteConnection),
    /// The server refuses this database's connections, and has ended those there were.
    Postgres { server: PgConnection, name: String },
}

impl Away {
    async fn take(database: &TestDatabase) -> Away {
        if database.url.starts_with("sqlite") {
            let mut connection = SqliteConnection::connect(&database.url).await.expect("the file opens");
            sqlx::query("PRAGMA busy_timeout = 10000").execute(&mut connection).await.expect("a patience");
            sqlx::query("BEGIN EXCLUSIVE").execute(&mut connection).await.expect("the lock is taken");
            return Away::Sqlite(connection);
        }
        let (base, name) = database.url.rsplit_once('/').expect("a URL with a database");
        let mut server = PgConnection::connect(&format!("{base}/postgres")).await.expect("the server answers");
        allow(&mut server, name, false).await;
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
            .bind(name)
            .execute(&mut server)
            .await
            .expect("its connections end");
        Away::Postgres { server, name: name.to_owned() }
    }

    async fn bring_back(self) {
        match self {
            Away::Sqlite(mut connection) => {
                sqlx::query("ROLLBACK").execute(&mut connection).await.expect("the lock is given back");
                connection.close().await.expect("the file closes");
            }
            Away::Postgres { mut server, name } => allow(&mut server, &name, true).await,
        }
    }
}

async fn allow(server: &mut PgConnection, name: &str, connections: bool) {
    let text = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {connections}");
    sqlx::query(AssertSqlSafe(text)).execute(server).await.expect("the database is altered");
}

/// Chats one after the other; the ids of their answers, all well.
async fn chats(app: &TestApp, key: &Key, count: usize) -> Vec<String> {
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        let response = app.send("/v1/chat/completions", &key.secret, &chat("fake/plain")).await;
        ids.push(response.headers()["x-request-id"].to_str().expect("an id").to_owned());
        let (status, answer) = read(response).await;
        assert_eq!(status, 200, "{answer}");
    }
    ids
}

async fn requests_go_on_and_no_record_is_lost(backend: Backend) {
    let engine = FakeEngine::start().await;
    let app = TestApp::on(backend, &models(&engine, &["fake/plain"])).await;
    let key = app.key("A", "internal").await;
    let mut ids = chats(&app, &key, 1).await;
    app.records(1).await;

    let away = Away::take(app.database()).await;
    ids.extend(chats(&app, &key, 50).await);
    let (status, refused) = app.post("/v1/chat/completions", &key.secret, &chat("gpt-9")).await;
    assert_eq!(status, 404, "{refused}");
    app.until_metric("guichet_records_waiting", |waiting| waiting == 51.0).await;
    app.until_metric("guichet_database_up", |up| up == 0.0).await;
    let ready = app.client.get(format!("{}/health/ready", app.url)).send().await.expect("an answer");
    assert_eq!(ready.status(), 200, "the counter stays open");
    // What needs the database says so, without its words.
    let organization = json!({"name": "Nouvelle"});
    let (status, answer) = app.post("/v1/admin/organizations", &app.admin_key, &organization).await;
    assert_eq!((status, answer["error"]["code"].as_str()), (503, Some("service_unavailable")), "{answer}");
    let words = answer.to_string().to_lowercase();
    assert!(!["sql", "database", "locked", "guichet_"].iter().any(|word| words.contains(word)), "{answer}");

    away.bring_back().await;
    let records = app.records(52).await;
    for id in &ids {
        assert!(records.iter().any(|record| record["id"] == **id), "{id} is missing");
    }
    app.until_metric("guichet_records_waiting", |waiting| waiting == 0.0).await;
    app.until_metric("guichet_database_up", |up| up == 1.0).await;
}

async fn memory_stays_flat_while_records_wait(backend: Backend) {
    let engine = FakeEngine::start().await;
    let gateway = Process::start(backend, &models(&engine, &["fake/plain"])).await;
    let key = gateway.key("A", "internal").await;
    chats(&gateway, &key, 200).await;
    gateway.records(200).await;
    let away = Away::take(gateway.database()).await;
    chats(&gateway, &key, 100).await;
    let before = gateway.memory();
    // A record holds at most a few kilobytes; what 700 requests sent, kept in memory, would be seen.
    let mut body = chat("fake/plain");
    body["user"] = json!("u".repeat(200));
    body["model"] = json!("m".repeat(1 << 16));
    for _ in 0..700 {
        let (status, answer) = gateway.post("/v1/chat/completions", &key.secret, &body).await;
        assert_eq!(status, 404, "{answer}");
    }
    let after = gateway.memory();
    away.bring_back().await;
    gateway.records(1_000).await;
    assert!(after < before + (32 << 20), "from {} to {} MiB", before >> 20, after >> 20);
}

async fn a_restart_without_the_database_loses_nothing(backend: Backend) {
    let engine = FakeEngine::start().await;
    let more = models(&engine, &["fake/plain"]);
    let gateway = Process::start(backend, &more).await;
    let key = gateway.key("A", "internal").await;
    chats(&gateway, &key, 1).await;
    gateway.records(1).await;
    let away = Away::take(gateway.database()).await;
    let ids = chats(&gateway, &key, 20).await;
    // The age of the oldest that is on disk: the others, which came within moments of it, are there too.
    gateway.until_metric("guichet_records_oldest_seconds", |age| age > 1.0).await;
    let (folder, database) = gateway.kill();
    away.bring_back().await;
    let gateway = Process::in_folder(folder, database, &more, &[]).await;
    let records = gateway.records(21).await;
    for id in &ids {
        let record = records.iter().find(|record| record["id"] == **id).expect("a record");
        assert_eq!(record["outcome"], "success", "{record:#}");
    }
}

/// Fills the journal to its bound, by its own door: a hundred thousand requests would do the same.
async fn fill(app: &TestApp) {
    let recorder = app.running.as_ref().expect("a gateway of this process").app.recorder.clone();
    let filled = tokio::task::spawn_blocking(move || {
        let mut record = guichet::recorder::Record::interrupted(guichet::recorder::Admission {
            id: "".into(),
            started_at: 1_700_000_000_000,
            organization_id: 1,
            project_id: None,
            member_id: None,
            key_id: "filler".into(),
            end_user: Some("u".repeat(256).into()),
            endpoint: guichet::recorder::Endpoint::Rerank,
            streamed: false,
            model_asked: "m".repeat(256).into(),
            data_class: "public".into(),
            tokens_in: 0,
            client_retry: 0,
        });
        record.parameters = Some(format!("\"{}\"", "p".repeat(1_000)).into());
        for count in 0.. {
            record.id = format!("req_{count:032x}").into();
            if recorder.journal.end(&record).is_err() {
                recorder.journal.flush(tests::app::PATIENCE);
                if recorder.journal.end(&record).is_err() {
                    return count;
                }
            }
        }
        0
    });
    let count = filled.await.expect("the journal is full");
    assert!(count > 5_000, "16 MiB hold thousands of records, not {count}");
}

async fn a_full_spool_refuses(backend: Backend) {
    let engine = FakeEngine::start().await;
    let more = format!("records: {{spool: 16MiB, sync: false}}\n{}", models(&engine, &["fake/plain"]));
    let app = TestApp::on(backend, &more).await;
    let key = app.key("A", "internal").await;
    chats(&app, &key, 1).await;
    let away = Away::take(app.database()).await;
    fill(&app).await;

    let response = app.send("/v1/chat/completions", &key.secret, &chat("fake/plain")).await;
    assert!(response.headers().contains_key("retry-after"), "{response:?}");
    let (status, answer) = read(response).await;
    assert_eq!((status, answer["error"]["code"].as_str()), (503, Some("service_unavailable")), "{answer}");
    assert_eq!(engine.posts(), 1, "no engine works for a request that cannot be recorded");
    let ready = app.client.get(format!("{}/health/ready", app.url)).send().await.expect("an answer");
    assert_eq!(ready.status(), 503);

    away.bring_back().await;
    app.until_metric("guichet_records_waiting", |waiting| waiting == 0.0).await;
    chats(&app, &key, 1).await;
    app.until_metric("guichet_records_waiting", |waiting| waiting == 0.0).await;
    let path = "/v1/admin/usage?by=endpoint";
    let (status, usage) = app.get(path, &app.admin_key).await;
    assert_eq!(status, 200, "{usage}");
    let chats = usage["data"].as_array().and_then(|data| data.iter().find(|one| one["endpoint"] == "chat.completions"));
    assert_eq!(chats.expect("the chats")["requests"], json!(2), "{usage}");
}

/// By setting, a full spool serves; a metric counts what went unrecorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_serves_when_told_to() {
    let engine = FakeEngine::start().await;
    let more =
        format!("records: {{spool: 16MiB, sync: false, when_full: serve}}\n{}", models(&engine, &["fake/plain"]));
    let app = TestApp::start(&more).await;
    let key = app.key("A", "internal").await;
    chats(&app, &key, 1).await;
    let away = Away::take(app.database()).await;
    fill(&app).await;
    chats(&app, &key, 3).await;
    assert_eq!(app.metric("guichet_unrecorded_requests_total").await, Some(3.0));
    away.bring_back().await;
    app.until_metric("guichet_records_waiting", |waiting| waiting == 0.0).await;
    let last = chats(&app, &key, 1).await;
    app.until_metric("guichet_records_waiting", |waiting| waiting == 0.0).await;
    let (_, page) = app.get("/v1/admin/records?limit=10", &app.admin_key).await;
    let newest = &page["data"][0];
    assert_eq!(fields(newest, &["id", "outcome"]), [json!(last[0]), json!("success")], "{newest:#}");
}
