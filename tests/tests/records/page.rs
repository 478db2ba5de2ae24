//! docs/records.md: its configuration is read, and each command it shows runs.

use guichet::config::load::{Origin, from_text};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

use tests::process::{binary, said};
use tests::{Backend, FakeEngine, Process};

use crate::records::{ask, chat, configuration, content, evaluator, kept};

const PAGE: &str = include_str!("../../../docs/records.md");

/// The blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(&fence).skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

/// A shell that finds the program.
fn shell(folder: &Path, script: &str) -> Command {
    let binary = binary();
    let here = binary.parent().expect("a folder").display().to_string();
    let path = format!("{here}:{}", std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.current_dir(folder).args(["-euc", script]).env("PATH", path);
    shell
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_command_of_the_page_runs() {
    let yaml = blocks("yaml")[0];
    from_text(&Origin::Embedded, yaml, Vec::new()).unwrap_or_else(|problems| panic!("{problems:#?}"));

    let engine = FakeEngine::start().await;
    let gateway = Process::start(Backend::Sqlite, &configuration(&engine, yaml)).await;
    let key = gateway.key("Ministère A", "internal").await;
    let folder = gateway.folder.path();
    let evaluator = evaluator(&gateway).await;
    // The commands of consent come first on the page; what the others work on is made after them.
    let mut request = String::new();
    let (mut shells, mut consoles) = (0, 0);
    for (language, block) in PAGE.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n')) {
        match language {
            "console" => {
                for line in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
                    let done = said(shell(folder, line).env("GUICHET_CONFIG", "guichet.yaml"));
                    assert_eq!(done.code, Some(0), "{line}: {done:?}");
                    assert!(!done.out.trim().is_empty(), "{line} says nothing");
                    consoles += 1;
                }
            }
            "sh" => {
                let mut run = shell(folder, block);
                run.env("GUICHET", &gateway.url);
                run.env("PROJECT_KEY", &key.secret).env("EVALUATOR_KEY", &evaluator).env("REQUEST_ID", &request);
                run.env("MANAGER_KEY", &gateway.admin_key).env("PROJECT_ID", key.project_id.to_string());
                run.env("ORGANIZATION_ID", key.organization_id.to_string());
                let done = said(&mut run);
                assert_eq!(done.code, Some(0), "{block}: {done:?}");
                for line in done.out.lines().filter(|line| !line.is_empty()) {
                    let answer: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                    assert!(answer.get("error").is_none(), "{block}: {answer}");
                }
                shells += 1;
            }
            _ => {}
        }
        // Once consent was given through the gateway itself, which knows of it at once.
        if request.is_empty() && shells == 1 {
            for n in 0..30 {
                let mut body =
                    chat("petit", "Bonjour, où est le service de la mairie pour les passeports ?", n % 2 == 0);
                body["user"] = json!(format!("agent-{n}"));
                request = ask(&gateway, &key, &body).await;
            }
            kept(&gateway, &evaluator, 30).await;
            gateway.records(30).await;
            let (_, list) = gateway.get("/v1/eval/records?limit=1000", &evaluator).await;
            let values: String = list["data"]
                .as_array()
                .expect("a list")
                .iter()
                .enumerate()
                .map(|(n, record)| format!("{},{}\n", record["id"].as_str().expect("an id"), n % 5))
                .collect();
            std::fs::write(folder.join("notes.csv"), format!("record_id,value\n{values}")).expect("a file");
        }
    }
    assert!(shells >= 4 && consoles >= 7, "{shells} {consoles}");
    assert!(!request.is_empty());
    assert_eq!(content(&gateway, &evaluator, &request).await["id"], json!(request));
}

/// What the page names is there: metrics, settings, kinds of faults.
#[test]
fn the_page_names_what_exists() {
    let reference = include_str!("../../../docs/configuration.md");
    for setting in ["evaluation.keep", "records.keep", "queue", "largest", "threads"] {
        let name = setting.split('.').next_back().expect("a name");
        assert!(PAGE.contains(&format!("`{setting}`")) && reference.contains(&format!("| `{name}`")), "{setting}");
    }
    for fault in [
        "altered",
        "removed",
        "added",
        "reordered",
        "content_altered",
        "content_removed",
        "content_remains",
        "block",
        "amendment",
        "start",
        "end",
        "head",
    ] {
        assert!(PAGE.contains(&format!("`{fault}`")), "{fault} is not explained");
    }
    for result in ["kept", "overflow", "too_large", "unreadable", "failed"] {
        assert!(PAGE.contains(&format!("`{result}`")), "{result} is not explained");
    }
}
