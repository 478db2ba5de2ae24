//! `guichet serve` where there is nothing yet.

use serde_json::Value;
use tempfile::TempDir;
use tests::process::{command, guichet, said};

use crate::cli::{Serving, shell};

#[test]
fn on_an_empty_folder_it_just_starts_and_says_what_to_do_next() {
    let folder = TempDir::new().expect("a folder");
    let serving = Serving::start(folder.path(), &[]);
    let greeting = serving.greeting.join("\n");
    assert!(greeting.starts_with("Guichet répond à http://127.0.0.1:"), "{greeting}");
    for words in ["guichet init", "admin.key", "Aucun modèle", "/reference"] {
        assert!(greeting.contains(words), "{words}: {greeting}");
    }
    assert!(!greeting.contains("gct_"), "the key is in its file, not on the screen: {greeting}");
    assert!(folder.path().join("guichet-data/guichet.db").exists());

    // What it says to do next works as it is said, in the same folder, while it serves.
    let next: Vec<&str> = serving.greeting.iter().filter_map(|line| line.strip_prefix("  ")).collect();
    assert!(next.iter().all(|line| line.starts_with("guichet ")) && next.len() == 4, "{next:?}");
    let done = said(&mut shell(folder.path(), &next.join("\n")));
    assert_eq!(done.code, Some(0), "{done:?}");
    let key = done.out.lines().last().expect("a key");
    let asked = format!("curl -sS --fail {}/v1/me -H 'Authorization: Bearer {key}'", serving.url);
    let me: Value = serde_json::from_str(&said(&mut shell(folder.path(), &asked)).out).expect("JSON");
    assert_eq!((me["kind"].as_str(), me["project"].as_str()), (Some("project"), Some("docs")), "{me}");
}

#[test]
fn it_speaks_english_when_told_so_and_says_less_the_second_time() {
    let folder = TempDir::new().expect("a folder");
    let english = [("GUICHET__LANGUAGE", "en")];
    let serving = Serving::start(folder.path(), &english);
    assert!(serving.greeting[0].starts_with("Guichet answers at http://127.0.0.1:"), "{:?}", serving.greeting);
    drop(serving);
    let again = Serving::start(folder.path(), &english);
    assert!(!again.greeting.join("\n").contains("admin.key"), "{:?}", again.greeting);
    again.signal("TERM");
}

#[test]
fn what_keeps_it_from_starting_is_said() {
    let folder = TempDir::new().expect("a folder");
    let serving = Serving::start(folder.path(), &[]);
    let taken = serving.url.trim_start_matches("http://");
    let other = TempDir::new().expect("a folder");
    let told = guichet(other.path(), &["serve", "--listen", taken]);
    assert_eq!((told.code, told.out.as_str()), (Some(1), ""), "{told:?}");
    assert!(told.err.contains(&format!("cannot listen on {taken}")), "{told:?}");

    let told = guichet(other.path(), &["serve", "--config", "absent.yaml"]);
    assert!(told.code == Some(1) && told.err.contains("absent.yaml") && told.err.contains("guichet init"), "{told:?}");

    std::fs::write(other.path().join("file"), "").expect("a file");
    let told = guichet(other.path(), &["serve", "--listen", "127.0.0.1:0", "--data", "file/data"]);
    assert!(told.code == Some(1) && told.err.contains("file/data"), "{told:?}");

    let url = "postgres://guichet:hunter2@127.0.0.1:1/guichet";
    let told =
        said(command(other.path()).args(["serve", "--listen", "127.0.0.1:0"]).env("GUICHET__DATABASE__URL", url));
    assert!(told.code == Some(1) && told.err.contains("database"), "{told:?}");
    assert!(!told.err.contains("hunter2"), "{told:?}");
}

#[test]
fn migrate_may_be_run_again_and_again() {
    let folder = TempDir::new().expect("a folder");
    for _ in 0..2 {
        let told = guichet(folder.path(), &["migrate"]);
        assert_eq!((told.code, told.err.as_str()), (Some(0), ""), "{told:?}");
    }
    assert!(folder.path().join("guichet-data/guichet.db").exists());
    let told = said(command(folder.path()).arg("migrate").env("GUICHET__DATABASE__URL", "mysql://x"));
    assert!(told.code == Some(1) && told.err.contains("sqlite"), "{told:?}");
}
