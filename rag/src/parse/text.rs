//! Plain text: paragraphs parted by blank lines, lines kept.

use super::budget::Budget;
use super::flow::Flow;
use super::{Refusal, encoding};
use crate::document::{BlockKind, Document};

pub(crate) fn parse(bytes: &[u8], budget: &Budget) -> Result<Document, Refusal> {
    let text = encoding::decode(bytes, None).0;
    let mut flow = Flow::new(budget);
    paragraphs(&text, &mut flow);
    Ok(Document { blocks: flow.finish()?, ..Document::default() })
}

pub(crate) fn paragraphs(text: &str, flow: &mut Flow<'_>) {
    let mut paragraph = String::new();
    for line in text.lines() {
        if !line.trim().is_empty() {
            paragraph.push_str(line);
            paragraph.push('\n');
        } else if !paragraph.is_empty() {
            flow.push(BlockKind::Paragraph, &paragraph);
            paragraph.clear();
        }
        if flow.refused() {
            return;
        }
    }
    flow.push(BlockKind::Paragraph, &paragraph);
}
