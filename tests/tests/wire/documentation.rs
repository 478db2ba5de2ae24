//! `docs/wire.md` names, on each of its lines, the tests that hold it; they must be there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The lines of `docs/wire.md` that say something: list items (with what is indented under them) and rows of tables.
fn lines() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("docs/wire.md")).expect("docs/wire.md");
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let row = line.starts_with('|') && line.bytes().any(|byte| byte.is_ascii_alphanumeric());
        match lines.last_mut() {
            Some(last) if line.starts_with("  ") => *last += line,
            _ if line.starts_with("- ") || (row && !line.starts_with("| status ")) => lines.push(line.to_owned()),
            _ => {}
        }
    }
    lines
}

/// The tests a line names: paths between backquotes.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|word| word.contains("::") && !word.contains(' '))
}

/// Whether `wire::streams::name` is a test of `tests/tests/wire/streams.rs`, or of `wire/mod.rs`.
fn exists(path: &str) -> bool {
    let parts: Vec<&str> = path.split("::").collect();
    let Some((name, modules)) = parts.split_last() else { return false };
    let file = root().join("tests/tests").join(modules.join("/"));
    let sources = [file.with_extension("rs"), file.join("mod.rs")];
    let Some(source) = sources.iter().find_map(|source| std::fs::read_to_string(source).ok()) else { return false };
    let tested = [format!("fn {name}("), format!("{name} => ")];
    tested.iter().any(|text| source.contains(text.as_str()))
}

#[test]
fn each_line_of_the_wire_names_a_test_that_exists() {
    let lines = lines();
    assert!(lines.len() > 40, "{}", lines.len());
    for line in &lines {
        assert!(named(line).next().is_some(), "names no test: {line}");
        for path in named(line) {
            assert!(exists(path), "`{path}` does not exist: {line}");
        }
    }
    assert!(!exists("wire::streams::nothing_of_that_name") && !exists("nowhere::at_all"), "the check itself");
}

/// A test of the wire that no line names holds something that the page does not say.
#[test]
fn each_test_of_the_wire_is_named_by_a_line() {
    let lines = lines();
    let named: BTreeSet<&str> = lines.iter().flat_map(|line| named(line)).collect();
    for module in [
        "requests",
        "answers",
        "streams",
        "errors",
        "mistral",
        "embeddings",
        "rerank",
        "models",
        "completions",
        "prompts",
        "routes",
    ] {
        let source = root().join(format!("tests/tests/wire/{module}.rs"));
        let source = std::fs::read_to_string(source).expect(module);
        for rest in source.split("#[tokio::test]\nasync fn ").skip(1) {
            let (name, _) = rest.split_once('(').expect("a function");
            let path = format!("wire::{module}::{name}");
            assert!(named.contains(path.as_str()), "docs/wire.md does not name `{path}`");
        }
    }
}
