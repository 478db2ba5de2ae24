//! Two processes on one Redis and one PostgreSQL count as one.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use tests::database::TestDatabase;
use tests::{Backend, Chat, FakeEngine, Key, Process, TestApp, chat, read};
use tokio::task::JoinSet;

use crate::stand::{Redis, chat_of, limits, models};

const CLIENTS: usize = 100;
const TURNS: usize = 6;

struct Pair {
    one: Process,
    two: Process,
    engine: FakeEngine,
    _redis: Redis,
}

async fn pair(plan: &str) -> Pair {
    let engine = FakeEngine::start().await;
    let redis = Redis::start().await;
    let text = format!("{}plans:\n  p: {plan}\n{}", limits(Some(&redis), ""), models(&engine));
    let folder = TempDir::new().expect("a folder");
    let database = TestDatabase::new(Backend::Postgres, folder.path()).await;
    let url = database.url.clone();
    let one = Process::in_folder(folder, database, &text, &[]).await;
    // The administrator is the database's: the second is made no key of its own.
    let folder = TempDir::new().expect("a folder");
    std::fs::create_dir_all(folder.path().join("data")).expect("a folder");
    std::fs::write(folder.path().join("data/admin.key"), &one.admin_key).expect("the key");
    let two = Process::in_folder(folder, TestDatabase { url }, &text, &[]).await;
    Pair { one, two, engine, _redis: redis }
}

async fn used(app: &TestApp, key: &Key, limit: &str) -> u64 {
    let (status, me) = app.get("/v1/me", &key.secret).await;
    assert_eq!(status, 200, "{me}");
    let lines = me["limits"].as_array().expect("limits");
    let line = lines.iter().find(|line| line["limit"] == *limit).unwrap_or_else(|| panic!("{limit} in {me}"));
    line["used"].as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_admit_what_one_would() {
    let pair = pair("{organization: [{tokens: 10k/minute, requests: 100000/day}], key: [{concurrent: 50}]}").await;
    let key = pair.one.key("Culture", "internal").await;
    pair.engine.script(Chat::text("un deux trois").tokens(20, 50));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let app = if client % 2 == 0 { &pair.one } else { &pair.two };
        let mut body = chat_of("fake/plain", 60);
        body["stream"] = json!(client % 3 != 0);
        let request = app.request(Method::POST, "/v1/chat/completions", &key.secret).json(&body);
        clients.spawn(async move {
            for _ in 0..TURNS {
                let mut response = request.try_clone().expect("a request").send().await.expect("an answer");
                assert!([200, 429].contains(&response.status().as_u16()), "{response:?}");
                if client % 3 == 1 && response.status() == 200 {
                    // Hangs up after the first piece.
                    drop(response.chunk().await);
                } else {
                    drop(response.text().await);
                }
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.expect("no client fails");
    }
    let records = pair.one.records(CLIENTS * TURNS).await;
    let passed: Vec<_> = records.iter().filter(|record| record["status"] != 429).collect();
    let sum = |name: &str| passed.iter().map(|record| record[name].as_u64().unwrap_or(0)).sum::<u64>();
    let spent = sum("tokens_in") + sum("tokens_out");
    // More is held for an answer than it uses: nothing passes the limit, and the limit binds on both together.
    assert!(spent <= 10_000, "{spent}");
    assert!(spent + 200 >= 10_000, "only {spent} were admitted");
    assert!(passed.len() < CLIENTS * TURNS);
    let started = Instant::now();
    while used(&pair.one, &key, "tokens/minute").await != spent {
        let seen = used(&pair.one, &key, "tokens/minute").await;
        assert!(started.elapsed() < Duration::from_secs(10), "{spent} spent, {seen} used");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for app in [&pair.one, &pair.two] {
        assert_eq!(used(app, &key, "requests/day").await, passed.len() as u64);
        assert_eq!(used(app, &key, "concurrent").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_on_one_is_effective_on_the_other_within_five_seconds() {
    let pair = pair("{organization: [{requests: 2/day}]}").await;
    let key = pair.one.key("Culture", "internal").await;
    assert_eq!(pair.one.chat(&key, "fake/plain").await.0, 200);
    assert_eq!(pair.two.chat(&key, "fake/plain").await.0, 200);
    assert_eq!(pair.two.chat(&key, "fake/plain").await.0, 429, "counted together");
    let path = format!("/v1/admin/organizations/{}/limits", key.organization_id);
    let form = json!({"limits": [{"limit": "requests/day", "value": 1000}]});
    let changed = pair.one.request(Method::PUT, &path, &pair.one.admin_key).json(&form).send().await;
    assert_eq!(read(changed.expect("an answer")).await.0, 200);
    let started = Instant::now();
    while pair.two.chat(&key, "fake/plain").await.0 != 200 {
        assert!(started.elapsed() < Duration::from_secs(5), "the other replica does not see the change");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_gateway_charged_stays_charged() {
    let pair = pair("{organization: [{requests: 1000/day}]}").await;
    let Pair { one, two, engine, _redis } = pair;
    let key = one.key("Culture", "internal").await;
    for _ in 0..3 {
        assert_eq!(one.chat(&key, "fake/plain").await.0, 200);
    }
    drop(one.kill());
    assert_eq!(two.send("/v1/chat/completions", &key.secret, &chat("fake/plain")).await.status(), 200);
    assert_eq!(used(&two, &key, "requests/day").await, 4);
    assert_eq!(engine.posts(), 4);
}
