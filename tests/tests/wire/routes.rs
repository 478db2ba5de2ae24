//! Which addresses there are, who may call them, and what describes them.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tests::engine::faults::ANSWER;
use tests::{TestApp, model};

use crate::wire::{Wire, header, sent};

/// Everything lives under `/v1`, or says in JSON that it does not exist; and says nothing at all to whom it does not know.
#[tokio::test]
async fn other_addresses_are_a_404_in_json() {
    let wire = Wire::of(&["fake/plain"]).await;
    for path in [
        "/v1",
        "/v1/",
        "/v1/chat",
        "/v1/chat/completions/",
        "/chat/completions",
        "/v2/models",
        "/v1/audio/speech",
        "/../etc/passwd",
        "/v1//models",
    ] {
        let response = wire.request(Method::GET, path).send().await.expect("an answer");
        assert_eq!(header(&response, "content-type"), "application/json", "{path}");
        let (status, refused) = tests::read(response).await;
        assert_eq!((status, &refused["error"]["code"]), (404, &json!("not_found")), "{path}: {refused}");
        assert_eq!(refused["detail"], refused["error"]["message"], "{path}");
        let (status, refused) = wire.app.get(path, "").await;
        assert_eq!((status, &refused["error"]["code"]), (401, &json!("invalid_api_key")), "{path} without a key");
    }
    let (status, refused) = wire.app.delete("/v1/models", &wire.key.secret).await;
    assert_eq!((status, &refused["error"]["code"]), (405, &json!("method_not_allowed")), "{refused}");
}

/// Health without detail, the description and its page; nothing else.
#[tokio::test]
async fn a_short_list_of_addresses_needs_no_key() {
    let wire = Wire::of(&["fake/plain"]).await;
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    for (path, status) in [
        ("/health", 200),
        ("/v1/health", 200),
        ("/health/live", 200),
        ("/health/ready", 200),
        ("/openapi.json", 200),
        ("/reference", 200),
        ("/", 307),
        ("/health/models", 401),
        ("/metrics", 401),
        ("/v1/metrics", 401),
        ("/v1/models", 401),
        ("/v1/prompts", 401),
        ("/v1/me", 401),
        ("/v1/usage", 401),
        ("/v1/admin/organizations", 401),
        ("/v1/chat/completions", 401),
    ] {
        let response = client.get(format!("{}{path}", wire.app.url)).send().await.expect("an answer");
        assert_eq!(response.status(), status, "{path}");
        if path.contains("health") && status == 200 {
            assert_eq!(response.text().await.expect("a body"), r#"{"status":"ok"}"#, "{path}: no detail");
        }
    }
}

/// Counters tell who is here and how much they ask: an auditor's matter, or a port of its own.
#[tokio::test]
async fn metrics_need_an_auditors_key_or_their_own_port() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    let server = format!("server: {{listen: '127.0.0.1:0', metrics_listen: '{port}'}}");
    let wire = Wire::with(&server, |url| model("fake/plain", "chat", url, "")).await;
    wire.answer(&crate::wire::hello("fake/plain")).await;
    let auditor = auditor(&wire.app).await;
    for path in ["/metrics", "/v1/metrics"] {
        let (status, refused) = wire.get(path).await;
        assert_eq!((status, &refused["error"]["code"]), (403, &json!("permission_denied")), "{path}: {refused}");
        for key in [&auditor, &wire.app.admin_key] {
            let (status, page) = wire.app.get(path, key).await;
            let page = page.as_str().expect("a page of text");
            assert!(
                status == 200 && page.contains("gen_ai_request_model=\"fake/plain\"") && page.ends_with("# EOF\n"),
                "{page}"
            );
        }
    }
    let client = &wire.app.client;
    let page = client.get(format!("http://{port}/metrics")).send().await.expect("an answer");
    assert_eq!(page.status(), 200);
    assert!(page.text().await.expect("a page").contains("guichet_"));
    let other = client.get(format!("http://{port}/v1/models")).bearer_auth(&wire.key.secret).send().await;
    assert_eq!(other.expect("an answer").status(), 404, "that port serves nothing else");
}

/// The key of a member who audits the instance.
async fn auditor(app: &TestApp) -> String {
    let form = json!({"email": "audit@example.org", "name": "Audit"});
    let (status, member) = app.post("/v1/admin/members", &app.admin_key, &form).await;
    assert_eq!(status, 201, "{member}");
    let grant = json!({"role": "auditor"});
    let path = format!("/v1/admin/members/{}/grants", member["id"]);
    let (status, granted) = app.post(&path, &app.admin_key, &grant).await;
    assert!(status < 300, "{granted}");
    let (status, key) = app.post("/v1/admin/keys", &app.admin_key, &json!({"member_id": member["id"]})).await;
    assert_eq!(status, 201, "{key}");
    key["key"].as_str().expect("a key").to_owned()
}

/// Albert API's words: `data[].{id, status}`, green while all is well, down to red without an engine, and back by orange.
#[tokio::test]
async fn health_of_models_has_albert_apis_colours() {
    let fleet = "fleet: {health_interval: 20ms, eject: 100ms, eject_max: 200ms, slow_return: 200ms, failures: 2}";
    let wire = Wire::with(fleet, |url| {
        let second = format!(", {{name: gone, url: '{}', engine: openai, hosting: state}}", "http://127.0.0.1:9/v1");
        model("fake/plain", "chat", url, "")
            + &model("fake/tools", "chat", url, "").replacen("}]}", &format!("}}{second}]}}"), 1)
    })
    .await;
    until_colours(&wire, &["green", "yellow"]).await;
    wire.engine.set_healthy(false);
    until_colours(&wire, &["red", "red"]).await;
    wire.engine.set_healthy(true);
    until_colours(&wire, &["orange", "orange"]).await;
    until_colours(&wire, &["green", "yellow"]).await;
    assert_eq!(wire.answer(&crate::wire::hello("fake/plain")).await["choices"][0]["message"]["content"], ANSWER);
}

/// Waits until the models have these colours, all at once or one after the other.
async fn until_colours(wire: &Wire, wanted: &[&str]) {
    let started = std::time::Instant::now();
    let mut left: BTreeSet<usize> = (0..wanted.len()).collect();
    while !left.is_empty() {
        let (status, health) = wire.get("/health/models").await;
        assert_eq!((status, &health["object"]), (200, &json!("list")), "{health}");
        let models = health["data"].as_array().expect("a list");
        let ids: Vec<&str> = models.iter().filter_map(|model| model["id"].as_str()).collect();
        assert_eq!(ids, ["fake/plain", "fake/tools"]);
        left.retain(|at| models[*at]["status"] != wanted[*at]);
        assert!(started.elapsed() < Duration::from_secs(10), "{wanted:?} is not seen: {health}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The routes that part 6 names are all described.
#[tokio::test]
async fn openapi_json_lists_each_route() {
    let wire = Wire::of(&["fake/plain"]).await;
    let (status, description) = wire.app.get("/openapi.json", "").await;
    assert_eq!(status, 200);
    assert!(description["openapi"].as_str().is_some_and(|version| version.starts_with("3.")), "{description}");
    for (method, path) in [
        ("post", "/v1/chat/completions"),
        ("post", "/v1/completions"),
        ("post", "/v1/embeddings"),
        ("post", "/v1/rerank"),
        ("get", "/v1/models"),
        ("get", "/v1/models/{*id}"),
        ("get", "/v1/prompts"),
        ("get", "/v1/prompts/{id}"),
        ("get", "/v1/me"),
        ("get", "/v1/me/info"),
        ("get", "/v1/me/keys"),
        ("get", "/v1/me/usage"),
        ("get", "/v1/usage"),
        ("get", "/health"),
        ("get", "/health/live"),
        ("get", "/health/ready"),
        ("get", "/health/models"),
        ("get", "/v1/health"),
        ("get", "/metrics"),
    ] {
        assert!(description["paths"][path][method].is_object(), "{method} {path}");
    }
}

/// And each route that is described is there, closed to strangers unless it says that it needs no key.
#[tokio::test]
async fn each_described_route_answers_and_is_closed_as_it_says() {
    let gates = "gates: {failed_authentications: {per_second: 1000, burst: 1000}}";
    let wire = Wire::with(gates, |url| model("fake/plain", "chat", url, "")).await;
    let (_, description) = wire.app.get("/openapi.json", "").await;
    let mut seen = 0;
    for (path, calls) in description["paths"].as_object().expect("paths") {
        for (method, call) in calls.as_object().expect("methods") {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let path = path.replace("{*id}", "nowhere").replace("{id}", "0").replace("{role}", "auditor");
            let request = |key: &str| wire.app.request(method.clone(), &path, key).json(&json!({}));
            let (status, _) = sent(request("")).await;
            assert_eq!(status == 401, call["security"].is_array(), "{method} {path} without a key: {status}");
            let (_, answer) = sent(request(&wire.app.admin_key)).await;
            let message = answer["error"]["message"].as_str().unwrap_or_default();
            assert!(!message.contains("adresse"), "{method} {path}: {message}");
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}

/// A page without script, font, image or style from anywhere, in both languages.
#[tokio::test]
async fn the_reference_page_loads_nothing_from_outside() {
    let wire = Wire::of(&["fake/plain"]).await;
    for (language, word) in [("fr", "Référence de l’API"), ("en", "API reference")] {
        let request = wire.app.client.get(format!("{}/reference", wire.app.url)).header("accept-language", language);
        let response = request.send().await.expect("an answer");
        let policy = header(&response, "content-security-policy");
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("http"), "{policy}");
        let page = response.text().await.expect("a page");
        assert!(page.contains(word) && page.contains("/v1/chat/completions"), "{language}");
        let mut links = 0;
        for tag in tags(&page) {
            let name = tag.split([' ', '\n', '>']).next().unwrap_or_default().to_lowercase();
            assert!(
                !["script", "link", "img", "iframe", "object", "embed", "base", "form", "video"]
                    .contains(&name.as_str()),
                "<{tag}>"
            );
            for (attribute, value) in attributes(tag) {
                assert!(
                    !["src", "srcset", "action", "data", "background"].contains(&attribute)
                        && !attribute.starts_with("on"),
                    "<{tag}>"
                );
                if attribute == "href" {
                    assert!(value.starts_with('#') || (value.starts_with('/') && !value.starts_with("//")), "{value}");
                    links += 1;
                }
            }
        }
        assert!(links > 5, "the tags were read: {links}");
        let (_, style) = page.split_once("<style>").expect("a style");
        let (style, _) = style.split_once("</style>").expect("its end");
        assert!(!style.contains("url(") && !style.contains("@import"), "{style}");
    }
}

/// What stands between `<` and `>`, closing tags left out.
fn tags(page: &str) -> impl Iterator<Item = &str> {
    page.split('<')
        .skip(1)
        .filter_map(|rest| rest.split_once('>'))
        .map(|(tag, _)| tag)
        .filter(|tag| !tag.starts_with(['/', '!']))
}

fn attributes(tag: &str) -> impl Iterator<Item = (&str, &str)> {
    tag.split_whitespace()
        .skip(1)
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name, value.trim_matches(['"', '\''])))
}

/// What Albert API's clients read of themselves.
#[tokio::test]
async fn the_account_is_told_in_albert_apis_words() {
    let wire = Wire::of(&["fake/plain"]).await;
    let (status, info) = wire.get("/v1/me/info").await;
    assert_eq!(status, 200, "{info}");
    assert_eq!((&info["id"], &info["organization"]), (&json!(wire.key.project_id), &json!(wire.key.organization_id)));
    assert_eq!((&info["email"], &info["name"], &info["permissions"]), (&json!(""), &json!("produit"), &json!([])));
    assert!(info["created"].as_i64() > Some(1_700_000_000) && info["updated"].is_i64(), "{info}");
    let (_, admin) = wire.app.get("/v1/me/info", &wire.app.admin_key).await;
    assert_eq!(
        (&admin["permissions"], admin["email"].is_string()),
        (&json!(["admin", "read_metric"]), true),
        "{admin}"
    );
    let (_, keys) = wire.get("/v1/me/keys").await;
    let token = keys["data"][0]["token"].as_str().expect("a token");
    assert!(wire.key.secret.starts_with(token.trim_end_matches('…')), "{token}");
    assert!(!keys.to_string().contains(&wire.key.secret), "the secret is not kept");

    wire.answer(&crate::wire::hello("fake/plain")).await;
    wire.app.records(1).await;
    let now = keys["data"][0]["created"].as_i64().expect("a time");
    let within = format!("start_time={}&end_time={}", now - 86_400, now + 86_400);
    for (query, count) in [
        (format!("{within}&endpoint=/v1/chat/completions"), 1),
        (format!("{within}&endpoint=chat.completions"), 1),
        (format!("{within}&endpoint=/v1/embeddings"), 0),
        ("start_time=0&end_time=86400".to_owned(), 0),
    ] {
        let (status, usage) = wire.get(&format!("/v1/me/usage?{query}")).await;
        assert_eq!((status, usage["data"].as_array().map(Vec::len)), (200, Some(count)), "{query}: {usage}");
        if let Some(bucket) = usage["data"].get(0) {
            assert_eq!(bucket["usage"]["prompt_tokens"], 12, "{usage}");
            let day = bucket["created"].as_i64().expect("a time");
            assert!(day % 86_400 == 0 && (now - day).abs() < 2 * 86_400, "{usage}");
        }
    }
    let (status, refused): (u16, Value) =
        wire.get("/v1/me/usage?start_time=9223372036854775807&end_time=-9223372036854775").await;
    assert_eq!(status, 400, "{refused}");
}
