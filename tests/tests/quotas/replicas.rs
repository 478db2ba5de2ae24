//! Two processes on one Redis and one PostgreSQL: what one changes or has charged when it dies. All other behaviours run
//! on two processes too, as [`Place::TwoProcesses`](crate::quotas::stand::Place::TwoProcesses).

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tests::{FakeEngine, Key, Process, Redis, TestApp, chat, read};

use crate::quotas::stand::{limits, models};

struct Pair {
    one: Process,
    two: Process,
    engine: FakeEngine,
    redis: Redis,
}

async fn pair(plan: &str) -> Pair {
    let engine = FakeEngine::start().await;
    let redis = Redis::start().await;
    let text = format!("{}plans:\n  p: {plan}\n{}", limits(Some(&redis), ""), models(&engine));
    let (one, two) = Process::two(&text).await;
    Pair { one, two, engine, redis }
}

async fn used(app: &TestApp, key: &Key, limit: &str) -> u64 {
    let (status, me) = app.get("/v1/me", &key.secret).await;
    assert_eq!(status, 200, "{me}");
    let lines = me["limits"].as_array().expect("limits");
    let line = lines.iter().find(|line| line["limit"] == *limit).unwrap_or_else(|| panic!("{limit} in {me}"));
    line["used"].as_u64().expect("a number")
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
    let Pair { one, two, engine, redis: _redis } = pair;
    let key = one.key("Culture", "internal").await;
    for _ in 0..3 {
        assert_eq!(one.chat(&key, "fake/plain").await.0, 200);
    }
    drop(one.kill());
    assert_eq!(two.send("/v1/chat/completions", &key.secret, &chat("fake/plain")).await.status(), 200);
    assert_eq!(used(&two, &key, "requests/day").await, 4);
    assert_eq!(engine.posts(), 4);
}

/// Redis is killed: each replica lets its part of the limit through, says so, and charges it once when Redis is back,
/// although it comes back empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_each_has_its_part_and_nothing_is_charged_twice() {
    let mut pair = pair("{organization: [{requests: 10/day}]}").await;
    let key = pair.one.key("Culture", "internal").await;
    for app in [&pair.one, &pair.two] {
        app.until_metric("guichet_limit_store_replicas", |seen| seen == 2.0).await;
        assert_eq!(app.chat(&key, "fake/plain").await.0, 200);
    }
    pair.one.records(2).await;
    // The past is told from what comes after by the second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    pair.redis.kill();
    let mut passed = 2;
    for app in [&pair.one, &pair.two] {
        until_limits(app, "share").await;
        assert_eq!(app.metric("guichet_limit_store_up").await, Some(0.0));
        // The past, two requests, is shared out like the limit: it is known a moment after the first request.
        assert_eq!(app.chat(&key, "fake/plain").await.0, 200);
        let started = Instant::now();
        loop {
            let used = used(app, &key, "requests/day").await;
            if used >= 2 {
                break;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "the past is not counted: {used}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        passed += 1;
        while app.chat(&key, "fake/plain").await.0 == 200 {
            passed += 1;
        }
    }
    // Each its half of ten at most: what the first let pass meanwhile may be of the second's past.
    assert!((8..=10).contains(&passed), "{passed} passed");
    pair.one.records(passed as usize + 2).await;
    pair.redis.restart().await;
    for app in [&pair.one, &pair.two] {
        until_limits(app, "ok").await;
        let started = Instant::now();
        // It is empty: the first to ask has the past counted again.
        while app.chat(&key, "fake/plain").await.0 == 200 {
            passed += 1;
            assert!(passed <= 12, "the past is forgotten");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(started.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(used(&pair.one, &key, "requests/day").await, passed);
}

/// Waits for a word of `/health/ready`.
async fn until_limits(app: &TestApp, wanted: &str) {
    let started = Instant::now();
    loop {
        let (status, health) = app.get("/health/ready", &app.admin_key).await;
        assert_eq!(status, 200, "{health}");
        if health["limits"] == wanted {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{wanted} wanted: {health}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
