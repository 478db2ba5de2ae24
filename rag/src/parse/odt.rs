//! ODT (LibreOffice): headings, paragraphs, lists, tables, notes where they are called.

use super::Refusal;
use super::archive::Archive;
use super::budget::Budget;
use super::flow::Flow;
use super::xml::{self, Node};
use crate::document::Document;

const KIND: &str = "ODT";

/// What is in the file and not in the text: deletions kept for the record, remarks, layout.
const SKIPPED: [&str; 5] = ["tracked-changes", "annotation", "forms", "note-citation", "sequence-decls"];

pub(crate) fn parse(bytes: &[u8], budget: &Budget) -> Result<Document, Refusal> {
    let mut archive = Archive::open(bytes, KIND)?;
    if let Some(manifest) = archive.text("META-INF/manifest.xml", budget)?
        && manifest.contains("encryption-data")
    {
        return Err(Refusal::encrypted(KIND));
    }
    let content = archive.text("content.xml", budget)?.ok_or_else(|| Refusal::broken(KIND))?;
    let mut body = Body { flow: Flow::new(budget), skipping: 0, inside: 0 };
    xml::walk(&content, KIND, budget, |node| {
        body.node(node);
        Ok(())
    })?;
    let blocks = body.flow.finish()?;
    let title = match archive.text("meta.xml", budget)? {
        Some(meta) => xml::first_text(&meta, "title", KIND, budget)?,
        None => None,
    };
    Ok(Document { title, blocks, ..Document::default() })
}

struct Body<'a> {
    flow: Flow<'a>,
    /// Open elements that are skipped.
    skipping: usize,
    /// Open paragraphs and headings: text outside them is blanks between tags.
    inside: usize,
}

impl Body<'_> {
    fn node(&mut self, node: Node<'_>) {
        match node {
            Node::Open(name, _) if SKIPPED.contains(&name) => self.skipping += 1,
            Node::Close(name) if SKIPPED.contains(&name) => self.skipping = self.skipping.saturating_sub(1),
            _ if self.skipping > 0 => {}
            Node::Open(name, attributes) => match name {
                "h" => {
                    let level = attributes.get("outline-level").and_then(|level| level.parse().ok());
                    self.flow.open_heading(level.unwrap_or(1));
                    self.inside += 1;
                }
                "p" => {
                    // The paragraphs of a note are inside the one that calls it.
                    if self.inside == 0 {
                        self.flow.boundary();
                    }
                    self.inside += 1;
                }
                "s" => {
                    let count = attributes.get("c").and_then(|count| count.parse().ok()).unwrap_or(1_usize);
                    self.flow.text(if count > 0 { " " } else { "" });
                }
                "tab" => self.flow.text(" "),
                "line-break" => self.flow.newline(),
                "list" => self.flow.open_list(None),
                "list-item" | "list-header" => self.flow.open_item(),
                "table" => self.flow.open_table(),
                "table-row" => self.flow.open_row(),
                "table-cell" | "covered-table-cell" => self.flow.open_cell(),
                // A note is told where it is called, in parentheses.
                "note-body" => self.flow.text(" ("),
                _ => {}
            },
            Node::Close(name) => match name {
                "h" => {
                    self.flow.close_heading();
                    self.inside = self.inside.saturating_sub(1);
                }
                "p" => {
                    self.inside = self.inside.saturating_sub(1);
                    if self.inside == 0 {
                        self.flow.boundary();
                    }
                }
                "list" => self.flow.close_list(),
                "table" => self.flow.close_table(),
                "note-body" => self.flow.text(")"),
                _ => {}
            },
            Node::Text(text) if self.inside > 0 => self.flow.text(text),
            Node::Text(_) => {}
        }
    }
}
