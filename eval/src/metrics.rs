//! Automatic evidence: what a program can say of an answer, alone or beside a reference.

pub mod bleu;
pub mod chrf;
pub mod citation;
pub mod edit;
pub mod format;
pub mod retrieval;
pub mod rouge;

use std::collections::HashMap;
use std::hash::Hash;

use unicode_normalization::UnicodeNormalization;

/// A text as a reader sees it: composed letters (NFC), any run of white space (no-break ones too) as one space, none at
/// the ends.
pub fn readable(text: &str) -> String {
    let composed: String = text.nfc().collect();
    let mut out = String::with_capacity(composed.len());
    for word in composed.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// How often each run of `n` items comes.
fn grams<T: Eq + Hash>(items: &[T], n: usize) -> HashMap<&[T], u32> {
    let mut counts = HashMap::new();
    for gram in items.windows(n) {
        *counts.entry(gram).or_insert(0) += 1;
    }
    counts
}

/// Runs that both hold, each as often as the one that has it least.
fn shared<T: Eq + Hash>(one: &HashMap<&[T], u32>, other: &HashMap<&[T], u32>) -> u32 {
    one.iter().map(|(gram, count)| *count.min(other.get(gram).unwrap_or(&0))).sum()
}
