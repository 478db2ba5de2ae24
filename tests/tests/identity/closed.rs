//! Deny by default, over every route that the description names.

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};
use tests::app::PATIENCE;
use tests::engine::ms;
use tests::{Backend, FakeEngine, TestApp, on_each_database, read};

use crate::identity::{key, member, one_model, organization, project};

on_each_database!(
    every_route_but_a_short_list_needs_a_key,
    no_route_of_the_administration_opens_to_a_project,
    the_same_words_whatever_is_wrong_with_a_key,
    odd_keys_open_nothing_and_break_nothing,
);

/// What needs no key, of the routes in the description.
const OPEN: [&str; 4] = ["/health", "/health/live", "/health/ready", "/v1/health"];

/// Every method and path of the description.
async fn routes(app: &TestApp) -> Vec<(Method, String)> {
    let description: Value = app
        .client
        .get(format!("{}/openapi.json", app.url))
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let paths = description["paths"].as_object().expect("paths");
    let mut routes = Vec::new();
    for (path, methods) in paths {
        for method in methods.as_object().expect("methods").keys() {
            routes.push((Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method"), path.clone()));
        }
    }
    assert!(routes.len() > 35, "{routes:?}");
    routes
}

/// The path with something in the place of its parameters.
fn filled(path: &str) -> String {
    let mut path = path.to_owned();
    while let (Some(start), Some(end)) = (path.find('{'), path.find('}')) {
        path.replace_range(start..=end, "1");
    }
    path
}

/// No address is set aside for its wrong keys.
const PATIENT: &str = "gates: {failed_authentications: {per_second: 1000, burst: 1000}}\n";

async fn every_route_but_a_short_list_needs_a_key(backend: Backend) {
    let app = TestApp::on(backend, PATIENT).await;
    let stranger = TestApp::start("").await;
    for (method, path) in routes(&app).await {
        let url = format!("{}{}", app.url, filled(&path));
        let without =
            read(app.client.request(method.clone(), &url).json(&json!({})).send().await.expect("an answer")).await;
        let unknown = read(
            app.request(method.clone(), &filled(&path), &stranger.admin_key)
                .json(&json!({}))
                .send()
                .await
                .expect("an answer"),
        )
        .await;
        if OPEN.contains(&path.as_str()) {
            assert_eq!(without.0, 200, "{method} {path}: {}", without.1);
            continue;
        }
        for (status, answer) in [without, unknown] {
            assert_eq!(
                (status, answer["error"]["code"].as_str()),
                (401, Some("invalid_api_key")),
                "{method} {path}: {answer}"
            );
        }
    }
    // What is not in the description: its own pages are open, all else is not, whether it exists or not.
    for (path, status) in [
        ("/openapi.json", 200),
        ("/reference", 200),
        ("/", 200),
        ("/v1/nothing", 401),
        ("/nothing", 401),
        ("/v1/admin", 401),
        ("//health", 401),
        ("/health/", 401),
        ("/health/../v1/me", 401),
        ("/HEALTH", 401),
    ] {
        let answer = app.client.get(format!("{}{path}", app.url)).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{path}");
    }
    let (status, answer) = app.get("/v1/nothing", &app.admin_key).await;
    assert_eq!((status, answer["error"]["code"].as_str()), (404, Some("not_found")), "{answer}");
}

async fn no_route_of_the_administration_opens_to_a_project(backend: Backend) {
    let app = TestApp::on(backend, "").await;
    let mine = app.key("A", "internal").await;
    let mut seen = 0;
    for (method, path) in routes(&app).await.into_iter().filter(|(_, path)| path.starts_with("/v1/admin/")) {
        seen += 1;
        let response = app.request(method.clone(), &filled(&path), &mine.secret).json(&json!({})).send().await;
        let (status, answer) = read(response.expect("an answer")).await;
        assert_eq!(
            (status, answer["error"]["code"].as_str()),
            (403, Some("permission_denied")),
            "{method} {path}: {answer}"
        );
    }
    assert!(seen >= 20, "{seen} routes");
    let (status, answer) = app.get("/metrics", &mine.secret).await;
    assert_eq!(status, 403, "{answer}");
}

async fn the_same_words_whatever_is_wrong_with_a_key(backend: Backend) {
    let engine = FakeEngine::start().await;
    let app = TestApp::on(backend, &format!("{PATIENT}{}", one_model(&engine))).await;
    let stranger = TestApp::start("").await;
    let a = organization(&app, "A").await;
    let (live, gone) = (project(&app, a, "live").await, project(&app, a, "gone").await);

    let (id, revoked) = key(&app, json!({"project_id": live})).await;
    let (_, expired) = key(&app, json!({"project_id": live, "expires_in": "1s"})).await;
    let (_, archived) = key(&app, json!({"project_id": gone})).await;
    let person = member(&app, "p@a.fr", Some(a), None).await;
    let (_, disabled) = key(&app, json!({"member_id": person})).await;
    for path in
        [format!("/v1/admin/keys/{id}"), format!("/v1/admin/projects/{gone}"), format!("/v1/admin/members/{person}")]
    {
        let (status, answer) = app.delete(&path, &app.admin_key).await;
        assert_eq!(status, 204, "{path}: {answer}");
    }
    let started = Instant::now();
    while app.get("/v1/models", &expired).await.0 != 401 {
        assert!(started.elapsed() < PATIENCE, "the key does not expire");
        tokio::time::sleep(ms(50)).await;
    }
    let (_, whole) = key(&app, json!({"project_id": live})).await;
    // The secret of one key under the public part of another.
    let mixed = format!("{}{}", &revoked[..21], &whole[21..]);
    let url = format!("{}/v1/models", app.url);
    let absent = read(app.client.get(&url).send().await.expect("an answer")).await;
    assert_eq!(absent.0, 401);
    for wrong in [&revoked, &expired, &archived, &disabled, &stranger.admin_key, &mixed, &whole[..69], "", "sk-abc"] {
        let response = app.request(Method::GET, "/v1/models", wrong).send().await.expect("an answer");
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        assert_eq!(read(response).await, absent, "{wrong}");
    }
    let basic = app.client.get(&url).basic_auth("admin", Some(&whole)).send().await.expect("an answer");
    assert_eq!(read(basic).await, absent);
    // In English, the same for all too.
    let english = app
        .request(Method::GET, "/v1/models", &revoked)
        .header("accept-language", "en")
        .send()
        .await
        .expect("an answer");
    let (_, english) = read(english).await;
    assert!(
        english["error"]["message"].as_str().is_some_and(|words| words.starts_with("Missing or invalid")),
        "{english}"
    );
    assert_eq!(app.get("/v1/models", &whole).await.0, 200, "a good key opens");
    assert_eq!(engine.posts(), 0);
}

async fn odd_keys_open_nothing_and_break_nothing(backend: Backend) {
    let app = TestApp::on(backend, PATIENT).await;
    let mine = app.key("Robert'); DROP TABLE organizations;--", "internal").await;
    let long = "a".repeat(20_000);
    let quoted = mine.secret.replace(&mine.id, "' OR '1'='1' -- ");
    for odd in [
        "' OR '1'='1",
        "gct_' UNION SELECT * FROM keys --_",
        "gct_%_%",
        "\"; DROP TABLE keys; --",
        "$1",
        "null",
        "{}",
        &quoted,
        &long,
        &mine.id,
        &mine.secret.to_lowercase(),
        &format!("{} {}", mine.secret, mine.secret),
    ] {
        let (status, answer) = app.get("/v1/me", odd).await;
        assert_eq!((status, answer["error"]["code"].as_str()), (401, Some("invalid_api_key")), "{odd:.80}: {answer}");
        let (status, answer) = app
            .delete(
                &format!("/v1/admin/keys/{}", &odd[..odd.len().min(60)].replace(['/', '?', '#', ' ', '"', '%'], "'")),
                &app.admin_key,
            )
            .await;
        assert!(matches!(status, 404 | 204), "{odd:.80}: {status} {answer}");
        if status == 204 {
            assert_eq!(odd, mine.id, "only the public part of a key names it");
        }
    }
    let bytes = reqwest::header::HeaderValue::from_bytes(b"Bearer gct_\xe9\xff").expect("a header");
    let response = app.client.get(format!("{}/v1/me", app.url)).header("authorization", bytes).send().await;
    assert_eq!(response.expect("an answer").status(), 401);

    // Names are data: kept as they were written, and looked for as they are written.
    let name = "Robert'); DROP TABLE organizations;--";
    let request = app.request(Method::GET, "/v1/admin/organizations", &app.admin_key).query(&[("name", name)]);
    let (status, found) = read(request.send().await.expect("an answer")).await;
    assert_eq!((status, found["total"].as_i64()), (200, Some(1)), "{found}");
    assert_eq!(found["data"][0]["name"], name);
    let request = app.request(Method::GET, "/v1/admin/organizations", &app.admin_key).query(&[("name", "' OR ''='")]);
    let (status, found) = read(request.send().await.expect("an answer")).await;
    assert_eq!((status, found["total"].as_i64()), (200, Some(0)), "{found}");
}
