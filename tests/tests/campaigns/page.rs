//! docs/campaigns.md: each command it shows runs, one after the other, as an evaluator would type them.

use std::path::Path;

use eval::table::Table;
use serde_json::{Value, json};
use tests::process::{binary, said};
use tests::{Backend, FakeEngine, Process};

use crate::records::{ON, ask, chat, configuration, consent, evaluator, kept, member};

const PAGE: &str = include_str!("../../../docs/campaigns.md");

/// Fills every line of a sheet with the same answers.
fn fill(sheet: &Path, to: &Path) {
    let table = Table::read(&std::fs::read(sheet).expect("a sheet")).expect("a table");
    let mut lines = vec![table.header().to_vec()];
    for row in table.rows() {
        let cell = |(at, name): (usize, &String)| match name.as_str() {
            "juste" => "oui".to_owned(),
            "clair" => "2".to_owned(),
            _ => row.text(at).to_owned(),
        };
        lines.push(table.header().iter().enumerate().map(cell).collect());
    }
    std::fs::write(to, eval::table::write(b';', lines).expect("a table")).expect("a file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_command_of_the_page_runs() {
    let engine = FakeEngine::start().await;
    engine.script(tests::Chat::obliging("Le service des passeports est au premier étage."));
    let gateway = Process::start(Backend::Sqlite, &configuration(&engine, ON)).await;
    let key = gateway.key("Ministère A", "internal").await;
    consent(&gateway, &key).await;
    let instance = evaluator(&gateway).await;
    let grant = json!({"role": "evaluator", "organization_id": key.organization_id});
    let evaluator = member(&gateway, Some(key.organization_id), &[grant]).await;
    for n in 0..6 {
        ask(&gateway, &key, &chat("petit", &format!("Où est le service {n} ?"), false)).await;
    }
    kept(&gateway, &instance, 6).await;
    let (_, sample) = gateway.post("/v1/eval/samples", &evaluator, &json!({"name": "s", "size": 6})).await;
    let camille = member(&gateway, Some(key.organization_id), &[]).await;
    let form = json!({"email": "dominique@exemple.org", "name": "Dominique", "organization_id": key.organization_id});
    let (status, dominique) = gateway.post("/v1/admin/members", &gateway.admin_key, &form).await;
    assert_eq!(status, 201, "{dominique}");
    let camille_id = gateway.get("/v1/me", &camille).await.1["member_id"].clone();
    let folder = gateway.folder.path();
    let pairs: String = (0..4)
        .map(|n| {
            let answers = json!([{"candidate": "un", "text": "Oui."}, {"candidate": "deux", "text": "Non."}]);
            format!("{}\n", json!({"prompt": format!("Question {n} ?"), "answers": answers}))
        })
        .collect();
    std::fs::write(folder.join("paires.jsonl"), pairs).expect("a file");

    let path =
        format!("{}:{}", binary().parent().expect("a folder").display(), std::env::var("PATH").unwrap_or_default());
    let shell = |script: &str| {
        let mut shell = std::process::Command::new("sh");
        shell.current_dir(folder).args(["-euc", script]).env("PATH", &path).env("GUICHET_CONFIG", "guichet.yaml");
        shell.env("GUICHET", &gateway.url).env("EVALUATOR_KEY", &evaluator).env("CAMILLE_KEY", &camille);
        shell.env("SAMPLE_ID", sample["id"].to_string()).env("CAMPAIGN_ID", "1");
        shell.env("CAMILLE_ID", camille_id.to_string()).env("DOMINIQUE_ID", dominique["id"].to_string());
        said(&mut shell)
    };
    let (mut shells, mut consoles) = (0, 0);
    for (language, block) in PAGE.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n')) {
        match language {
            "console" => {
                for line in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
                    if line.contains("remplie.csv") {
                        let sheet = format!("feuilles/campaign-1-{}.csv", dominique["id"]);
                        fill(&folder.join(sheet), &folder.join("remplie.csv"));
                    }
                    let done = shell(line);
                    assert_eq!(done.code, Some(0), "{line}: {done:?}");
                    assert!(!done.out.trim().is_empty(), "{line} says nothing");
                    consoles += 1;
                }
            }
            "sh" => {
                let done = shell(block);
                assert_eq!(done.code, Some(0), "{block}: {done:?}");
                let answers: Vec<Value> = done
                    .out
                    .lines()
                    .filter(|line| !line.is_empty())
                    .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
                    .collect();
                assert!(
                    !answers.is_empty() && answers.iter().all(|answer| answer.get("error").is_none()),
                    "{block}: {answers:#?}"
                );
                shells += 1;
            }
            _ => {}
        }
    }
    assert!(shells == 4 && consoles == 9, "{shells} {consoles}");
    let (_, campaign) = gateway.get("/v1/eval/campaigns/1", &evaluator).await;
    assert_eq!(campaign["progress"]["answered"].as_i64().map(|n| n >= 6), Some(true), "{campaign:#}");
}

/// Every field of the answers is explained, and every code.
#[test]
fn the_page_explains_each_figure() {
    for word in [
        "progress",
        "alpha",
        "fleiss",
        "cohen",
        "accuracy",
        "median_seconds",
        "not_applicable",
        "skipped",
        "pairs",
        "left",
        "ranking",
        "unnamed",
        "refused",
        "too_few",
        "undefined",
        "disconnected",
        "left_out",
        "purged",
        "held",
    ] {
        assert!(PAGE.contains(&format!("`{word}`")) || PAGE.contains(&format!("`{word}:")), "{word} is not explained");
    }
    for code in ["campaign_open", "already_answered", "lock_expired"] {
        assert!(PAGE.contains(code) && include_str!("../../../docs/api.md").contains(code), "{code} is not explained");
    }
}
