//! `guichet eval retrieval`, as an evaluator runs it: three files, a report, a run, scores of each query.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::FakeEngine;
use tests::engine::Embeddings;

fn write(folder: &Path, name: &str, lines: &[Value]) {
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    std::fs::write(folder.join(name), text.join("\n")).expect("it is written");
}

/// Twelve documents of two sources, twelve queries each judged for one of them.
pub fn files(folder: &Path) {
    let subjects = [
        "préavis",
        "congé",
        "salaire",
        "retraite",
        "maternité",
        "licenciement",
        "formation",
        "grève",
        "apprenti",
        "chômage",
        "logement",
        "impôt",
    ];
    let source = |nth: usize| if nth.is_multiple_of(2) { "code" } else { "fiche" };
    let document = |(nth, subject): (usize, &&str)| {
        json!({"id": format!("d{nth}"), "title": format!("Le {subject}"), "source": source(nth),
            "text": format!("# Règles\n\nTout ce qui concerne le {subject} est expliqué dans cette fiche.")})
    };
    let documents: Vec<Value> = subjects.iter().enumerate().map(document).collect();
    write(folder, "corpus.jsonl", &documents);
    let query = |(nth, subject): (usize, &&str)| json!({"id": format!("q{nth}"), "text": format!("{subject} ?"), "topic": nth / 2});
    write(folder, "queries.jsonl", &subjects.iter().enumerate().map(query).collect::<Vec<Value>>());
    let qrels: Vec<String> = (0..12).map(|nth| format!("q{nth}\t0\td{nth}\t1")).collect();
    std::fs::write(folder.join("qrels.tsv"), qrels.join("\n")).expect("it is written");
}

pub async fn run(folder: &Path, more: &[&str]) -> (bool, Value, String) {
    let mut command = Command::new(tests::process::binary());
    command.current_dir(folder).args(["eval", "retrieval", "--corpus", "corpus.jsonl", "--queries", "queries.jsonl"]);
    command.args(["--qrels", "qrels.tsv"]).args(more);
    // The engine answers on this runtime, which the command must not hold up.
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it ends").expect("it runs");
    let told = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.success(), told, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_find_what_is_judged() {
    let folder = tempfile::TempDir::new().expect("a folder");
    files(folder.path());
    let options = ["--method", "lexical", "--run", "run.trec", "--per-query", "scores.csv", "--without-accents"];
    let (good, told, errors) = run(folder.path(), &options).await;
    assert!(good, "{errors}");
    assert_eq!(
        (&told["queries"], &told["ndcg@10"]["estimate"], &told["mrr"]["estimate"]),
        (&json!(12), &json!(1.0), &json!(1.0))
    );
    assert_eq!(told["corpus"], json!({"documents": 12, "chunks": 12}));
    let trec = std::fs::read_to_string(folder.path().join("run.trec")).expect("a run");
    assert!(trec.starts_with("q0 Q0 d0 1 1.000000 guichet-lexical\n"), "{trec}");
    let scores = std::fs::read_to_string(folder.path().join("scores.csv")).expect("scores");
    assert!(
        scores.starts_with("query,unit,text,ndcg@10,reciprocal_rank,recall@10\nq0,q0,préavis ?,1.000000"),
        "{scores}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_and_units() {
    let folder = tempfile::TempDir::new().expect("a folder");
    files(folder.path());
    let options = ["--method", "lexical", "--filter", "source!=code", "--unit", "topic", "--per-query", "scores.json"];
    let (good, told, errors) = run(folder.path(), &options).await;
    assert!(good, "{errors}");
    assert_eq!((&told["queries"], &told["queries_without_relevant_document"]), (&json!(6), &json!(6)));
    assert_eq!(told["corpus"]["documents"], 6);
    assert_eq!(told["ndcg@10"]["units"], 6, "a mean without interval: too few units to draw from");
    let rows: Vec<Value> =
        serde_json::from_slice(&std::fs::read(folder.path().join("scores.json")).expect("scores")).expect("JSON");
    assert_eq!((rows.len(), &rows[0]["found"][0]), (6, &json!("d1")));
}

/// Vectors are asked once; a second run, and a run cut short, take them from the folder.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vectors_are_embedded_once() {
    let folder = tempfile::TempDir::new().expect("a folder");
    files(folder.path());
    let engine = FakeEngine::start().await;
    engine.script_model("v", Embeddings::of(8));
    let url = engine.url();
    let options = |method: &'static str| {
        ["--method", method, "--embeddings", &url, "--model", "v", "--cache", "vectors"].map(str::to_owned)
    };
    let ask = async |method| {
        let options = options(method);
        run(folder.path(), &options.each_ref().map(String::as_str)).await
    };
    let (good, first, errors) = ask("hybrid").await;
    assert!(good, "{errors}");
    let posts = engine.posts();
    assert!(posts > 0 && first["lexical_lane"]["ndcg@10"] == 1.0, "{first}");
    assert!(first["semantic_lane"]["fusion_minus_lane"]["estimate"].as_f64() > Some(0.0), "{first}");
    let (good, second, errors) = ask("hybrid").await;
    assert!(good && second == first, "{errors}");
    let (good, _, errors) = ask("semantic").await;
    assert!(good, "{errors}");
    assert_eq!(engine.posts(), posts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_with_its_line() {
    let folder = tempfile::TempDir::new().expect("a folder");
    files(folder.path());
    std::fs::write(folder.path().join("qrels.tsv"), "q0 0 d0 1\nq1 d1\n").expect("it is written");
    let (good, _, errors) = run(folder.path(), &["--method", "lexical"]).await;
    assert!(!good && errors.contains("qrels.tsv:2"), "{errors}");
    std::fs::write(folder.path().join("corpus.jsonl"), "{\"id\": \"a\"}\n{\"id\": \"a\"}\n").expect("it is written");
    let (good, _, errors) = run(folder.path(), &["--method", "lexical"]).await;
    assert!(!good && errors.contains("corpus.jsonl:2"), "{errors}");
    let (good, _, errors) = run(folder.path(), &["--method", "hybrid"]).await;
    assert!(!good && errors.contains("--embeddings"), "{errors}");
}
