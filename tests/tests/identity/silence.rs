//! What the process says of itself holds no key, no password and no content, even when it says all it can.

use reqwest::Method;
use serde_json::json;
use tests::database::TestDatabase;
use tests::{Backend, FakeEngine, Process, TestApp, chat, on_each_database};

use crate::identity::key;

on_each_database!(the_log_holds_no_secret_and_no_content);

const ENGINE_KEY: &str = "cle-du-moteur-7f3a";
const CONTENT: &str = "contenu-confidentiel-91c2";

async fn the_log_holds_no_secret_and_no_content(backend: Backend) {
    let engine = FakeEngine::start().await;
    engine.require_key(ENGINE_KEY);
    let deployment = ", api_key: {env: TEST_ENGINE_KEY}";
    let more = format!(
        "log: {{level: trace, requests: all}}\nmodels:\n{}",
        tests::model("fake/plain", "chat", &engine.url(), deployment)
    );
    let folder = tempfile::TempDir::new().expect("a folder");
    let database = TestDatabase::new(backend, folder.path()).await;
    let gateway = Process::in_folder(folder, database, &more, &[("TEST_ENGINE_KEY", ENGINE_KEY)]).await;
    let stranger = TestApp::start("").await;
    let mine = gateway.key("A", "internal").await;
    let (id, other) = key(&gateway, json!({"project_id": mine.project_id})).await;

    let mut body = chat("fake/plain");
    body["messages"][0]["content"] = json!(CONTENT);
    body["user"] = json!("agent@a.fr");
    let (status, answer) = gateway.post("/v1/chat/completions", &mine.secret, &body).await;
    assert_eq!(status, 200, "{answer}");
    body["stream"] = json!(true);
    let stream = gateway.send("/v1/chat/completions", &other, &body).await.text().await.expect("a stream");
    assert!(stream.contains("[DONE]"), "{stream}");
    // What fails is where a log is most talkative.
    for (path, body) in [
        ("/v1/chat/completions", json!({"model": CONTENT, "messages": []})),
        ("/v1/chat/completions", json!(CONTENT)),
        ("/v1/admin/organizations", json!({"name": CONTENT, "key": other})),
    ] {
        let (status, _) = gateway.post(path, &mine.secret, &body).await;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    for path in ["/v1/me?key=", "/v1/models/", "/v1/admin/keys/", "/nowhere/?"] {
        // Keys where they should not be: a query, a path.
        let (status, _) = gateway.get(&format!("{path}{CONTENT}"), &gateway.admin_key).await;
        assert!(matches!(status, 200 | 400 | 404 | 405), "{path}: {status}");
    }
    let wrong = gateway.request(Method::GET, "/v1/me", &stranger.admin_key).send().await.expect("an answer");
    assert_eq!(wrong.status(), 401);
    engine.require_key("another");
    let (status, _) = gateway.post("/v1/chat/completions", &mine.secret, &chat("fake/plain")).await;
    assert!(status >= 500, "{status}");
    assert_eq!(gateway.delete(&format!("/v1/admin/keys/{id}"), &gateway.admin_key).await.0, 204);
    gateway.write_configuration("models: [{id: x, type: poetry}]");
    gateway.signal("HUP");
    gateway.until_metric("guichet_configuration_reloads_total{result=\"refused\"}", |count| count >= 1.0).await;
    gateway.signal("TERM");
    let (code, folder, _) = gateway.ended().await;
    assert_eq!(code, Some(0));

    let log = std::fs::read_to_string(folder.path().join("guichet.log")).expect("its log");
    assert!(log.lines().count() > 50 && log.contains("request"), "a talkative log: {log}");
    for secret in [&mine.secret, &other, &stranger.admin_key] {
        assert!(!log.contains(&secret[21..64]), "a key is in the log");
    }
    for secret in [ENGINE_KEY, "agent@a.fr", "gct_"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    let shown: Vec<&str> = log.lines().filter(|line| line.contains(CONTENT)).collect();
    // Only the paths that this test itself wrote it in: a path is what a log of requests is about.
    assert!(shown.iter().all(|line| line.contains("path=")), "{shown:#?}");
}
