//! PDF: the text layer, page by page. A page that only shows an image of text is told to be a scan.

mod glyphs;
mod layout;
mod lines;

use hayro_interpret::hayro_syntax::page::Page;
use hayro_interpret::hayro_syntax::{LoadPdfError, Pdf};
use hayro_interpret::kurbo::Rect;
use hayro_interpret::{Context, InterpreterCache, InterpreterSettings, RenderContent, TransformExt, interpret_page};

use super::Refusal;
use super::budget::Budget;
use crate::document::{Document, PageState};
use glyphs::Glyphs;
use lines::Line;

const KIND: &str = "PDF";

pub(crate) fn parse(bytes: &[u8], budget: &Budget) -> Result<Document, Refusal> {
    let pdf = Pdf::new(bytes.to_vec()).map_err(|error| match error {
        LoadPdfError::Decryption(_) => Refusal::encrypted(KIND),
        LoadPdfError::Invalid => Refusal::broken(KIND),
    })?;
    let pages = pdf.pages();
    if pages.is_empty() {
        return Err(Refusal::broken(KIND));
    }
    budget.pages(pages.len())?;
    let mut states = Vec::with_capacity(pages.len());
    let mut lines: Vec<Vec<Line>> = Vec::with_capacity(pages.len());
    for page in pages.iter() {
        budget.time()?;
        let glyphs = read(&pdf, page);
        states.push(glyphs.state());
        let found = lines::of(glyphs);
        budget.text(found.iter().map(|line| line.text.len()).sum())?;
        lines.push(found);
    }
    let document = Document {
        title: pdf.metadata().title.as_deref().map(string),
        blocks: layout::blocks(lines),
        pages: states,
        ..Document::default()
    };
    let scans = document.pages_in(PageState::Scan);
    if !document.pages.contains(&PageState::Text) && !scans.is_empty() {
        return Err(Refusal::NeedsOcr { pages: scans });
    }
    Ok(document)
}

fn read<'a>(pdf: &'a Pdf, page: &Page<'a>) -> Glyphs {
    let settings = InterpreterSettings {
        // Forms are filled in annotations; what is in them is on the page.
        render_content: RenderContent::all(),
        ..InterpreterSettings::default()
    };
    let (width, height) = page.render_dimensions();
    let (width, height) = (f64::from(width), f64::from(height));
    let mut glyphs = Glyphs::new(width, height);
    // One cache a page: the fonts of a thousand pages need not be in memory at once.
    let cache = InterpreterCache::new();
    let upright = page.initial_transform(true).to_kurbo();
    let mut context = Context::new(upright, Rect::new(0.0, 0.0, width, height), &cache, pdf.xref(), settings);
    interpret_page(page, &mut context, &mut glyphs);
    glyphs
}

/// A PDF text string: UTF-16 or UTF-8 when marked so, else nearly Latin-1.
fn string(bytes: &[u8]) -> String {
    if bytes.starts_with(b"\xfe\xff") || bytes.starts_with(b"\xff\xfe") || std::str::from_utf8(bytes).is_ok() {
        return super::encoding::decode(bytes, None).0.into_owned();
    }
    bytes.iter().map(|byte| char::from(*byte)).collect()
}
