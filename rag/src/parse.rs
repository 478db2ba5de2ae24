//! A file's bytes into a [`Document`], within [`Limits`], or a [`Refusal`].

mod archive;
mod budget;
mod delimited;
mod docx;
mod encoding;
mod flow;
mod html;
mod json;
mod kind;
mod markdown;
mod odt;
mod pdf;
mod refusal;
mod text;
mod xml;

#[cfg(test)]
mod tests;

pub use budget::Limits;
pub use kind::Kind;
pub use refusal::Refusal;

use budget::Budget;

use crate::document::Document;

/// Reads a file. `name` is the name it was sent under; its extension only decides between kinds of text.
///
/// Never an empty success: a document has at least one block, and a file whose every page is a scan is refused with
/// [`Refusal::NeedsOcr`]. Where only some pages are scans, [`Document::pages`] says which.
///
/// # Errors
/// Any [`Refusal`] but [`Refusal::TooMuchMemory`], which only the process around can see.
pub fn parse(bytes: &[u8], name: &str, limits: &Limits) -> Result<Document, Refusal> {
    if bytes.len() as u64 > limits.input {
        return Err(Refusal::TooLarge { limit: limits.input });
    }
    let budget = Budget::new(limits);
    let document = match Kind::of(bytes, name)? {
        Kind::Pdf => pdf::parse(bytes, &budget),
        Kind::Docx => docx::parse(bytes, &budget),
        Kind::Odt => odt::parse(bytes, &budget),
        Kind::Html => html::parse(bytes, &budget),
        Kind::Markdown => markdown::parse(bytes, &budget),
        Kind::Text => text::parse(bytes, &budget),
        Kind::Csv => delimited::parse(bytes, &budget),
        Kind::Json => json::parse(bytes, &budget),
        Kind::JsonLines => json::parse_lines(bytes, &budget),
    }?;
    budget.time()?;
    if document.blocks.is_empty() {
        return Err(Refusal::Empty);
    }
    Ok(document.finish())
}
