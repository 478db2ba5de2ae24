//! The commands of `docs/accounting.md`, run as they are written.

use std::process::Command;

use serde_json::{Value, json};
use tests::{Backend, FakeEngine, TestApp, on_each_database};

use crate::accounting::models;

on_each_database!(the_documented_commands_answer,);

async fn the_documented_commands_answer(backend: Backend) {
    let engine = FakeEngine::start().await;
    let app = TestApp::on(backend, &models(&engine, &["fake/plain"])).await;
    let key = app.key("Préfecture", "internal").await;
    for _ in 0..3 {
        assert_eq!(app.chat(&key, "fake/plain").await.0, 200);
    }
    app.records(3).await;
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/accounting.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let commands: Vec<&str> = page.lines().filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(commands.len(), 5, "{commands:#?}");
    for command in commands {
        let run = Command::new("sh")
            .args(["-c", command])
            .envs([("GUICHET", &app.url), ("PROJECT_KEY", &key.secret), ("ADMIN_KEY", &app.admin_key)])
            .output();
        let output = tokio::task::block_in_place(|| run).expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command}: {said}");
        if command.contains("format=csv") {
            let lines: Vec<&str> = said.lines().collect();
            assert!(lines.len() == 2 && lines[0].starts_with("day,organization_id,"), "{command}: {said}");
            continue;
        }
        let list: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{command}: {said}"));
        let data = list["data"].as_array().unwrap_or_else(|| panic!("{command}: {said}"));
        if command.contains("/records") {
            assert_eq!(data.len(), 3, "{command}: {said}");
            // Every field is explained, and none that is not there.
            for field in data[0].as_object().expect("a record").keys() {
                assert!(page.contains(&format!("`{field}`")), "{field} is not on the page");
            }
        } else {
            assert_eq!(data.iter().map(|one| &one["requests"]).collect::<Vec<_>>(), [&json!(3)], "{command}: {said}");
        }
    }
}
