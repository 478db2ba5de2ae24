//! Warnings at 80 and 100 % of a daily or monthly limit, posted once and signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tests::FakeEngine;
use tests::engine::{Call, Reply};

use crate::quotas::stand::in_each_place;
use crate::quotas::stand::{Place, Stand};

in_each_place!(warnings_are_posted_once_signed_and_again_until_heard);

const SECRET: &str = "un secret de webhook assez long";

fn verify(call: &Call) {
    let of = |name: &str| call.header(name).unwrap_or_else(|| panic!("no {name}")).to_owned();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.update(format!("{}.{}.", of("webhook-id"), of("webhook-timestamp")).as_bytes());
    mac.update(&call.body);
    assert_eq!(of("webhook-signature"), format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
    let stamp: u64 = of("webhook-timestamp").parse().expect("seconds");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
    assert!(now.abs_diff(stamp) < 60, "{stamp} {now}");
}

async fn warnings_are_posted_once_signed_and_again_until_heard(place: Place) {
    let receiver = FakeEngine::start().await;
    // The first time, the receiver is out of order.
    receiver.next(Reply::json(500, &json!({})));
    receiver.script(Reply::json(200, &json!({})));
    let folder = tempfile::TempDir::new().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).expect("a secret");
    let more = format!(", warnings: {{url: '{}/hook', secret: {{file: '{}'}}}}", receiver.root(), secret.display());
    let stand = Stand::with(place, "{organization: [{requests: 5/day, tokens: 1M/month}]}", &more, "").await;
    let key = stand.key("Culture", "internal").await;
    for _ in 0..3 {
        assert_eq!(stand.chat(&key, "fake/plain").await.0, 200);
    }
    assert_eq!(receiver.posts(), 0, "60 % is no news");
    assert_eq!(stand.chat(&key, "fake/plain").await.0, 200);
    assert!(receiver.until(|counts| counts.posts == 2).await, "posted again after a failure");
    assert_eq!(stand.chat(&key, "fake/plain").await.0, 200);
    // A limit is looked at once a second: refusals go on until one is told of.
    let started = std::time::Instant::now();
    while receiver.posts() < 3 && started.elapsed() < tests::app::PATIENCE {
        assert_eq!(stand.chat(&key, "fake/plain").await.0, 429);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(receiver.until(|counts| counts.posts == 3).await, "{:?}", receiver.counts());
    stand.until_metric("guichet_webhooks_total{result=\"sent\"}", |count| count == 2.0).await;

    let calls = receiver.calls();
    for call in &calls {
        verify(call);
    }
    let bodies: Vec<Value> = calls.iter().map(|call| call.json()).collect();
    assert_eq!(calls[0].header("webhook-id"), calls[1].header("webhook-id"), "the same warning, again");
    assert_eq!(bodies[0], bodies[1]);
    let levels: Vec<&Value> = bodies.iter().map(|body| &body["data"]["level_percent"]).collect();
    assert_eq!(levels, [&json!(80), &json!(80), &json!(100)]);
    let data = &bodies[1]["data"];
    assert_eq!(bodies[1]["type"], "limit.warning");
    assert_eq!(
        [&data["scope"], &data["organization"], &data["limit"], &data["max"], &data["used"], &data["models"]],
        [&json!("organization:1"), &json!("Culture"), &json!("requests/day"), &json!(5), &json!(4), &json!("*")],
        "{data}"
    );
    assert!(data["resets_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{data}");
    let metric = "guichet_limit_warnings_total{level=\"100\",window=\"day\"}";
    assert_eq!(stand.metric(metric).await, Some(1.0));

    // After a restart, what was told is not told again.
    let again = stand.restarted().await;
    assert_eq!(again.chat(&key, "fake/plain").await.0, 429, "the day is remembered");
    again
        .until_metric(
            "guichet_limit_refusals_total{guichet_limit_scope=\"organization\",guichet_limit=\"requests/day\"}",
            |n| n >= 1.0,
        )
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(receiver.posts(), 3);
}
