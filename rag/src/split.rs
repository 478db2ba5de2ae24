//! A document into chunks: by its structure first, then by size.
//!
//! A document that fits is one chunk. Else it is cut at its headings, from the highest down, and a section that fits
//! stays whole: a long article and a short fiche alike. A section that does not is cut between blocks, then lines,
//! sentences, words; neighbours are gathered as long as they fit. A heading stays with what it heads.
//!
//! Each chunk is a byte range of the document's text ([`Document::render`]). Without overlap the chunks of a document,
//! one after the other, are the document, but for blanks between them.

mod cut;
mod options;
mod pieces;

#[cfg(test)]
mod tests;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::document::{Document, Rendered};

pub use cut::sentence_ends;
pub use options::{BadOptions, Options, Separators};

/// Counts the tokens of a text, as the embedding model does.
pub trait Tokenizer {
    fn count(&self, text: &str) -> usize;
}

impl<F: Fn(&str) -> usize> Tokenizer for F {
    fn count(&self, text: &str) -> usize {
        self(text)
    }
}

/// Sizes in characters, as Albert API's `chunk_size` is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Characters;

impl Tokenizer for Characters {
    fn count(&self, text: &str) -> usize {
        text.chars().count()
    }
}

/// A piece of a document, fit to be embedded and cited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    pub text: String,
    /// Its bytes in the document's text.
    pub range: Range<usize>,
    /// The document's title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The headings it is under, the highest first.
    pub headings: Vec<String>,
    /// Its first page and its last, for documents that have pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_page: Option<u32>,
}

/// Cuts a document; sizes are counted by `tokenizer`.
///
/// # Errors
/// [`BadOptions`], for sizes that contradict each other or a separator that is no regular expression.
pub fn split(document: &Document, options: &Options, tokenizer: &dyn Tokenizer) -> Result<Vec<Chunk>, BadOptions> {
    let steps = options.steps()?;
    let rendered = document.render();
    let text = &rendered.text;
    let ranges = match &options.separators {
        Separators::Whole => vec![pieces::trimmed(text, 0..text.len())],
        _ => pieces::Cutter { document, rendered: &rendered, options, tokenizer, steps: &steps }.pieces(),
    };
    let paths = paths(document);
    let chunk = |range: Range<usize>| chunk(document, &rendered, &paths, range);
    Ok(ranges.into_iter().filter(|range| !range.is_empty()).map(chunk).collect())
}

fn chunk(document: &Document, rendered: &Rendered, paths: &[Vec<usize>], range: Range<usize>) -> Chunk {
    let first = rendered.blocks.partition_point(|block| block.end <= range.start);
    let last = rendered.blocks.partition_point(|block| block.start < range.end);
    let blocks = document.blocks.get(first..last).unwrap_or_default();
    let paths = paths.get(first..last).unwrap_or_default();
    let content = |heads: bool| {
        let both = blocks.iter().zip(paths);
        both.filter(move |(block, _)| block.level().is_some() == heads).map(|(_, path)| path.as_slice())
    };
    // The headings that all of its content is under; those of a chunk of headings alone otherwise.
    let common = common(content(false)).or_else(|| common(content(true))).unwrap_or_default();
    let heading = |nth: &usize| document.blocks.get(*nth).map(|block| block.text.clone());
    Chunk {
        text: rendered.text.get(range.clone()).unwrap_or_default().to_owned(),
        range,
        title: document.title.clone(),
        headings: common.iter().filter_map(heading).collect(),
        page: blocks.iter().find_map(|block| block.page),
        last_page: blocks.iter().rev().find_map(|block| block.page),
    }
}

/// For each block, the headings (by their place) that it is under, its own included.
fn paths(document: &Document) -> Vec<Vec<usize>> {
    let mut stack: Vec<(u8, usize)> = Vec::new();
    let under = |(nth, block): (usize, &crate::Block)| {
        if let Some(level) = block.level() {
            stack.retain(|(above, _)| *above < level);
            stack.push((level, nth));
        }
        stack.iter().map(|(_, nth)| *nth).collect()
    };
    document.blocks.iter().enumerate().map(under).collect()
}

/// The beginning that all of them share; `None` when there are none.
fn common<'a>(mut paths: impl Iterator<Item = &'a [usize]>) -> Option<&'a [usize]> {
    let first = paths.next()?;
    let length = paths.fold(first.len(), |length, path| {
        first.iter().zip(path).take(length).take_while(|(one, other)| one == other).count()
    });
    first.get(..length)
}
