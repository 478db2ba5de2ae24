//! `guichet models` and `guichet openapi`.

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::process::guichet;
use tests::{FakeEngine, TestApp, configuration, model};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_tells_what_is_served_by_whom_and_how_healthy() {
    let (well, ill) = (FakeEngine::start().await, FakeEngine::start().await);
    ill.set_healthy(false);
    let folder = TempDir::new().expect("a folder");
    let models = format!(
        "models:\n{}{}{}",
        model("openweight-small", "chat", &well.url(), ", capacity: 8"),
        model("openweight-embeddings", "embeddings", &ill.url(), ""),
        "  - {id: away, type: chat, aliases: [gone], deployments: [{name: away-d, url: 'http://127.0.0.1:1/v1', engine: vllm, hosting: foreign}]}\n",
    );
    std::fs::write(folder.path().join("guichet.yaml"), configuration(folder.path(), "sqlite", &models))
        .expect("a file");
    let told = guichet(folder.path(), &["models"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let line = |name: &str| {
        told.out.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_else(|| panic!("{name}: {told:?}"))
    };
    assert!(line("openweight-small-d").contains(" answers;"), "{told:?}");
    assert!(line("openweight-small-d").contains("8 at once"), "{told:?}");
    assert!(line("openweight-small-d").contains("open to public, internal, sensitive data"), "{told:?}");
    assert!(line("openweight-embeddings-d").contains("does not answer"), "{told:?}");
    assert!(line("away-d").contains("does not answer") && line("away-d").contains("open to public data"), "{told:?}");
    assert!(line("away").contains("gone"), "{told:?}");

    let told = guichet(folder.path(), &["models", "--json"]);
    let list: Value = serde_json::from_str(&told.out).expect("JSON");
    let well: Vec<&Value> =
        list.as_array().expect("a list").iter().map(|model| &model["deployments"][0]["well"]).collect();
    assert_eq!(well, [&json!(true), &json!(false), &json!(false)], "{list:#}");
    assert!(!folder.path().join("data").exists(), "looking makes nothing");

    let empty = TempDir::new().expect("a folder");
    let told = guichet(empty.path(), &["models"]);
    assert!(told.code == Some(0) && told.out.contains("guichet init"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openapi_is_what_the_gateway_serves() {
    let app = TestApp::start("").await;
    let served = app.client.get(format!("{}/openapi.json", app.url)).send().await.expect("an answer");
    let served: Value = served.json().await.expect("JSON");
    let folder = TempDir::new().expect("a folder");
    let told = guichet(folder.path(), &["openapi"]);
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""), "{told:?}");
    let printed: Value = serde_json::from_str(&told.out).expect("JSON");
    // What is off is not served, and printed all the same: it is what this program can do.
    let paths = served["paths"].as_object().expect("paths");
    assert!(paths.contains_key("/v1/chat/completions") && !paths.contains_key("/v1/search"), "{paths:?}");
    for (path, said) in paths {
        assert_eq!(&printed["paths"][path], said, "{path}");
    }
    for path in ["/v1/search", "/v1/collections", "/v1/feedback"] {
        assert!(printed["paths"][path].is_object(), "{path}");
    }
    assert_eq!((&printed["info"], &printed["security"]), (&served["info"], &served["security"]));
    assert!(std::fs::read_dir(folder.path()).expect("the folder").next().is_none(), "printing makes nothing");
}
