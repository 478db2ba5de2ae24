//! The corpus of every fuzz target, replayed: what once was found, or is worth starting from, holds on every run.
//! `make fuzz` looks for more.

#![expect(clippy::expect_used, reason = "in tests, a panic is how a failure is told")]

#[path = "../fuzz/src/checks.rs"]
mod checks;

use std::path::{Path, PathBuf};

/// Calls a target with each file of its corpus.
/// The first `cut` bytes of each, too, cut at every place.
fn replay(name: &str, target: fn(&[u8]), cut: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).expect("a corpus").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{}: {} files", folder.display(), files.len());
    for file in files {
        let bytes = std::fs::read(&file).expect("it is read");
        let held = std::panic::catch_unwind(|| target(&bytes));
        assert!(held.is_ok(), "{}", file.display());
        for end in 0..bytes.len().min(cut) {
            target(&bytes[..end]);
        }
    }
}

#[test]
fn head() {
    replay("head", checks::head, 400);
}

#[test]
fn stream() {
    replay("stream", checks::stream, 400);
}

#[test]
fn answers() {
    replay("answers", checks::answers, 400);
}

#[test]
fn key() {
    replay("key", checks::key, 400);
}

#[test]
fn config() {
    replay("config", checks::config, 0);
}
