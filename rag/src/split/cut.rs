//! Where a text may be cut, step by step finer.

use std::ops::Range;

use regex::Regex;

use crate::document::{Document, Rendered};

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Before headings of this level and higher ones.
    Heading(u8),
    Block,
    Line,
    Sentence,
    Literal(String),
    Pattern(Regex),
    Word,
    Character,
}

impl Step {
    /// Offsets strictly inside `range` at which a new part may begin, ascending. None for [`Step::Character`].
    pub fn cuts(&self, document: &Document, rendered: &Rendered, range: &Range<usize>) -> Vec<usize> {
        let text = rendered.text.get(range.clone()).unwrap_or_default();
        let inside = |at: usize| range.start + at;
        let mut cuts: Vec<usize> = match self {
            Step::Heading(level) => {
                let heads = document.blocks.iter().zip(&rendered.blocks);
                heads.filter(|(block, _)| block.level().is_some_and(|l| l <= *level)).map(|(_, r)| r.start).collect()
            }
            Step::Block => rendered.blocks.iter().map(|block| block.start).collect(),
            Step::Line => text.match_indices('\n').map(|(at, _)| inside(at + 1)).collect(),
            Step::Sentence => sentence_ends(text).map(inside).collect(),
            Step::Literal(separator) => text.match_indices(separator.as_str()).map(|(at, _)| inside(at)).collect(),
            Step::Pattern(pattern) => pattern.find_iter(text).map(|found| inside(found.start())).collect(),
            Step::Word => text.match_indices(char::is_whitespace).map(|(at, b)| inside(at + b.len())).collect(),
            Step::Character => Vec::new(),
        };
        cuts.retain(|at| range.start < *at && *at < range.end);
        cuts.dedup();
        cuts
    }
}

/// Words whose full stop ends no sentence.
const ABBREVIATIONS: [&str; 16] =
    ["al", "app", "art", "av", "bd", "cf", "chap", "dr", "ex", "mlle", "mme", "mr", "no", "réf", "sect", "tél"];

/// Offsets after the end of each sentence: a full stop that follows a word of more than one letter or a number and is
/// followed by a blank and something that begins a sentence. So « L. 1234-5 », « M. Martin » and « art. 3 » stay whole.
pub fn sentence_ends(text: &str) -> impl Iterator<Item = usize> {
    text.match_indices(['.', '!', '?', '…', ';']).filter_map(move |(at, mark)| {
        let after = at + mark.len();
        let rest = text.get(after..)?;
        let blank = rest.len() - rest.trim_start().len();
        let next = rest.trim_start().chars().next()?;
        let before = text.get(..at)?;
        let letters =
            before.chars().rev().take_while(|c| c.is_alphanumeric()).take(6).map(char::len_utf8).sum::<usize>();
        let word = before.get(at - letters..)?.to_lowercase();
        let begins =
            next.is_uppercase() || matches!(next, '«' | '“' | '"' | '(' | '-' | '–' | '•' | '#') || mark == ";";
        let letter = word.chars().nth(1).is_none() && !word.ends_with(|c: char| c.is_ascii_digit());
        let ends = mark != "." || !(letter || ABBREVIATIONS.contains(&word.as_str()));
        (blank > 0 && begins && ends).then_some(after + blank)
    })
}
