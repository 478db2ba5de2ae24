//! The examples of `docs/quotas.md`, run as they are written: a manager sees who uses what, who was refused and why, and
//! changes a limit, with curl alone.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::{Chat, chat};

use crate::quotas::stand::{Place, Stand};

/// The commands of the page's sections for managers, one for each `sh` block.
fn commands() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/quotas.md");
    let text = std::fs::read_to_string(page).expect("the page");
    let section = |title: &str| {
        let rest = text.split(title).nth(1).expect("the section");
        rest.split("\n## ").next().expect("its text").to_owned()
    };
    let sections = section("\n## A manager's day\n") + &section("\n## Active users\n");
    sections.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next()).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_for_managers_do_what_they_say() {
    let stand =
        Stand::new(Place::InProcess, "{organization: [{requests: 100/day}], project: [{requests: 3/day}]}").await;
    let key = stand.key("Culture", "internal").await;
    stand.engine.script(Chat::text("Bonjour").tokens(100, 20));
    for _ in 0..5 {
        drop(stand.ask(&key, &chat("fake/plain")).await.text().await);
    }
    stand.records(5).await;
    let (_, manager) = stand.member(key.organization_id, "manager").await;
    let mut answers = Vec::new();
    for command in commands() {
        let output = Command::new("sh")
            .args(["-c", &command])
            .env("GUICHET", &stand.url)
            .env("KEY", &manager)
            .env("ORGANIZATION", key.organization_id.to_string())
            .env("PROJECT", key.project_id.to_string())
            .output()
            .expect("a shell");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command}\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
        answers.push((command, said));
    }
    assert_eq!(answers.len(), 8, "{answers:#?}");
    let json = |index: usize| -> Value {
        let (command, said) = &answers[index];
        serde_json::from_str(said).unwrap_or_else(|_| panic!("{command}\n{said}"))
    };
    // Who uses what.
    let usage = json(0);
    assert_eq!(usage["data"][0]["project"], "produit", "{usage}");
    assert_eq!(usage["data"][0]["total_tokens"], 360, "{usage}");
    assert!(answers[1].1.starts_with("day,organization_id"), "{}", answers[1].1);
    // Who was refused, and why.
    let refused = json(2);
    let why =
        refused["data"].as_array().expect("a list").iter().find(|bucket| bucket["error_code"] == "quota_exceeded");
    assert_eq!(why.map(|bucket| &bucket["requests"]), Some(&Value::from(2)), "{refused}");
    // What is left, and a change.
    assert_eq!(json(3)["limits"][0]["remaining"], 0);
    assert_eq!(json(4)["limits"][0]["max"], 50, "{}", answers[4].1);
    assert_eq!(json(5)["data"][0]["action"], "limits.update", "{}", answers[5].1);
    // A product attests how many people used it.
    assert_eq!(json(6)["users"], 1_234, "{}", answers[6].1);
    assert!(
        answers[7].1.contains("non mesurable") && answers[7].1.contains("1234 (Docs, sessions)"),
        "{}",
        answers[7].1
    );
    assert_eq!(stand.chat(&key, "fake/plain").await.0, 200, "the change is effective");
}
