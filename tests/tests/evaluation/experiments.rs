//! Experiments and judgings from the shell, in front of a scripted engine: cost first, so many calls at once, resumed after a
//! kill, failures told and mended; judges that answer prose, wrong JSON, invented quotes, or by position.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::engine::{Gate, Reply};
use tests::process::{Said, command, said};
use tests::{Chat, FakeEngine};

use super::folder;

const ITEMS: usize = 12;

fn dataset() -> String {
    (0..ITEMS)
        .map(|i| {
            format!("{}\n", json!({"id": format!("i{i}"), "question": format!("Question {i} ?"), "reference": "Oui."}))
        })
        .collect()
}

fn place() -> TempDir {
    folder(&[("d.jsonl", &dataset())])
}

/// The words of `experiment run`, on this engine.
fn words(engine: &FakeEngine, more: &str) -> Vec<String> {
    let text = format!(
        "eval experiment run --dataset d.jsonl --model petit --output a.jsonl --url {} --concurrency 2 {more}",
        engine.url()
    );
    text.split_whitespace().map(str::to_owned).collect()
}

async fn run(folder: &Path, words: Vec<String>) -> Said {
    let folder = folder.to_owned();
    tokio::task::spawn_blocking(move || said(command(&folder).args(words))).await.expect("the command ends")
}

fn begin(folder: &Path, words: Vec<String>) -> Child {
    command(folder).args(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the command starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cost_is_told_before_anything_is_sent() {
    let engine = FakeEngine::start().await;
    let folder = place();
    let said = run(folder.path(), words(&engine, "--price-input 1 --price-output 2 --max-tokens 100")).await;
    let told: Value = serde_json::from_str(said.err.lines().next().expect("a line")).expect("an estimate");
    assert_eq!((said.code, &told["requests"], &told["tokens_written_at_most"]), (Some(0), &json!(12), &json!(1_200)));
    let read = told["tokens_read_about"].as_f64().expect("tokens");
    let euros = told["euros_at_most"].as_f64().expect("euros");
    assert!((euros - (read + 2.0 * 1_200.0) / 1e6).abs() < 1e-12, "{told}");
    assert_eq!(engine.posts(), 0);
    assert!(!folder.path().join("a.jsonl").exists(), "nothing was run, nothing is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_killed_goes_on_and_asks_nothing_twice() {
    let engine = FakeEngine::start().await;
    let gate = Gate::closed();
    engine.script(Chat::text("Oui.").gate(0, &gate));
    let folder = place();
    let mut child = begin(folder.path(), words(&engine, "--yes"));
    gate.admit(5);
    // Five answered, two more wait: never more than two at once.
    assert!(
        engine.until(|counts| counts.answers.finished == 5 && counts.answers.open == 2).await,
        "{:?}",
        engine.counts()
    );
    assert_eq!(engine.counts().peak, 2);
    let file = folder.path().join("a.jsonl");
    let lines = || std::fs::read_to_string(&file).map_or(0, |text| text.lines().count());
    let started = std::time::Instant::now();
    while lines() < 6 && started.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    child.kill().expect("it is killed");
    child.wait().expect("it is gone");
    assert_eq!(lines(), 6, "a line that says which run it is, five answers");
    // As a kill in the middle of a write leaves it.
    let torn = format!("{}{{\"key\": \"[\\\"i", std::fs::read_to_string(&file).expect("the file"));
    std::fs::write(&file, torn).expect("the file");
    gate.open();
    engine.forget();
    let done = run(folder.path(), words(&engine, "--yes")).await;
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert_eq!(engine.posts(), 7, "what was answered is not asked again");
    let text = std::fs::read_to_string(&file).expect("the file");
    assert_eq!(text.lines().count(), 1 + ITEMS);
    let one: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    assert_eq!((&one["text"], &one["raw"]["choices"][0]["message"]["content"]), (&json!("Oui."), &json!("Oui.")));
    // Another run is not mixed into the same file.
    let other = run(folder.path(), words(&engine, "--yes --temperature 1")).await;
    assert!(other.code == Some(1) && other.err.contains("autre essai"), "{}", other.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_fails_is_told_and_asked_again_the_next_time() {
    let engine = FakeEngine::start().await;
    engine.script(Chat::text("Oui."));
    // A request that is wrong is not sent again at once; one that found the engine busy is.
    engine.next(Reply::json(400, &json!({"error": {"message": "non", "type": "invalid_request_error", "code": null}})));
    engine.next(Reply::json(503, &json!({"error": {"message": "occupé", "type": "server_error", "code": null}})));
    let folder = place();
    let first = run(folder.path(), words(&engine, "--yes")).await;
    assert_eq!(first.code, Some(1), "{}", first.err);
    assert!(first.err.contains("1 requête(s) sans réponse"), "{}", first.err);
    let told: Value = serde_json::from_str(&first.out).expect("JSON");
    assert_eq!((&told["answered"], &told["failed"]), (&json!(11), &json!(1)));
    // A comparison counts what failed as the worst.
    let compared = run(
        folder.path(),
        "eval experiment compare --answers a.jsonl --dataset d.jsonl --first petit --second petit --metric exact-match"
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
    )
    .await;
    assert!(compared.code == Some(1) && compared.err.contains("même valeur"), "{}", compared.err);
    let again = run(folder.path(), words(&engine, "--yes")).await;
    assert_eq!(again.code, Some(0), "{}", again.err);
    let told: Value = serde_json::from_str(&again.out).expect("JSON");
    assert_eq!(told["failed"], 0);
}

const GRID: &str = "grid: g\nversion: 1\ntitle: {fr: G, en: G}\nminimum: 3\nfacets:\n\
    - {id: f, label: {fr: F, en: F}, criteria: [{id: juste, question: {fr: La réponse est-elle juste ?, en: Right?}, scale: boolean, evidence: ['judge:judge-criterion@1']},\n\
      {id: mieux, question: {fr: Laquelle est la meilleure ?, en: Better?}, scale: pairwise, evidence: ['judge:judge-pair@1']}]}\n";

fn judging(engine: &FakeEngine, more: &str) -> Vec<String> {
    let text = format!(
        "eval judge g.yaml --dataset d.jsonl --answers a.jsonl --output j.jsonl --evidence e.csv --url {} --concurrency 1 --yes {more}",
        engine.url()
    );
    text.split_whitespace().map(str::to_owned).collect()
}

/// A folder with the answers of two models, as an experiment wrote them.
async fn answered(engine: &FakeEngine) -> TempDir {
    let folder = folder(&[("d.jsonl", &dataset()), ("g.yaml", GRID)]);
    engine.script(Chat::text("Oui, dans un délai de deux mois."));
    let done = run(folder.path(), words(engine, "--yes --model grand")).await;
    assert_eq!(done.code, Some(0), "{}", done.err);
    folder
}

fn verdict(value: &str, quote: &str) -> String {
    json!({"reason": "r", "quote": quote, "value": value}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_verdict_is_counted_and_becomes_missing_evidence() {
    let engine = FakeEngine::start().await;
    let folder = answered(&engine).await;
    engine.script(Chat::text(&verdict("oui", "deux mois")));
    for odd in [
        "Je mets oui, sans hésiter.".to_owned(),
        r#"{"value": "oui"}"#.to_owned(),
        verdict("oui", "trois mois"),
        verdict("peut-être", "deux mois"),
        verdict("n/a", ""),
    ] {
        engine.next(Chat::text(&odd));
    }
    let more =
        "--criterion juste --judge arbitre --candidate petit --family petit=a --family grand=b --family arbitre=c";
    let told = run(folder.path(), judging(&engine, more)).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    let told: Value = serde_json::from_str(&told.out).expect("JSON");
    let count = &told["judged"]["judges"]["arbitre"];
    assert_eq!((&count["asked"], &count["read"], &count["failed"]), (&json!(12), &json!(8), &json!(0)), "{told}");
    let unreadable = json!({"not_json": 2, "off_scale": 1, "quote_not_literal": 1});
    assert_eq!((&count["unreadable"], &told["judged"]["undecided"]), (&unreadable, &json!(4)));
    let method = &told["run"]["method"];
    assert_eq!(
        (&method["prompt"], method["prompt_hash"].as_str().map(str::len)),
        (&json!("judge-criterion.fr"), Some(64))
    );
    let csv = std::fs::read_to_string(folder.path().join("e.csv")).expect("evidence");
    assert_eq!(csv.matches("juste,,judge:judge-criterion@1").count(), 4, "{csv}");
    assert_eq!(csv.matches("juste,n/a,").count(), 1, "{csv}");
    // The evidence is what a grid reads: eleven items concerned, seven with an answer.
    let scored = super::guichet(folder.path(), &["grid", "score", "g.yaml", "--evidence", "e.csv"]).json();
    let criterion = &scored["profile"][0]["criteria"][0];
    let counted = [&criterion["n"], &criterion["missing"], &criterion["not_applicable"]];
    assert_eq!(counted, [&json!(7), &json!(4), &json!(1)], "{criterion}");
    assert!((criterion["coverage"].as_f64().expect("coverage") - 7.0 / 11.0).abs() < 1e-9, "{criterion}");
    // What a judge was shown: the question, the answer between tags, the scale.
    let shown = engine.last().text().to_owned();
    assert!(
        shown.contains("La réponse est-elle juste ?") && shown.contains("deux mois") && shown.contains("non"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_that_is_held_to_json_chooses_what_it_quotes() {
    let engine = FakeEngine::start().await;
    let folder = answered(&engine).await;
    engine.script(Chat::text(&verdict("oui", "Oui, dans un délai de deux mois.")));
    let families = "--family petit=a --family grand=b --family arbitre=c --constrained";
    let told = run(
        folder.path(),
        judging(&engine, &format!("--criterion juste --judge arbitre --candidate petit {families}")),
    )
    .await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    let format = engine.last().json()["response_format"].clone();
    let schema = &format["json_schema"]["schema"];
    assert_eq!((&format["type"], &schema["additionalProperties"]), (&json!("json_schema"), &json!(false)), "{format}");
    assert_eq!(schema["required"], json!(["reason", "quote", "value"]));
    let properties = &schema["properties"];
    assert_eq!(properties["quote"], json!({"enum": ["Oui, dans un délai de deux mois.", ""]}));
    assert_eq!(properties["value"], json!({"enum": ["non", "oui", "n/a"]}));
    assert!(properties["reason"]["maxLength"].as_u64() > Some(0));
    std::fs::remove_file(folder.path().join("j.jsonl")).expect("another run");
    let pairs = format!("--criterion mieux --judge arbitre --candidate petit --against grand {families}");
    let told = run(folder.path(), judging(&engine, &pairs)).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    let schema = engine.last().json()["response_format"]["json_schema"]["schema"].clone();
    assert_eq!(schema["required"], json!(["reason", "quote_a", "quote_b", "winner"]), "{schema}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_whom_position_decides_makes_ties() {
    let engine = FakeEngine::start().await;
    let folder = answered(&engine).await;
    let first = json!({"reason": "r", "quote_a": "", "quote_b": "", "winner": "A"}).to_string();
    engine.script(Chat::text(&first));
    // One pair of the twelve is judged on what it says: the same answer wins in both orders.
    engine.next(Chat::text(&first));
    engine.next(Chat::text(&first.replace("\"A\"", "\"B\"")));
    let more = "--criterion mieux --judge arbitre --candidate petit --against grand --duels v.csv \
                --family petit=a --family grand=b --family arbitre=c";
    let told = run(folder.path(), judging(&engine, more)).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    let told: Value = serde_json::from_str(&told.out).expect("JSON");
    let count = &told["judged"]["judges"]["arbitre"];
    assert_eq!((&count["asked"], &count["order_decided"]), (&json!(24), &json!(11)), "{told}");
    let duels = std::fs::read_to_string(folder.path().join("v.csv")).expect("duels");
    assert_eq!((duels.matches(",tie,").count(), duels.matches(",first,").count()), (11, 1), "{duels}");
    let evidence = std::fs::read_to_string(folder.path().join("e.csv")).expect("evidence");
    assert_eq!(evidence.matches("mieux,tie,").count(), 11, "{evidence}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panel_decides_by_majority_and_families_never_judge_themselves() {
    let engine = FakeEngine::start().await;
    let folder = answered(&engine).await;
    engine.script_model("un", Chat::text(&verdict("oui", "deux mois")));
    engine.script_model("deux", Chat::text(&verdict("non", "")));
    engine.script_model("trois", Chat::text(&verdict("oui", "deux mois")));
    let families = "--family petit=a --family un=x --family deux=y --family trois=z";
    let three = format!("--criterion juste --judge un --judge deux --judge trois --candidate petit {families}");
    let told = run(folder.path(), judging(&engine, &three)).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    let csv = std::fs::read_to_string(folder.path().join("e.csv")).expect("evidence");
    assert_eq!(csv.matches("juste,oui,judge:judge-criterion@1").count(), 12, "{csv}");
    // Two who disagree decide nothing.
    let two =
        format!("--criterion juste --judge un --judge deux --candidate petit {families}").replace("j.jsonl", "k.jsonl");
    let mut split = judging(&engine, &two);
    split.iter_mut().filter(|word| *word == "j.jsonl").for_each(|word| *word = "k.jsonl".to_owned());
    let told = run(folder.path(), split).await;
    let told: Value = serde_json::from_str(&told.out).expect("JSON");
    assert_eq!(told["judged"]["undecided"], 12, "{told}");

    let posts = engine.posts();
    for (families, why) in [
        ("--family petit=a --family un=A", "ne note pas sa famille"),
        ("--family un=x", "n’est pas connue"),
        ("--family petit=a", "n’est pas connue"),
    ] {
        let words = format!("--criterion juste --judge un --candidate petit {families}");
        let refused = run(folder.path(), judging(&engine, &words)).await;
        assert!(refused.code == Some(1) && refused.err.contains(why), "{families}: {}", refused.err);
    }
    assert_eq!(engine.posts(), posts, "nothing is sent to a judge that may not judge");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_confidential_for_a_server_is_not_sent() {
    let engine = FakeEngine::start().await;
    let folder = folder(&[("d.jsonl", "{\"id\":\"a\",\"question\":\"Q ?\",\"data_class\":\"sensitive\"}\n")]);
    let refused = run(folder.path(), words(&engine, "--yes --up-to internal")).await;
    assert!(refused.code == Some(1) && refused.err.contains("--up-to"), "{}", refused.err);
    assert_eq!(engine.posts(), 0);
    let sent = run(folder.path(), words(&engine, "--yes --up-to sensitive")).await;
    assert_eq!((sent.code, engine.posts()), (Some(0), 1), "{}", sent.err);
}
