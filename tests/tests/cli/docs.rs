//! The commands of the documentation, run as they are written. Only the address is the test's own.

use std::net::TcpListener;
use std::path::Path;

use guichet::config::load::{Origin, from_text};
use serde_json::Value;
use tempfile::TempDir;
use tests::process::{Said, guichet, said};
use tests::{FakeEngine, TestApp, configuration, model};

use crate::cli::{Serving, blocks, page, shell};

const WRITTEN: &str = "http://127.0.0.1:8080";

fn listed(folder: &Path, what: &str) -> Value {
    let told = guichet(folder, &[what, "list", "--json"]);
    serde_json::from_str(&told.out).unwrap_or_else(|error| panic!("{error}: {told:?}"))
}

#[test]
fn the_page_on_identity_does_what_it_says() {
    let folder = TempDir::new().expect("a folder");
    let serving = Serving::start(folder.path(), &[]);
    let script = blocks("docs/identity.md").join("\n").replace(WRITTEN, &serving.url);
    assert!(script.contains("guichet key create") && script.contains("/v1/admin"), "{script}");
    let done = said(&mut shell(folder.path(), &script));
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("\"project\":\"docs\""), "{}", done.out);

    let names = |what: &str, field: &str| -> Vec<String> {
        let list = listed(folder.path(), what);
        list.as_array().expect("a list").iter().map(|one| one[field].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(names("organization", "name"), ["Ministère A", "Agence B"]);
    assert_eq!(names("project", "data_class"), ["internal", "internal"]);
    assert_eq!(names("member", "email"), ["admin", "camille@ministere-a.fr", "dominique@agence-b.fr"]);
    assert_eq!(listed(folder.path(), "member")[2]["grants"][0]["role"], "builder");
    // The key that the page revokes is the one it made last.
    assert_eq!(names("key", "name"), ["admin.key", "production", "portable"]);
}

/// The README's own start, on an engine found at a usual port: from nothing to an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readme_leads_from_nothing_to_an_answer() {
    let mut engine = None;
    for port in [1234, 5000, 8001, 30000, 11434] {
        if engine.is_none() {
            engine = FakeEngine::start_at(([127, 0, 0, 1], port).into()).await.ok();
        }
    }
    let engine = engine.expect("a usual port is free");
    engine.set_models(&["openweight-small"]);
    let folder = TempDir::new().expect("a folder");
    let block = blocks("README.md").into_iter().find(|block| block.contains("guichet init")).expect("a start");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    let url = format!("http://127.0.0.1:{port}");
    // Built already; what the README's Python does is asked here by hand.
    let kept: Vec<&str> = block.lines().filter(|line| !line.starts_with("cargo ")).collect();
    let asked = format!(
        "curl -sS --fail --retry 20 --retry-all-errors --retry-delay 1 {url}/v1/chat/completions \
         -H \"Authorization: Bearer $GUICHET_KEY\" -H 'Content-Type: application/json' \
         -d '{{\"model\": \"openweight-small\", \"messages\": [{{\"role\": \"user\", \"content\": \"Bonjour\"}}]}}' > answer.json"
    );
    // The gateway is told to stop whatever happened before.
    let script = format!("trap 'kill $! && wait || true' EXIT\n{}\n{asked}", kept.join("\n"));
    let done: Said = {
        let mut shell = shell(folder.path(), &script);
        shell.env("GUICHET__SERVER__LISTEN", format!("127.0.0.1:{port}"));
        tokio::task::spawn_blocking(move || said(&mut shell)).await.expect("it ends")
    };
    assert_eq!(done.code, Some(0), "{done:?}");
    let answer = std::fs::read_to_string(folder.path().join("answer.json")).expect("an answer");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["choices"][0]["message"]["role"], "assistant", "{answer}");
    assert_eq!(engine.posts(), 1);
}

/// The call of the page on prompts, on an engine of the test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_on_prompts_does_what_it_says() {
    let engine = FakeEngine::start().await;
    let folder = TempDir::new().expect("a folder");
    let models = format!("models:\n{}", model("openweight-small", "chat", &engine.url(), ""));
    std::fs::write(folder.path().join("guichet.yaml"), configuration(folder.path(), "sqlite", &models))
        .expect("a file");
    let serving = Serving::start(folder.path(), &[]);
    for block in blocks("docs/prompts.md").iter().filter(|block| block.contains("curl")) {
        let made = "guichet organization create A >/dev/null; guichet project create p --organization A >/dev/null\n\
                    export GUICHET_KEY=$(guichet key create --organization A --project p 2>/dev/null)\n";
        let script = format!("{made}{}", block.replace(WRITTEN, &serving.url));
        let done = said(&mut shell(folder.path(), &script));
        assert_eq!(done.code, Some(0), "{done:?}");
        let answer: Value = serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {done:?}"));
        assert!(answer["choices"].is_array(), "{answer}");
    }
}

/// The page on operations cannot be run here as a whole; what it names exists: settings, commands, metrics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_on_operations_names_what_exists() {
    let text = page("docs/operations.md");
    let yaml = text.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a configuration");
    from_text(&Origin::Embedded, yaml, Vec::new()).unwrap_or_else(|problems| panic!("{problems:#?}"));

    let engine = FakeEngine::start().await;
    let app = TestApp::start(&format!("models:\n{}", model("small", "chat", &engine.url(), ""))).await;
    let key = app.key("A", "internal").await;
    let mut body = tests::chat("small");
    body["stream"] = Value::Bool(true);
    let stream = app.send("/v1/chat/completions", &key.secret, &body).await.text().await.expect("a stream");
    assert!(stream.contains("[DONE]"), "{stream}");
    app.write_configuration("models: none");
    app.until_metric("guichet_configuration_reloads_total{result=\"refused\"}", |count| count >= 1.0).await;
    app.until_metric("guichet_records_waiting", |waiting| waiting == 0.0).await;
    let (_, metrics) = app.get("/metrics", &app.admin_key).await;
    let metrics = metrics.as_str().expect("a page of text");
    let named: Vec<&str> = text
        .split('`')
        .filter(|words| words.starts_with("guichet_") || words.starts_with("gen_ai_"))
        .map(|words| words.split('{').next().unwrap_or(words))
        .collect();
    assert!(named.len() >= 9, "{named:?}");
    for name in named {
        let told =
            metrics.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{', '_'])));
        assert!(told, "{name} is no metric:\n{metrics}");
    }

    let reference = page("docs/configuration.md");
    for setting in ["server", "records", "log"] {
        let prefix = format!("`{setting}.");
        for name in text.split(prefix.as_str()).skip(1).filter_map(|rest| rest.split(['`', ':']).next()) {
            assert!(reference.contains(&format!("| `{name}`")), "{setting}.{name} is no setting");
        }
    }
    let folder = TempDir::new().expect("a folder");
    for command in ["check-config", "migrate", "models", "key"] {
        assert!(text.contains(&format!("guichet {command}")));
        assert_eq!(guichet(folder.path(), &[command, "--help"]).code, Some(0), "{command}");
    }
}
