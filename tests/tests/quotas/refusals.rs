//! Each kind of limit refuses in its own words, takes from none when one refuses, and is not widened by what callers send.

use serde_json::json;
use tests::engine::Gate;
use tests::{Chat, chat, read};

use crate::quotas::stand::in_each_place;
use crate::quotas::stand::{Place, Stand, chat_of, header};

in_each_place!(
    requests_of_a_minute_are_refused_with_words_and_headers,
    tokens_of_a_day_are_refused_as_a_quota,
    requests_at_one_time_are_refused_until_one_ends,
    a_request_passes_all_limits_or_takes_from_none,
    what_never_fits_says_so,
    groups_of_models_share_a_count,
    what_callers_send_widens_nothing,
    without_a_plan_nothing_is_limited,
    priority_is_for_plans_that_allow_it,
);

async fn requests_of_a_minute_are_refused_with_words_and_headers(place: Place) {
    let stand = Stand::new(place, "{organization: [{requests: 2/minute}]}").await;
    let key = stand.key("Culture", "internal").await;
    let first = stand.ask(&key, &chat("fake/plain")).await;
    assert_eq!(first.status(), 200);
    assert_eq!(header(&first, "x-ratelimit-limit-requests"), "2");
    assert_eq!(header(&first, "x-ratelimit-remaining-requests"), "1");
    assert!(!header(&first, "x-ratelimit-reset-requests").is_empty());
    assert_eq!(stand.ask(&key, &chat("fake/plain")).await.status(), 200);

    let refused = stand.ask(&key, &chat("fake/plain")).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(header(&refused, "x-ratelimit-remaining-requests"), "0");
    let after: u64 = header(&refused, "retry-after").parse().expect("seconds");
    assert!((1..=61).contains(&after), "{after}");
    let millis: u64 = header(&refused, "retry-after-ms").parse().expect("milliseconds");
    assert!(millis <= after * 1_000 && millis + 1_000 > after * 1_000, "{millis} {after}");
    let (_, answer) = read(refused).await;
    assert_eq!(answer["error"]["code"], "rate_limit_exceeded", "{answer}");
    let words = answer["detail"].as_str().expect("words");
    assert!(words.starts_with("Limite atteinte : 2 requêtes par minute pour votre administration."), "{words}");

    let request = stand.request(reqwest::Method::POST, "/v1/chat/completions", &key.secret);
    let english = request.header("accept-language", "en").json(&chat("fake/plain")).send().await.expect("an answer");
    assert!(!header(&english, "x-ratelimit-limit-requests").is_empty(), "headers survive the language");
    let (_, answer) = read(english).await;
    let words = answer["detail"].as_str().expect("words");
    assert!(words.starts_with("Limit reached: 2 requests per minute for your organization."), "{words}");
    // Another organization has its own count.
    let other = stand.key("Intérieur", "internal").await;
    assert_eq!(stand.chat(&other, "fake/plain").await.0, 200);
    assert_eq!(stand.engine.posts(), 3, "what is refused reaches no engine");
}

async fn tokens_of_a_day_are_refused_as_a_quota(place: Place) {
    let stand = Stand::new(place, "{project: [{tokens: 1000/day}]}").await;
    let key = stand.key("Culture", "internal").await;
    stand.engine.script(Chat::text("Bonjour").tokens(400, 500));
    let answer = stand.ask(&key, &chat_of("fake/plain", 500)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "x-ratelimit-limit-tokens"), "1000");
    drop(answer.text().await);
    stand.until_used(&key, "project", "tokens/day", 900).await;
    let refused = stand.ask(&key, &chat_of("fake/plain", 500)).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(header(&refused, "x-ratelimit-remaining-tokens"), "100");
    let after: u64 = header(&refused, "retry-after").parse().expect("seconds");
    let should = if after > 60 { "false" } else { "" };
    assert_eq!(header(&refused, "x-should-retry"), should);
    let (_, body) = read(refused).await;
    assert_eq!(body["error"]["code"], "quota_exceeded", "{body}");
    let words = body["detail"].as_str().expect("words");
    assert!(words.contains("tokens par jour pour ce projet") && words.contains("00:00 (Europe/Paris)"), "{words}");
}

async fn requests_at_one_time_are_refused_until_one_ends(place: Place) {
    let stand = Stand::new(place, "{key: [{concurrent: 1}]}").await;
    let key = stand.key("Culture", "internal").await;
    let gate = Gate::closed();
    stand.engine.script_model("fake/slow", Chat::text("un deux trois").gate(1, &gate));
    let mut body = chat("fake/slow");
    body["stream"] = json!(true);
    let held = stand.ask(&key, &body).await;
    assert_eq!(held.status(), 200);
    let refused = stand.ask(&key, &chat("fake/plain")).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(header(&refused, "retry-after"), "1");
    let (_, answer) = read(refused).await;
    assert_eq!(answer["error"]["code"], "rate_limit_exceeded");
    let words = answer["detail"].as_str().expect("words");
    assert!(words.starts_with("Limite atteinte : 1 requête à la fois pour cette clé."), "{words}");
    // A stream holds its place until its last byte.
    gate.open();
    drop(held.text().await);
    stand.until_used(&key, "key", "concurrent", 0).await;
    assert_eq!(stand.chat(&key, "fake/plain").await.0, 200);
}

async fn a_request_passes_all_limits_or_takes_from_none(place: Place) {
    let plan = "{organization: [{requests: 100/minute, tokens: 100k/day}], key: [{requests: 1/day}]}";
    let stand = Stand::new(place, plan).await;
    let key = stand.key("Culture", "internal").await;
    stand.engine.script(Chat::text("Bonjour").tokens(20, 10));
    assert_eq!(stand.ask(&key, &chat_of("fake/plain", 50)).await.status(), 200);
    stand.until_used(&key, "organization", "tokens/day", 30).await;
    for _ in 0..10 {
        assert_eq!(stand.ask(&key, &chat_of("fake/plain", 50)).await.status(), 429);
    }
    let requests = stand.state(&key, "organization", "requests/minute").await;
    assert_eq!(requests["used"], 1, "{requests}");
    let tokens = stand.state(&key, "organization", "tokens/day").await;
    assert_eq!(tokens["used"], 30, "{tokens}");
}

async fn what_never_fits_says_so(place: Place) {
    let stand = Stand::new(place, "{organization: [{output: 100/minute}]}").await;
    let key = stand.key("Culture", "internal").await;
    let refused = stand.ask(&key, &chat_of("fake/plain", 101)).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(header(&refused, "x-should-retry"), "false");
    assert_eq!(header(&refused, "retry-after"), "");
    let (_, answer) = read(refused).await;
    assert!(answer["detail"].as_str().is_some_and(|words| words.contains("max_tokens")), "{answer}");
    // Each answer asked for counts.
    let mut body = chat_of("fake/plain", 60);
    body["n"] = json!(2);
    assert_eq!(stand.ask(&key, &body).await.status(), 429);
    assert_eq!(stand.ask(&key, &chat_of("fake/plain", 100)).await.status(), 200);
}

async fn groups_of_models_share_a_count(place: Place) {
    let groups = "model_groups: {pair: [fake/plain, fake/slow]}\n";
    let plan = "{organization: [{models: pair, requests: 1/day}, {models: fake/embeddings, requests: 1/day}]}";
    let stand = Stand::with(place, plan, "", groups).await;
    let key = stand.key("Culture", "internal").await;
    assert_eq!(stand.chat(&key, "fake/plain").await.0, 200);
    let (status, answer) = stand.chat(&key, "fake/slow").await;
    assert_eq!(status, 429, "{answer}");
    assert!(answer["detail"].as_str().is_some_and(|words| words.contains("« pair »")), "{answer}");
    assert_eq!(stand.chat(&key, "fake/no-usage").await.0, 200, "a model outside of the group");
    let embed = json!({"model": "fake/embeddings", "input": "Bonjour"});
    assert_eq!(stand.post("/v1/embeddings", &key.secret, &embed).await.0, 200);
    assert_eq!(stand.post("/v1/embeddings", &key.secret, &embed).await.0, 429);
}

async fn what_callers_send_widens_nothing(place: Place) {
    let stand = Stand::new(place, "{organization: [{requests: 1/minute}]}").await;
    let key = stand.key("Culture", "internal").await;
    assert_eq!(stand.chat(&key, "fake/plain").await.0, 200);
    let forged = [
        ("x-stainless-retry-count", "7"),
        ("x-openwebui-user-id", "somebody-else"),
        ("x-session-id", "fresh"),
        ("x-request-id", "req_0"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-ratelimit-remaining-requests", "1000"),
    ];
    for (index, (name, value)) in forged.into_iter().enumerate() {
        let mut body = chat("fake/plain");
        body["user"] = json!(format!("user-{index}"));
        let request = stand.request(reqwest::Method::POST, "/v1/chat/completions", &key.secret);
        let response = request.header(name, value).json(&body).send().await.expect("an answer");
        assert_eq!(response.status(), 429, "{name}");
    }
    // The client's own count of its retries is kept, and counts for nothing.
    let records = stand.records(1 + forged.len()).await;
    assert!(records.iter().any(|record| record["client_retry"] == 7 && record["status"] == 429), "{records:#?}");
}

async fn without_a_plan_nothing_is_limited(place: Place) {
    let stand = Stand::new(place, "{}").await;
    let key = stand.key("Culture", "internal").await;
    for _ in 0..20 {
        let response = stand.ask(&key, &chat("fake/plain")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "x-ratelimit-limit-requests"), "");
    }
    let (_, me) = stand.get("/v1/me", &key.secret).await;
    assert_eq!(me["limits"], json!([]), "{me}");
}

async fn priority_is_for_plans_that_allow_it(place: Place) {
    let stand = Stand::with(place, "{}", "", "  first: {priority: true, weight: 4}\n").await;
    let key = stand.key("Culture", "internal").await;
    let mut body = chat("fake/plain");
    body["service_tier"] = json!("priority");
    let (status, answer) = read(stand.ask(&key, &body).await).await;
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("service_tier")), "{answer}");
    stand.set(&format!("organizations/{}", key.organization_id), &json!({"plan": "first"})).await;
    assert_eq!(stand.ask(&key, &body).await.status(), 200);
}
