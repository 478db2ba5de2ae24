//! Two processes in front of one engine, on one PostgreSQL and one Redis: each has its part of the slots, and they count as one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tests::app::PATIENCE;
use tests::engine::{Chat, ms};
use tests::{FakeEngine, Key, Process, Redis, TestApp};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::fairness::{saturated, says, until_capacity};

/// Clients that ask again as soon as they are answered, and how often they were.
fn clients(tasks: &mut JoinSet<()>, app: &TestApp, key: &Key, stop: &CancellationToken) -> Arc<AtomicU32> {
    let answered = Arc::new(AtomicU32::new(0));
    for _ in 0..6 {
        let request =
            app.request(reqwest::Method::POST, "/v1/chat/completions", &key.secret).json(&says("A", &Value::Null));
        let (answered, stop) = (answered.clone(), stop.clone());
        tasks.spawn(async move {
            while !stop.is_cancelled() {
                let request = request.try_clone().expect("a plain body");
                let status = request.send().await.expect("an answer").status().as_u16();
                assert_eq!(status, 200);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    answered
}

#[tokio::test]
async fn replicas_share_the_slots_and_count_as_one() {
    let (engine, redis) = (FakeEngine::start().await, Redis::start().await);
    engine.script(Chat::text("Bonjour").tokens(10, 50).first_byte(ms(20)));
    let more = saturated(&engine, 4, &format!("limits: {{store: {{redis: {:?}}}}}", redis.url));
    let (one, two) = Process::two(&more).await;
    let (a, b) = (one.key("A", "internal").await, one.key("B", "internal").await);
    until_capacity(&one, 2.0).await;
    until_capacity(&two, 2.0).await;

    // A asks of both, B of one: alone, each replica would give A all of one and half of the other.
    let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
    let answered_a = [clients(&mut tasks, &one, &a, &stop), clients(&mut tasks, &two, &a, &stop)];
    let answered_b = clients(&mut tasks, &one, &b, &stop);
    let enough = async {
        while answered_b.load(Ordering::Relaxed) < 200 {
            tokio::time::sleep(ms(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE * 6, enough).await.expect("B is served");
    let of_a: u32 = answered_a.iter().map(|one| one.load(Ordering::Relaxed)).sum();
    let ratio = f64::from(of_a) / f64::from(answered_b.load(Ordering::Relaxed));
    stop.cancel();
    while let Some(done) = tasks.join_next().await {
        done.expect("the client ends");
    }
    assert!((0.7..1.5).contains(&ratio), "A has {ratio} times what B has; uncounted elsewhere, it would be 3");

    // One stops: its slots are the other's. Without Redis, what was last known goes on.
    two.signal("TERM");
    assert_eq!(two.ended().await.0, Some(0));
    until_capacity(&one, 4.0).await;
    drop(redis);
    let (status, answer) = one.post("/v1/chat/completions", &b.secret, &says("B", &json!({"max_tokens": 3}))).await;
    assert_eq!(status, 200, "{answer}");
    until_capacity(&one, 4.0).await;
}
