//! What a file says, once read: blocks in reading order, and what each page was.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::Language;

/// A file, read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The title its author gave it, else its first heading.
    pub title: Option<String>,
    /// The language most of it is in, when it is one we know.
    pub language: Option<Language>,
    pub blocks: Vec<Block>,
    /// One entry a page, for formats that have pages; page `n` is `pages[n - 1]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pages: Vec<PageState>,
}

/// A heading, a paragraph, a list, a table: what belongs together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    #[serde(flatten)]
    pub kind: BlockKind,
    /// Without marks for headings and paragraphs; lists, tables and code keep Markdown's.
    pub text: String,
    /// Counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BlockKind {
    /// Level 1 to 6.
    Heading {
        level: u8,
    },
    Paragraph,
    List,
    Table,
    Code,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageState {
    /// It has a text layer.
    Text,
    /// It shows something, and has no text layer worth the name: it is for OCR.
    Scan,
    /// Nothing is on it.
    Empty,
}

/// A document as one text, with where each block is in it. Blocks are parted by a blank line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    pub text: String,
    /// In step with [`Document::blocks`]; a heading's range includes its `#` marks.
    pub blocks: Vec<Range<usize>>,
}

impl Block {
    pub fn new(kind: BlockKind, text: impl Into<String>) -> Block {
        Block { kind, text: text.into(), page: None }
    }

    pub fn heading(level: u8, text: impl Into<String>) -> Block {
        Block::new(BlockKind::Heading { level: level.clamp(1, 6) }, text)
    }

    pub fn paragraph(text: impl Into<String>) -> Block {
        Block::new(BlockKind::Paragraph, text)
    }

    /// A heading's level.
    pub fn level(&self) -> Option<u8> {
        match self.kind {
            BlockKind::Heading { level } => Some(level),
            _ => None,
        }
    }
}

impl Document {
    /// The whole as Markdown-like text. Chunks are byte ranges of this.
    pub fn render(&self) -> Rendered {
        let mut text = String::new();
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            let start = text.len();
            if let Some(level) = block.level() {
                text.extend(std::iter::repeat_n('#', usize::from(level)));
                text.push(' ');
            }
            text.push_str(&block.text);
            blocks.push(start..text.len());
        }
        Rendered { text, blocks }
    }

    /// The numbers of the pages in this state.
    pub fn pages_in(&self, state: PageState) -> Vec<u32> {
        (1..).zip(&self.pages).filter(|(_, found)| **found == state).map(|(number, _)| number).collect()
    }

    /// What the parsers leave to one place: title and language where they found none.
    pub(crate) fn finish(mut self) -> Document {
        let titled = self.title.take().map(|title| one_line(&title)).filter(|title| is_title(title));
        self.title = titled.or_else(|| {
            let first = self.blocks.iter().find(|block| block.level().is_some())?;
            Some(one_line(&first.text)).filter(|title| !title.is_empty())
        });
        self.language = Language::of_blocks(self.blocks.iter().map(|block| block.text.as_str()));
        self
    }
}

/// Word processors leave their own words there: the name of a file, « Microsoft Word - … », a template's.
fn is_title(title: &str) -> bool {
    let lower = title.to_lowercase();
    let is_file = [".doc", ".docx", ".odt", ".pdf", ".rtf", ".tmp", ".dot", ".xls", ".xlsx", ".indd", ".tif"]
        .iter()
        .any(|end| lower.ends_with(end));
    let is_default =
        ["microsoft ", "untitled", "sans titre", "sans nom", "document1"].iter().any(|s| lower.starts_with(s));
    title.chars().filter(|c| c.is_alphabetic()).count() >= 3 && !is_file && !is_default
}

/// Blanks folded into one space, so that a title is one line.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}
