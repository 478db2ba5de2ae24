//! By hand: the word error rate of what is found of real files, scans read by `tesseract`. `GUICHET_TEST_DOCUMENTS` names a
//! folder of files, each `NAME.pdf` (or another format) beside a text to compare with, `NAME.reference.md`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tests::Backend;

use crate::ingestion::stand::{Stand, state};

/// A long scan takes minutes.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// How many words became others, were lost, were added.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Errors {
    all: usize,
    lost: usize,
    added: usize,
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: it needs files, and minutes"]
async fn words_of_real_files() {
    let folder = std::env::var_os("GUICHET_TEST_DOCUMENTS").expect("GUICHET_TEST_DOCUMENTS names a folder");
    let stand = Stand::with(Backend::Sqlite, "time: 10m", "  ocr: {kind: tesseract}\n").await;
    println!("| file | pages | words of the reference | lost or wrong | added | word error rate | seconds |");
    println!("|---|---|---|---|---|---|---|");
    let (mut sum, mut words) = (Errors::default(), 0);
    for (file, reference) in pairs(Path::new(&folder)) {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        let started = Instant::now();
        let id = stand.upload(&name, std::fs::read(&file).expect("a file")).await;
        let document = loop {
            let document = state(&stand.app, &stand.key, id).await;
            if document["status"] == "done" || document["status"] == "failed" {
                break document;
            }
            assert!(started.elapsed() < PATIENCE, "{document}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        if document["status"] == "failed" {
            println!("| {name} | – | – | – | – | {} | |", document["reason"]);
            continue;
        }
        let chunks = stand.chunks(id).await;
        let text: Vec<&str> = chunks.iter().filter_map(|chunk| chunk["content"].as_str()).collect();
        let wanted = tokens(&std::fs::read_to_string(&reference).expect("a reference"));
        let errors = compared(&wanted, &tokens(&text.join("\n")));
        let share = |count: usize| count as f64 / wanted.len().max(1) as f64;
        println!(
            "| {name} | {} | {} | {:.3} | {:.3} | {:.3} | {} |",
            document["pages"],
            wanted.len(),
            share(errors.lost),
            share(errors.added),
            share(errors.all),
            started.elapsed().as_secs()
        );
        words += wanted.len();
        sum = Errors { all: sum.all + errors.all, lost: sum.lost + errors.lost, added: sum.added + errors.added };
    }
    assert!(words > 0, "no file has a reference");
    let share = |count: usize| count as f64 / words as f64;
    println!("| all | | {words} | {:.3} | {:.3} | {:.3} | |", share(sum.lost), share(sum.added), share(sum.all));
}

/// Files and what they are compared with, by name.
fn pairs(folder: &Path) -> Vec<(PathBuf, PathBuf)> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files = entries.map(|entry| entry.expect("an entry").path());
    let mut pairs: Vec<_> = files
        .filter(|file| !file.to_string_lossy().ends_with(".reference.md"))
        .map(|file| (file.with_extension("reference.md"), file))
        .filter_map(|(reference, file)| reference.exists().then_some((file, reference)))
        .collect();
    pairs.sort();
    pairs
}

/// Words in lower case, without punctuation, marks of Markdown or commands of TeX.
fn tokens(text: &str) -> Vec<String> {
    let mut plain = String::with_capacity(text.len());
    let mut command = false;
    for letter in text.chars() {
        command = letter == '\\' || (command && letter.is_ascii_alphabetic());
        plain.push(if command { ' ' } else { letter });
    }
    let words = plain.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// The least changes that make one list of words the other.
fn compared(wanted: &[String], found: &[String]) -> Errors {
    let added = |errors: Errors| Errors { all: errors.all + 1, added: errors.added + 1, ..errors };
    let lost = |errors: Errors| Errors { all: errors.all + 1, lost: errors.lost + 1, ..errors };
    let mut row: Vec<Errors> = vec![Errors::default()];
    for nth in 0..found.len() {
        row.push(added(row[nth]));
    }
    for word in wanted {
        let mut last = row[0];
        row[0] = lost(last);
        for (nth, other) in found.iter().enumerate() {
            let kept = if word == other { last } else { lost(last) };
            last = row[nth + 1];
            row[nth + 1] = kept.min(lost(last)).min(added(row[nth]));
        }
    }
    row[found.len()]
}

#[test]
fn changes_are_counted() {
    let counted = |wanted: &str, found: &str| {
        let Errors { all, lost, added } = compared(&tokens(wanted), &tokens(found));
        (all, lost, added)
    };
    assert_eq!(counted("Le **préfet** arrête :", "le préfet, arrête"), (0, 0, 0));
    assert_eq!(counted("le préfet arrête ceci", "le prefet arrête"), (2, 2, 0));
    assert_eq!(counted("le préfet", "vu le code, le préfet"), (3, 0, 3));
    assert_eq!(counted(r"Arrêté $\mathbf{n}^{\circ}$ 5", "Arrêté n° 5"), (0, 0, 0));
}
