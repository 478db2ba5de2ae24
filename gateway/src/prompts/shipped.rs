//! The prompt files compiled into the binary. A test compares this table with the folder.

use super::file::Source;

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../prompts/", $name)))),+]
    };
}

pub(super) const FILES: &[(&str, &[u8])] = files![
    "docs-beautify.en.md.j2",
    "docs-beautify.fr.md.j2",
    "docs-correct.en.md.j2",
    "docs-correct.fr.md.j2",
    "docs-emojify.en.md.j2",
    "docs-emojify.fr.md.j2",
    "docs-prompt.en.md.j2",
    "docs-prompt.fr.md.j2",
    "docs-rephrase.en.md.j2",
    "docs-rephrase.fr.md.j2",
    "docs-summarise.en.md.j2",
    "docs-summarise.fr.md.j2",
    "docs-translate.en.md.j2",
    "docs-translate.fr.md.j2",
    "judge-criterion.en.md.j2",
    "judge-criterion.fr.md.j2",
    "judge-pair.en.md.j2",
    "judge-pair.fr.md.j2",
    "rag-answer.en.md.j2",
    "rag-answer.fr.md.j2",
    "rag-rewrite.en.md.j2",
    "rag-rewrite.fr.md.j2",
];

pub(super) fn sources() -> Vec<Source> {
    FILES.iter().map(|(name, bytes)| Source { name: (*name).to_owned(), bytes: bytes.to_vec() }).collect()
}
