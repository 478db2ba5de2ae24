//! Floods of wrong keys from one address are stopped there, and disturb nobody else.

use std::time::Instant;

use reqwest::{Method, Response};
use tests::app::PATIENCE;
use tests::engine::ms;
use tests::{Backend, TestApp, on_each_database, read};

on_each_database!(a_flood_of_wrong_keys_is_stopped_at_its_address, what_a_client_says_of_its_address_is_not_believed);

const GATE: &str = "gates: {failed_authentications: {per_second: 1, burst: 5}}\n";

async fn from(app: &TestApp, address: &str, key: &str) -> Response {
    let request = app.request(Method::GET, "/v1/me", key).header("x-forwarded-for", address);
    request.send().await.expect("an answer")
}

/// The refusal of an address that is set aside. Each second lets one more failure in.
async fn set_aside(app: &TestApp, address: &str) -> Response {
    for _ in 0..3 {
        let response = from(app, address, "sk-wrong").await;
        if response.status() == 429 {
            return response;
        }
    }
    panic!("{address} is not set aside");
}

async fn a_flood_of_wrong_keys_is_stopped_at_its_address(backend: Backend) {
    let more = format!("server: {{listen: '127.0.0.1:0', trusted_proxies: [127.0.0.1]}}\n{GATE}");
    let app = TestApp::on(backend, &more).await;
    let stranger = TestApp::start("").await;
    let mine = app.key("A", "internal").await;
    assert_eq!(app.get("/v1/me", &mine.secret).await.0, 200, "a key in use");

    let flood = "203.0.113.7";
    let mut statuses = Vec::new();
    for count in 0..40 {
        let wrong = if count % 2 == 0 { "sk-wrong" } else { &stranger.admin_key };
        statuses.push(from(&app, flood, wrong).await.status().as_u16());
    }
    assert_eq!(statuses[..5], [401; 5], "{statuses:?}");
    let stopped = statuses.iter().filter(|status| **status == 429).count();
    assert!(stopped >= 30, "{statuses:?}");
    let refused = set_aside(&app, flood).await;
    assert!(
        refused.headers().contains_key("retry-after") && refused.headers().contains_key("retry-after-ms"),
        "{refused:?}"
    );
    let (status, answer) = read(refused).await;
    assert_eq!((status, answer["error"]["code"].as_str()), (429, Some("rate_limit_exceeded")), "{answer}");

    // A key in use goes on, even there; other addresses notice nothing, and what a proxy appended is what counts.
    assert_eq!(from(&app, flood, &mine.secret).await.status(), 200);
    assert_eq!(from(&app, "203.0.113.8", "sk-wrong").await.status(), 401);
    set_aside(&app, "203.0.113.9, 203.0.113.7, 127.0.0.1").await;
    let counted = app.metric("guichet_authentication_failures_total").await.expect("a count");
    assert!(counted >= 40.0, "{counted}");

    // Calm comes back by itself.
    let started = Instant::now();
    while from(&app, flood, "sk-wrong").await.status() != 401 {
        assert!(started.elapsed() < PATIENCE, "the address stays aside");
        tokio::time::sleep(ms(300)).await;
    }
}

async fn what_a_client_says_of_its_address_is_not_believed(backend: Backend) {
    let app = TestApp::on(backend, GATE).await;
    let mut stopped = 0;
    for count in 0..30 {
        stopped += usize::from(from(&app, &format!("203.0.113.{count}"), "sk-wrong").await.status() == 429);
    }
    assert!(stopped >= 20, "{stopped} of 30: no proxy is trusted, so all come from one address");
    assert_eq!(app.get("/v1/me", &app.admin_key).await.0, 200);
}
