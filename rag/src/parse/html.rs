//! HTML, by html5ever's tokenizer: no tree is built, so no nesting can exhaust the stack.

use std::cell::RefCell;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::{RawKind, Rawtext, Rcdata, ScriptData};
use html5ever::tokenizer::{BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};

use super::budget::Budget;
use super::flow::{Flow, clean};
use super::{Refusal, encoding};
use crate::document::{Block, Document};

/// Elements whose text is not the page's.
const SKIPPED: [&str; 12] =
    ["script", "style", "noscript", "template", "svg", "math", "nav", "footer", "button", "select", "iframe", "object"];

/// Elements that end the paragraph before them.
const BLOCKS: [&str; 34] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "caption",
    "center",
    "dd",
    "details",
    "dialog",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "header",
    "hgroup",
    "hr",
    "html",
    "legend",
    "main",
    "nav",
    "option",
    "p",
    "search",
    "section",
    "summary",
    "tbody",
    "tfoot",
    "thead",
    "title",
];

pub(crate) fn parse(bytes: &[u8], budget: &Budget) -> Result<Document, Refusal> {
    let text = encoding::decode(bytes, declared(bytes)).0;
    let page = match read(&text, budget, true)? {
        // A navigation that never ends has eaten the page.
        page if page.blocks.is_empty() || page.unclosed => read(&text, budget, false)?,
        page => page,
    };
    let heading = page.blocks.iter().find(|block| block.level() == Some(1)).map(|block| block.text.clone());
    Ok(Document { title: heading.or(page.title), blocks: page.blocks, ..Document::default() })
}

/// The blocks of a piece of HTML inside something else.
pub(crate) fn fragment(text: &str, budget: &Budget) -> Result<Vec<Block>, Refusal> {
    Ok(read(text, budget, false)?.blocks)
}

struct Page {
    title: Option<String>,
    blocks: Vec<Block>,
    unclosed: bool,
}

fn read(text: &str, budget: &Budget, skip: bool) -> Result<Page, Refusal> {
    let queue = BufferQueue::default();
    queue.push_back(StrTendril::from_slice(text));
    let sink = Sink(RefCell::new(Reader::new(budget, skip)));
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    // Scripts are not run: when the tokenizer stops for one, it goes on.
    while !matches!(tokenizer.feed(&queue), html5ever::TokenizerResult::Done) {
        budget.time()?;
    }
    tokenizer.end();
    tokenizer.sink.0.into_inner().finish()
}

/// `charset=` in the head: what old sites say of themselves.
fn declared(bytes: &[u8]) -> Option<&[u8]> {
    let head = bytes.get(..bytes.len().min(2048))?;
    let at = head.windows(8).position(|window| window.eq_ignore_ascii_case(b"charset="))?;
    let label = head.get(at + 8..)?;
    let label = label.strip_prefix(b"\"").or_else(|| label.strip_prefix(b"'")).unwrap_or(label);
    let end = label.iter().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':')))?;
    label.get(..end)
}

struct Sink<'a>(RefCell<Reader<'a>>);

impl TokenSink for Sink<'_> {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut reader = self.0.borrow_mut();
        match token {
            Token::TagToken(tag) => {
                reader.tag(&tag);
                if let (TagKind::StartTag, Some(raw)) = (tag.kind, raw(&tag)) {
                    return raw;
                }
            }
            Token::CharacterTokens(text) => reader.text(&text),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

/// Elements whose content is not markup.
fn raw(tag: &Tag) -> Option<TokenSinkResult<()>> {
    let raw = |kind: RawKind| Some(TokenSinkResult::RawData(kind));
    match &*tag.name {
        "script" => raw(ScriptData),
        "style" | "iframe" | "noembed" | "noframes" | "xmp" => raw(Rawtext),
        "textarea" | "title" => raw(Rcdata),
        "plaintext" => Some(TokenSinkResult::Plaintext),
        _ => None,
    }
}

struct Reader<'a> {
    flow: Flow<'a>,
    skip: bool,
    /// The element being skipped and how many of its name are open.
    skipping: Option<(String, usize)>,
    title: Option<String>,
    in_title: bool,
    pre: usize,
    main: usize,
    /// Blocks inside `<main>`: when there are some, they are the page.
    mains: Vec<(usize, usize)>,
}

impl<'a> Reader<'a> {
    fn new(budget: &'a Budget<'a>, skip: bool) -> Reader<'a> {
        Reader {
            flow: Flow::new(budget),
            skip,
            skipping: None,
            title: None,
            in_title: false,
            pre: 0,
            main: 0,
            mains: Vec::new(),
        }
    }

    fn text(&mut self, text: &str) {
        if self.skipping.is_some() || self.flow.refused() {
            return;
        }
        if self.in_title {
            self.title.get_or_insert_default().push_str(text);
        } else if self.pre > 0 {
            self.flow.text(text);
        } else if text.contains(['\n', '\r']) {
            self.flow.text(&text.replace(['\n', '\r'], " "));
        } else {
            self.flow.text(text);
        }
    }

    fn tag(&mut self, tag: &Tag) {
        let name: &str = &tag.name;
        let opens = tag.kind == TagKind::StartTag;
        if let Some((skipped, depth)) = &mut self.skipping {
            if skipped == name && !(opens && tag.self_closing) {
                *depth = if opens { *depth + 1 } else { *depth - 1 };
                if *depth == 0 {
                    self.skipping = None;
                }
            }
            return;
        }
        let always = matches!(name, "script" | "style" | "template" | "svg" | "iframe" | "object");
        if opens && SKIPPED.contains(&name) && (self.skip || always) && !tag.self_closing {
            self.flow.boundary();
            self.skipping = Some((name.to_owned(), 1));
            return;
        }
        self.element(name, opens, tag);
    }

    fn element(&mut self, name: &str, opens: bool, tag: &Tag) {
        let flow = &mut self.flow;
        match name {
            "title" => self.in_title = opens && self.title.is_none(),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" if opens => {
                flow.open_heading(name.as_bytes().get(1).map_or(1, |digit| digit.saturating_sub(b'0')));
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => flow.close_heading(),
            "br" => flow.newline(),
            "ul" | "menu" if opens => flow.open_list(None),
            "ol" if opens => flow.open_list(Some(first_number(tag))),
            "ul" | "menu" | "ol" => flow.close_list(),
            "li" if opens => flow.open_item(),
            "li" => flow.boundary(),
            "table" if opens => flow.open_table(),
            "table" => flow.close_table(),
            "tr" if opens => flow.open_row(),
            "td" | "th" if opens => flow.open_cell(),
            "tr" | "td" | "th" => flow.boundary(),
            "pre" if opens => {
                self.pre += 1;
                flow.open_code();
            }
            "pre" => {
                self.pre = self.pre.saturating_sub(1);
                flow.close_code();
            }
            "main" => {
                flow.boundary();
                self.main = if opens { self.main + 1 } else { self.main.saturating_sub(1) };
                match (opens, self.main) {
                    (true, 1) => self.mains.push((flow.len(), usize::MAX)),
                    (false, 0) => {
                        if let Some(last) = self.mains.last_mut() {
                            last.1 = flow.len();
                        }
                    }
                    _ => {}
                }
            }
            _ if BLOCKS.contains(&name) => flow.boundary(),
            _ => {}
        }
    }

    fn finish(self) -> Result<Page, Refusal> {
        let unclosed = self.skipping.is_some();
        let mut blocks = self.flow.finish()?;
        let total = blocks.len();
        let kept: Vec<bool> =
            (0..total).map(|nth| self.mains.iter().any(|(from, to)| (*from..*to).contains(&nth))).collect();
        if kept.contains(&true) {
            let mut kept = kept.into_iter();
            blocks.retain(|_| kept.next().unwrap_or_default());
        }
        let title = self.title.map(|title| clean(&title)).filter(|title| !title.is_empty());
        Ok(Page { title, blocks, unclosed })
    }
}

fn first_number(tag: &Tag) -> u64 {
    let start = tag.attrs.iter().find(|attribute| &*attribute.name.local == "start");
    start.and_then(|start| start.value.trim().parse().ok()).unwrap_or(1)
}
