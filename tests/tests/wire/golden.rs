//! Whole exchanges, as files of `tests/golden`: what the client sends, what the engine receives of it under the settings of
//! its deployment, what the engine answers, and what the client gets. `GUICHET_UPDATE=1` writes anew what is found; a
//! reviewer reads the difference.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::engine::{Reply, Sse};
use tests::{FakeEngine, TestApp};

use crate::wire::header;

/// One test walks the folder.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_exchange_is_as_its_file_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
        .collect();
    files.sort();
    assert!(files.len() >= 6, "{files:?}");
    let update = std::env::var_os("GUICHET_UPDATE").is_some();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).expect("a file");
        let said: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let found = exchange(&said).await;
        if update {
            let pretty = serde_json::to_string_pretty(&found).expect("JSON");
            std::fs::write(&file, pretty + "\n").expect("the file is written");
        }
        for step in ["2 engine receives", "4 client gets"] {
            assert!(
                update || said[step] == found[step],
                "{name}, {step}:\n{:#}\ninstead of\n{:#}",
                found[step],
                said[step]
            );
        }
    }
}

/// The exchange of a file, with what was really received and got.
async fn exchange(said: &Value) -> Value {
    let engine = FakeEngine::start().await;
    let models = said["models"].to_string().replace("ENGINE", &engine.url());
    let app = TestApp::start(&format!("models: {models}\n")).await;
    let key = app.key("Ministère A", "internal").await;
    engine.next(match &said["3 engine answers"] {
        Value::Array(events) => Reply::from(events.iter().fold(Sse::new(), |sse, event| sse.raw(line(event) + "\n\n"))),
        body => Reply::whole(200, "application/json", line(body)),
    });
    let sends = &said["1 client sends"];
    let mut request = app.request(reqwest::Method::POST, sends["path"].as_str().expect("a path"), &key.secret);
    for (name, value) in sends["headers"].as_object().expect("headers") {
        request = request.header(name, line(value));
    }
    let response = request.body(line(&sends["body"])).send().await.expect("an answer");
    let (status, kind) = (response.status().as_u16(), header(&response, "content-type"));
    let id = header(&response, "x-request-id");
    let text = response.text().await.expect("a body").replace(&id, "req_");
    let body = match text.strip_suffix("\n\n") {
        Some(events) => events.split("\n\n").map(Value::from).collect(),
        None => Value::from(text),
    };
    let call = engine.last();
    let mut found = said.clone();
    found["2 engine receives"] = json!({"path": call.path, "body": call.text()});
    found["4 client gets"] = json!({"status": status, "content-type": kind, "body": body});
    found
}

fn line(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
