//! docs/search.md, docs/citing.md and docs/evaluating-retrieval.md: what they show runs.

use serde_json::{Value, json};
use tests::engine::Chat;
use tests::{Backend, FakeEngine};

use crate::search::stand::{CHAT, Stand, chunk};

const SEARCH: &str = include_str!("../../../docs/search.md");
const CITING: &str = include_str!("../../../docs/citing.md");
const EVALUATING: &str = include_str!("../../../docs/evaluating-retrieval.md");

/// The blocks of a language.
fn blocks(page: &'static str, language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_of_the_pages_is_answered() {
    let stand = Stand::start(Backend::Sqlite).await;
    let collection = stand.collection("fiches").await;
    let metadata = json!({"theme": "travail", "date": "2024-03-01", "annee": 2024});
    let said: Vec<Value> = (0..12).map(|n| chunk(&format!("Le préavis de démission dure {n} mois."))).collect();
    stand.document(collection, "demission", &metadata, &said).await;
    stand.engine.script_model(CHAT, Chat::text("Il dure un mois [1]."));
    let requests: Vec<&str> = [SEARCH, CITING].into_iter().flat_map(|page| blocks(page, "http")).collect();
    assert!(requests.len() >= 9, "{requests:#?}");
    for request in requests {
        let (line, body) = request.split_once('\n').expect("a line and a body");
        let path = line.strip_prefix("POST ").expect("a POST");
        let body = body.replace("[12]", &format!("[{collection}]")).replace("openweight-small", CHAT);
        let body: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
        let response = stand.app.send(path, &stand.key.secret, &body).await;
        let (status, text) = (response.status(), response.text().await.expect("a body"));
        assert_eq!(status, 200, "{request}: {text}");
        let wanted = if path == "/v1/search" { "\"chunk\":{" } else { "\"citations\":[{" };
        assert!(text.contains(wanted), "{request}: {text}");
    }
}

/// The table of fields names those that come, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fields_of_citations_are_those_of_the_page() {
    let stand = Stand::start(Backend::Sqlite).await;
    let collection = stand.collection("fiches").await;
    stand.document(collection, "d", &json!({}), &[chunk("Le préavis dure un mois.")]).await;
    stand.engine.script_model(CHAT, Chat::text("Un mois [1] [4]."));
    let body = json!({"model": CHAT, "messages": [{"role": "user", "content": "préavis"}], "search": true,
        "search_args": {"collections": [collection], "method": "lexical"}});
    let (_, answer) = stand.post("/v1/chat/completions", &body).await;
    for field in answer["citations"][0].as_object().expect("an object").keys() {
        assert!(CITING.contains(&format!("`{field}`")), "{field}");
    }
    assert!(answer["unknown_citations"] == json!([4]) && CITING.contains("`unknown_citations`"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_evaluators_page_runs() {
    let folder = tempfile::TempDir::new().expect("a folder");
    crate::search::evaluation::files(folder.path());
    let engine = FakeEngine::start().await;
    engine.script_model("e5", tests::engine::Embeddings::of(8));
    let commands: Vec<&str> = blocks(EVALUATING, "console").into_iter().flat_map(str::lines).collect();
    assert_eq!(commands.len(), 3);
    for command in commands {
        // As a shell does: what is between quotation marks is one word.
        let command = command.replace("http://127.0.0.1:8081/v1", &engine.url());
        let parts = command.split('"').enumerate();
        let words: Vec<String> = parts
            .flat_map(|(nth, part)| match nth % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect(),
                _ => vec![part.to_owned()],
            })
            .collect();
        assert_eq!(words[..4], ["$", "guichet", "eval", "retrieval"], "{command}");
        let words: Vec<&str> = words[4..].iter().map(String::as_str).filter(|word| !FILES.contains(word)).collect();
        let (good, told, errors) = crate::search::evaluation::run(folder.path(), &words).await;
        assert!(good && told["ndcg@10"]["estimate"].is_number(), "{command}: {errors}");
    }
    assert!(engine.calls().iter().any(|call| call.text().contains("passage: ")), "prefixes keep their blank");
}

/// What [`crate::search::evaluation::run`] says already.
const FILES: [&str; 6] = ["--corpus", "corpus.jsonl", "--queries", "queries.jsonl", "--qrels", "qrels.tsv"];
