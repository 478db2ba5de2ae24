//! DOCX (Word): the document's paragraphs, lists and tables; its notes at the end. Deleted text stays deleted.

use std::collections::HashMap;

use super::Refusal;
use super::archive::Archive;
use super::budget::Budget;
use super::flow::Flow;
use super::xml::{self, Node};
use crate::document::Document;

const KIND: &str = "DOCX";

pub(crate) fn parse(bytes: &[u8], budget: &Budget) -> Result<Document, Refusal> {
    let mut archive = Archive::open(bytes, KIND)?;
    let main = archive.named("word/document", ".xml").ok_or_else(|| Refusal::broken(KIND))?;
    let body = archive.text(&main, budget)?.ok_or_else(|| Refusal::broken(KIND))?;
    let styles = match archive.text("word/styles.xml", budget)? {
        Some(styles) => Styles::read(&styles, budget)?,
        None => Styles::default(),
    };
    let mut flow = Flow::new(budget);
    let mut title = None;
    Body::new(&styles, &mut flow, &mut title).read(&body, budget)?;
    for notes in ["word/footnotes.xml", "word/endnotes.xml"] {
        if let Some(notes) = archive.text(notes, budget)? {
            Body::new(&styles, &mut flow, &mut title).read(&notes, budget)?;
        }
    }
    if let Some(core) = archive.text("docProps/core.xml", budget)? {
        title = xml::first_text(&core, "title", KIND, budget)?.or(title);
    }
    Ok(Document { title, blocks: flow.finish()?, ..Document::default() })
}

/// What a paragraph style makes of its paragraphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Title,
    Heading(u8),
    Code,
}

#[derive(Debug, Default)]
struct Styles {
    own: HashMap<String, Style>,
    based_on: HashMap<String, String>,
}

impl Styles {
    fn read(text: &str, budget: &Budget) -> Result<Styles, Refusal> {
        let mut styles = Styles::default();
        let mut id = String::new();
        xml::walk(text, KIND, budget, |node| {
            let Node::Open(name, attributes) = node else { return Ok(()) };
            let value = |name| attributes.get(name).unwrap_or_default();
            match name {
                "style" => id = value("styleId"),
                "name" => {
                    if let Some(style) = named(&value("val")) {
                        styles.own.insert(id.clone(), style);
                    }
                }
                "basedOn" => {
                    styles.based_on.insert(id.clone(), value("val"));
                }
                "outlineLvl" => {
                    if let Some(level) = outline(&value("val")) {
                        styles.own.entry(id.clone()).or_insert(Style::Heading(level));
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(styles)
    }

    fn get(&self, id: &str) -> Option<Style> {
        let mut id = id;
        // A style based on itself is a hostile one.
        for _ in 0..16 {
            if let Some(style) = self.own.get(id) {
                return Some(*style);
            }
            id = match self.based_on.get(id) {
                Some(base) => base,
                None => break,
            };
        }
        // Files made by programs name styles they do not define.
        named(id)
    }
}

/// Built-in styles are named in English in the file whatever Word's language; identifiers are not.
fn named(name: &str) -> Option<Style> {
    let lower = name.to_lowercase();
    let level = |rest: &str| rest.trim().parse::<u8>().ok().filter(|level| (1..=9).contains(level));
    match lower.as_str() {
        "title" | "titre" => Some(Style::Title),
        "html preformatted" | "codeblock" | "code" => Some(Style::Code),
        _ => lower
            .strip_prefix("heading")
            .or_else(|| lower.strip_prefix("titre"))
            .and_then(level)
            .map(|level| Style::Heading(level.min(6))),
    }
}

/// Levels are written from 0; 9 is body text.
fn outline(value: &str) -> Option<u8> {
    value.parse::<u8>().ok().filter(|level| *level < 9).map(|level| (level + 1).min(6))
}

/// A paragraph's own properties.
#[derive(Default)]
struct Paragraph {
    style: Option<Style>,
    level: Option<u8>,
    /// Depth in a list, from 0.
    list: Option<usize>,
}

struct Body<'a, 'b> {
    styles: &'a Styles,
    flow: &'a mut Flow<'b>,
    title: &'a mut Option<String>,
    /// Paragraphs can be inside each other: text boxes.
    paragraphs: Vec<Paragraph>,
    in_properties: bool,
    in_text: bool,
    /// A copy of the same content, for older readers.
    fallback: usize,
    titled: String,
}

impl<'a, 'b> Body<'a, 'b> {
    fn new(styles: &'a Styles, flow: &'a mut Flow<'b>, title: &'a mut Option<String>) -> Body<'a, 'b> {
        Body {
            styles,
            flow,
            title,
            paragraphs: Vec::new(),
            in_properties: false,
            in_text: false,
            fallback: 0,
            titled: String::new(),
        }
    }

    fn read(mut self, text: &str, budget: &Budget) -> Result<(), Refusal> {
        xml::walk(text, KIND, budget, |node| {
            match node {
                Node::Open("Fallback", _) => self.fallback += 1,
                Node::Close("Fallback") => self.fallback = self.fallback.saturating_sub(1),
                _ if self.fallback > 0 => {}
                Node::Open(name, attributes) => self.open(name, &|name| attributes.get(name)),
                Node::Close(name) => self.close(name),
                Node::Text(text) if self.in_text => self.text(text),
                Node::Text(_) => {}
            }
            Ok(())
        })?;
        self.leave_lists();
        Ok(())
    }

    fn text(&mut self, text: &str) {
        if self.paragraphs.last().is_some_and(|paragraph| paragraph.style == Some(Style::Title)) {
            self.titled.push_str(text);
        }
        self.flow.text(text);
    }

    fn open(&mut self, name: &str, attribute: &dyn Fn(&str) -> Option<String>) {
        match name {
            "p" => {
                // The text before a box ends where the box begins.
                if !self.paragraphs.is_empty() {
                    self.flow.boundary();
                }
                self.paragraphs.push(Paragraph::default());
            }
            "pPr" => self.in_properties = true,
            "t" => self.in_text = true,
            "tab" if !self.in_properties => self.flow.text(" "),
            "br" | "cr" => self.flow.newline(),
            "noBreakHyphen" => self.flow.text("-"),
            "tbl" => {
                self.leave_lists();
                self.flow.open_table();
            }
            "tr" => self.flow.open_row(),
            "tc" => self.flow.open_cell(),
            _ => self.property(name, attribute),
        }
    }

    fn property(&mut self, name: &str, attribute: &dyn Fn(&str) -> Option<String>) {
        let Some(paragraph) = self.paragraphs.last_mut().filter(|_| self.in_properties) else { return };
        let value = || attribute("val").unwrap_or_default();
        match name {
            "pStyle" => paragraph.style = self.styles.get(&value()),
            "outlineLvl" => paragraph.level = outline(&value()),
            "ilvl" => paragraph.list = Some(value().parse::<usize>().unwrap_or_default().min(8)),
            "numId" if value() == "0" => paragraph.list = None,
            "numId" => paragraph.list = paragraph.list.or(Some(0)),
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "pPr" => {
                self.in_properties = false;
                self.begin();
            }
            "t" => self.in_text = false,
            "p" => self.end(),
            "tbl" => self.flow.close_table(),
            _ => {}
        }
    }

    /// The properties are known: the flow is put in the state they ask for.
    fn begin(&mut self) {
        let Some(paragraph) = self.paragraphs.last() else { return };
        match (paragraph.style, paragraph.level, paragraph.list) {
            (Some(Style::Title), ..) => self.flow.open_heading(1),
            (Some(Style::Heading(level)), ..) | (None, Some(level), _) => self.flow.open_heading(level),
            (Some(Style::Code), ..) => self.flow.open_code(),
            (None, None, Some(depth)) if !self.flow.in_table() => {
                while self.flow.list_depth() > depth + 1 {
                    self.flow.close_list();
                }
                while self.flow.list_depth() < depth + 1 && !self.flow.refused() {
                    self.flow.open_list(None);
                }
                self.flow.open_item();
            }
            _ => {}
        }
    }

    fn end(&mut self) {
        let paragraph = self.paragraphs.pop().unwrap_or_default();
        let is_item = paragraph.style.is_none() && paragraph.level.is_none() && paragraph.list.is_some();
        if !is_item && !self.flow.in_table() {
            self.flow.abandon_lists();
        }
        match (paragraph.style, paragraph.level) {
            (Some(Style::Code), _) => self.flow.close_code(),
            (Some(_), _) | (_, Some(_)) => self.flow.close_heading(),
            _ => self.flow.boundary(),
        }
        if self.title.is_none() && !self.titled.trim().is_empty() {
            *self.title = Some(std::mem::take(&mut self.titled));
        }
    }

    fn leave_lists(&mut self) {
        while self.flow.list_depth() > 0 {
            self.flow.close_list();
        }
    }
}
