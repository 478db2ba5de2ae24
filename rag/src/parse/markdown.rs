//! Markdown (CommonMark, with tables and front matter).

use pulldown_cmark::{Event, MetadataBlockKind, Options, Parser, Tag, TagEnd};

use super::budget::Budget;
use super::flow::Flow;
use super::{Refusal, encoding, html};
use crate::document::{Block, Document};

pub(crate) fn parse(bytes: &[u8], budget: &Budget) -> Result<Document, Refusal> {
    let text = encoding::decode(bytes, None).0;
    let mut reader = Reader { flow: Flow::new(budget), budget, front: None, raw: String::new(), blocks: Vec::new() };
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    for (nth, event) in Parser::new_ext(&text, options).enumerate() {
        reader.event(event)?;
        if reader.flow.refused() {
            break;
        }
        if nth % 1024 == 0 {
            budget.time()?;
        }
    }
    let title = reader.front.as_deref().and_then(front_title);
    reader.blocks.append(&mut reader.flow.finish()?);
    Ok(Document { title, blocks: reader.blocks, ..Document::default() })
}

struct Reader<'a> {
    flow: Flow<'a>,
    budget: &'a Budget<'a>,
    /// The front matter.
    front: Option<String>,
    /// HTML under way.
    raw: String,
    /// Blocks already complete.
    blocks: Vec<Block>,
}

impl Reader<'_> {
    fn event(&mut self, event: Event<'_>) -> Result<(), Refusal> {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag)?,
            Event::Text(text) => match &mut self.front {
                Some(front) if front.is_empty() => front.push_str(&text),
                _ => self.flow.text(&text),
            },
            Event::Code(text) => self.flow.text(&text),
            Event::Html(html) => self.raw.push_str(&html),
            // `<br>` is a line break; other tags inside a paragraph say nothing.
            Event::InlineHtml(html) if html.to_ascii_lowercase().starts_with("<br") => self.flow.newline(),
            Event::SoftBreak => self.flow.text(" "),
            Event::HardBreak => self.flow.newline(),
            Event::Rule => self.flow.boundary(),
            Event::InlineHtml(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::FootnoteReference(_)
            | Event::TaskListMarker(_) => {}
        }
        Ok(())
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => self.flow.open_heading(level as u8),
            Tag::CodeBlock(_) => self.flow.open_code(),
            Tag::List(first) => self.flow.open_list(first),
            Tag::Item => self.flow.open_item(),
            Tag::Table(_) => self.flow.open_table(),
            Tag::TableHead | Tag::TableRow => self.flow.open_row(),
            Tag::TableCell => self.flow.open_cell(),
            Tag::MetadataBlock(MetadataBlockKind::YamlStyle) => self.front = Some(String::new()),
            Tag::Paragraph | Tag::BlockQuote(_) | Tag::HtmlBlock => self.flow.boundary(),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) -> Result<(), Refusal> {
        match tag {
            TagEnd::Heading(_) => self.flow.close_heading(),
            TagEnd::CodeBlock => self.flow.close_code(),
            TagEnd::List(_) => self.flow.close_list(),
            TagEnd::Table => self.flow.close_table(),
            TagEnd::Paragraph | TagEnd::BlockQuote(_) | TagEnd::Item => self.flow.boundary(),
            TagEnd::HtmlBlock => {
                let raw = std::mem::take(&mut self.raw);
                let before = std::mem::replace(&mut self.flow, Flow::new(self.budget));
                self.blocks.append(&mut before.finish()?);
                self.blocks.append(&mut html::fragment(&raw, self.budget)?);
            }
            _ => {}
        }
        Ok(())
    }
}

/// `title: …` or `titre: …` at the first level of the front matter.
fn front_title(front: &str) -> Option<String> {
    let value = front.lines().find_map(|line| line.strip_prefix("title:").or_else(|| line.strip_prefix("titre:")))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}
