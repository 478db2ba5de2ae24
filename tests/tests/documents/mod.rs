//! `guichet document` as a shell sees it, and files read in a process of their own.

#![expect(clippy::expect_used, clippy::panic, reason = "in tests, a panic is how a failure is told")]

use std::path::Path;
use std::process::{Command, Output};

use bytes::Bytes;
use guichet::ingest::{ParseError, Worker};
use rag::{Limits, Refusal};
use tempfile::TempDir;
use tests::process::binary;

fn shell(folder: &Path, script: &str) -> Output {
    let programs = binary();
    let programs = programs.parent().expect("its folder").display();
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new("sh")
        .args(["-euc", script])
        .current_dir(folder)
        .env("PATH", format!("{programs}:{path}"))
        .output()
        .expect("a shell")
}

/// The page's examples, run one after the other; each says what the page says it says.
#[test]
fn the_page_of_the_docs_is_true() {
    let page = include_str!("../../../docs/documents.md");
    let folder = TempDir::new().expect("a folder");
    let mut examples = 0;
    let mut parts = page.split("```sh\n").skip(1);
    while let Some((script, rest)) = parts.next().and_then(|part| part.split_once("```\n")) {
        let (_, answer) = rest.split_once("```text\n").expect("an answer after the command");
        let (answer, _) = answer.split_once("```").expect("the end of the answer");
        let output = shell(folder.path(), script);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, answer, "{script}\n{}", String::from_utf8_lossy(&output.stderr));
        examples += 1;
    }
    assert_eq!(examples, 4);
}

#[test]
fn a_refusal_is_a_failure_in_both_languages() {
    let folder = TempDir::new().expect("a folder");
    let output = shell(folder.path(), "printf '%%PDF-1.7 rien' > a.pdf; guichet document parse a.pdf");
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(told, "Le fichier (PDF) est endommagé ou incomplet. / The file (PDF) is damaged or incomplete.\n");
    let absent = shell(folder.path(), "guichet document parse nowhere.pdf");
    assert!(!absent.status.success());
    assert!(String::from_utf8_lossy(&absent.stderr).starts_with("nowhere.pdf: "));
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let folder = TempDir::new().expect("a folder");
    let script = "echo mot > a.txt; guichet document split a.txt --chunk-size 10 --chunk-overlap 10";
    let output = shell(folder.path(), script);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("chunk_overlap"));
}

async fn read(limits: Limits, memory: u64, name: &str, file: impl Into<Bytes>) -> Result<rag::Document, Refusal> {
    match Worker::with(binary(), limits, memory).parse(name, file.into()).await {
        Ok(document) => Ok(document),
        Err(ParseError::Refused(refusal)) => Err(refusal),
        Err(ParseError::Failed(error)) => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_process_answers_as_the_library_does() {
    let text = "Le préfet est chargé de l’exécution du présent arrêté.";
    let document = read(Limits::default(), 2 << 30, "a.txt", text).await;
    assert_eq!(document, rag::parse(text.as_bytes(), "a.txt", &Limits::default()));
    let refusal = read(Limits::default(), 2 << 30, "a.txt", "\u{0}\u{1}\u{2}").await;
    assert_eq!(refusal, Err(Refusal::UnknownKind));
}

#[tokio::test]
async fn memory_is_bounded() {
    // Values take many times their text.
    let hungry = format!("[{}1]", "[[]],".repeat(4 << 20));
    let limit = 512 << 20;
    let refusal = read(Limits::default(), limit, "a.json", hungry).await;
    assert_eq!(refusal, Err(Refusal::TooMuchMemory { limit }));
}
