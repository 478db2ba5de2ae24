//! Text on its way from a format's events to blocks: what HTML, Markdown, DOCX and ODT have in common.
//!
//! A refusal stops it from growing and is told at the end, so that event handlers need no error path.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::Refusal;
use super::budget::Budget;
use crate::document::{Block, BlockKind, one_line};

pub(crate) struct Flow<'a> {
    budget: &'a Budget<'a>,
    blocks: Vec<Block>,
    refused: Option<Refusal>,
    /// The paragraph, item or cell being written.
    line: String,
    heading: Option<u8>,
    /// The lists around, outermost first: the next number of those that are numbered.
    lists: Vec<Option<u64>>,
    /// The open item has its mark; further paragraphs in it are indented below.
    marked: bool,
    list: String,
    tables: Vec<Vec<Vec<String>>>,
    code: bool,
}

impl<'a> Flow<'a> {
    pub fn new(budget: &'a Budget<'a>) -> Flow<'a> {
        Flow {
            budget,
            blocks: Vec::new(),
            refused: None,
            line: String::new(),
            heading: None,
            lists: Vec::new(),
            marked: false,
            list: String::new(),
            tables: Vec::new(),
            code: false,
        }
    }

    /// Whether to stop: what comes is no longer kept.
    pub fn refused(&self) -> bool {
        self.refused.is_some()
    }

    pub fn refuse(&mut self, refusal: Refusal) {
        self.refused.get_or_insert(refusal);
    }

    /// How many blocks are complete; a paragraph under way is not.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    pub fn text(&mut self, text: &str) {
        match self.budget.text(text.len()) {
            Ok(()) if self.refused.is_none() => self.line.push_str(text),
            Ok(()) => {}
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// A line break inside a paragraph.
    pub fn newline(&mut self) {
        self.text("\n");
    }

    /// Ends what is being written: a block, a paragraph of an item or of a cell.
    pub fn boundary(&mut self) {
        let line = std::mem::take(&mut self.line);
        if self.code {
            return self.emit(BlockKind::Code, clean_code(&line));
        }
        let text = clean(&line);
        if text.is_empty() {
            return;
        }
        if let Some(table) = self.tables.last_mut() {
            let row = match table.last_mut() {
                Some(row) => row,
                None => table.push_mut(Vec::new()),
            };
            let cell = match row.last_mut() {
                Some(cell) => cell,
                None => row.push_mut(String::new()),
            };
            if !cell.is_empty() {
                cell.push(' ');
            }
            cell.push_str(&one_line(&text));
        } else if let Some(level) = self.heading {
            let title = one_line(&text);
            self.end_list();
            self.emit(BlockKind::Heading { level }, title);
        } else if self.lists.is_empty() {
            self.emit(BlockKind::Paragraph, text);
        } else {
            self.item_text(&text);
        }
    }

    fn item_text(&mut self, text: &str) {
        let indent = "  ".repeat(self.lists.len().saturating_sub(1).min(8));
        if !self.list.is_empty() {
            self.list.push('\n');
        }
        self.list.push_str(&indent);
        if self.marked {
            self.list.push_str("  ");
        } else {
            self.marked = true;
            match self.lists.last_mut() {
                Some(Some(number)) => {
                    self.list.push_str(&format!("{number}. "));
                    *number = number.saturating_add(1);
                }
                _ => self.list.push_str("- "),
            }
        }
        let below = format!("\n{indent}  ");
        self.list.push_str(&text.replace('\n', &below));
    }

    /// A whole block at once, not part of the flow around it.
    pub fn push(&mut self, kind: BlockKind, text: &str) {
        self.boundary();
        self.text(text);
        let line = std::mem::take(&mut self.line);
        self.end_list();
        self.emit(kind, if kind == BlockKind::Code { clean_code(&line) } else { clean(&line) });
    }

    fn emit(&mut self, kind: BlockKind, text: String) {
        if !text.is_empty() && self.refused.is_none() {
            self.blocks.push(Block::new(kind, text));
        }
    }

    pub fn open_heading(&mut self, level: u8) {
        self.boundary();
        self.heading = Some(level.clamp(1, 6));
    }

    pub fn close_heading(&mut self) {
        self.boundary();
        self.heading = None;
    }

    /// A list; `Some(first)` when it is numbered.
    pub fn open_list(&mut self, first: Option<u64>) {
        self.boundary();
        self.lists.push(first);
        self.marked = false;
        if let Err(refusal) = self.budget.depth(self.lists.len()) {
            self.refuse(refusal);
            self.lists.pop();
        }
    }

    pub fn close_list(&mut self) {
        self.boundary();
        self.lists.pop();
        if self.lists.is_empty() {
            self.end_list();
        }
        // What follows a nested list belongs to the item around it.
        self.marked = true;
    }

    pub fn open_item(&mut self) {
        self.boundary();
        self.marked = false;
    }

    pub fn list_depth(&self) -> usize {
        self.lists.len()
    }

    /// The text being written turned out to be outside all lists.
    pub fn abandon_lists(&mut self) {
        self.lists.clear();
        self.end_list();
    }

    fn end_list(&mut self) {
        let list = std::mem::take(&mut self.list);
        self.emit(BlockKind::List, list);
    }

    pub fn open_table(&mut self) {
        self.boundary();
        if self.tables.is_empty() {
            self.end_list();
        }
        self.tables.push(Vec::new());
        if let Err(refusal) = self.budget.depth(self.tables.len()) {
            self.refuse(refusal);
            self.tables.pop();
        }
    }

    pub fn open_row(&mut self) {
        self.boundary();
        if let Some(table) = self.tables.last_mut() {
            table.push(Vec::new());
        }
    }

    pub fn open_cell(&mut self) {
        self.boundary();
        if let Some(row) = self.tables.last_mut().and_then(|table| table.last_mut()) {
            row.push(String::new());
        }
    }

    pub fn in_table(&self) -> bool {
        !self.tables.is_empty()
    }

    /// A table in a cell becomes text of that cell; a table of one column, what its cells say one after the other.
    pub fn close_table(&mut self) {
        self.boundary();
        let Some(mut rows) = self.tables.pop() else { return };
        rows.retain(|row| row.iter().any(|cell| !cell.is_empty()));
        if self.in_table() {
            for cell in rows.into_iter().flatten() {
                self.line.push_str(&cell);
                self.boundary();
            }
        } else if rows.iter().all(|row| row.len() == 1) {
            for cell in rows.into_iter().flatten() {
                self.emit(BlockKind::Paragraph, cell);
            }
        } else {
            self.emit(BlockKind::Table, table_text(&rows));
        }
    }

    pub fn open_code(&mut self) {
        self.boundary();
        if !self.in_table() {
            self.end_list();
            self.code = true;
        }
    }

    pub fn close_code(&mut self) {
        self.boundary();
        self.code = false;
    }

    pub fn finish(mut self) -> Result<Vec<Block>, Refusal> {
        self.code = false;
        self.boundary();
        while self.in_table() {
            self.close_table();
        }
        self.end_list();
        match self.refused {
            Some(refusal) => Err(refusal),
            None => Ok(self.blocks),
        }
    }
}

/// Rows of a Markdown table, the first one its head.
pub(crate) fn table_text(rows: &[Vec<String>]) -> String {
    let width = rows.iter().map(Vec::len).max().unwrap_or_default();
    let mut text = String::new();
    for (nth, row) in rows.iter().enumerate() {
        if nth > 0 {
            text.push('\n');
        }
        if nth == 1 {
            text.push('|');
            text.push_str(&" --- |".repeat(width));
            text.push('\n');
        }
        text.push('|');
        for column in 0..width {
            let cell = row.get(column).map_or("", String::as_str);
            text.push(' ');
            text.push_str(&cell.replace('|', "\\|"));
            text.push_str(" |");
        }
    }
    text
}

/// Blanks of any sort become one space, invisible marks go, accents are composed. Line breaks stay, blank lines go.
pub(crate) fn clean(text: &str) -> String {
    let composed = composed(text);
    let mut out = String::with_capacity(composed.len());
    for line in composed.lines() {
        let start = out.len();
        let mut blank = false;
        for c in line.chars().filter(|c| !is_invisible(*c)) {
            if c.is_whitespace() || c.is_control() {
                blank = true;
                continue;
            }
            if blank && out.len() > start {
                out.push(' ');
            } else if out.len() == start && start > 0 {
                out.push('\n');
            }
            blank = false;
            out.push(c);
        }
    }
    out
}

fn clean_code(text: &str) -> String {
    let kept: String = text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect();
    let from = kept.len() - kept.trim_start_matches(['\n', '\r']).len();
    kept.get(from..).unwrap_or_default().trim_end().to_owned()
}

fn composed(text: &str) -> std::borrow::Cow<'_, str> {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => text.into(),
        _ => text.nfc().collect::<String>().into(),
    }
}

/// Soft hyphens, zero-width marks, byte order marks.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{202a}'..='\u{202e}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_accents_are_made_one() {
        assert_eq!(
            clean("  Arre\u{302}te\u{301}\u{a0}: \t3\u{202f}000\n\n\n  suite\u{ad} fin \n"),
            "Arrêté : 3 000\nsuite fin"
        );
        assert_eq!(clean(" \n\u{200b}\n"), "");
    }

    #[test]
    fn tables_are_markdown() {
        let rows = vec![vec!["a".to_owned(), "b|c".to_owned()], vec!["1".to_owned()]];
        assert_eq!(table_text(&rows), "| a | b\\|c |\n| --- | --- |\n| 1 |  |");
    }
}
