//! A file into a document: parsed in a process of its own, its scanned pages read by OCR where there is an engine for it.

use bytes::Bytes;
use rag::{Block, Document, PageState, Refusal};

use super::ocr::Ocr;
use super::setback::Setback;
use super::{ParseError, Worker};
use crate::config::DataClass;
use crate::config::retrieval::Retrieval;
use crate::errand::Errands;
use crate::policy::identity::Principal;

/// What files are read with.
pub struct Reader {
    pub parser: Worker,
    pub ocr: Option<Ocr>,
}

/// A file as far as it has a text layer.
pub struct Parsed {
    pub document: Document,
    /// Its scanned pages, counted from 1.
    pub scans: Vec<u32>,
}

impl Reader {
    /// What the configuration says.
    ///
    /// # Errors
    /// When the system does not say where this program is.
    pub fn new(said: &Retrieval, errands: Errands) -> std::io::Result<Reader> {
        let settings = &said.ingestion;
        let program = match &settings.program {
            Some(program) => program.clone(),
            None => std::env::current_exe()?,
        };
        let limits = rag::Limits {
            input: settings.file_limit.0,
            pages: settings.pages,
            time: settings.time.0,
            ..rag::Limits::default()
        };
        Ok(Reader {
            parser: Worker::with(program.clone(), limits, settings.memory.0),
            ocr: said.ocr.as_ref().map(|ocr| Ocr::new(ocr, program, errands)),
        })
    }

    /// Reads a file. `only`: of its scanned pages, those that are wanted, counted from 1.
    ///
    /// # Errors
    /// [`Setback`]; a page without a text layer fails the file when there is no OCR engine.
    pub async fn document(
        &self,
        name: &str,
        file: Bytes,
        payer: (&Principal, DataClass),
        only: Option<&[u32]>,
    ) -> Result<Document, Setback> {
        let mut parsed = Parsed::of(self.parser.parse(name, file.clone()).await)?;
        if let Some(only) = only {
            parsed.scans.retain(|page| only.contains(page));
        }
        self.complete(parsed, file, payer).await
    }

    /// Has the scanned pages of a file read.
    ///
    /// # Errors
    /// As [`Reader::document`].
    pub async fn complete(
        &self,
        parsed: Parsed,
        file: Bytes,
        (who, class): (&Principal, DataClass),
    ) -> Result<Document, Setback> {
        let Parsed { mut document, scans } = parsed;
        if scans.is_empty() {
            return Ok(document);
        }
        let Some(ocr) = &self.ocr else { return Err(Refusal::NeedsOcr { pages: scans }.into()) };
        for (page, text) in ocr.pages(who, class, file, &scans).await? {
            add_page(&mut document, page, &text);
        }
        if document.blocks.is_empty() {
            return Err(Setback::failed(
                "La reconnaissance de caractères (OCR) n’a trouvé aucun texte dans ce document.",
                "Optical character recognition (OCR) found no text in this document.",
            ));
        }
        Ok(document)
    }
}

impl Parsed {
    /// What a process that parses answered.
    ///
    /// # Errors
    /// [`Setback`] for what will not be a document, even with OCR.
    pub fn of(parsed: Result<Document, ParseError>) -> Result<Parsed, Setback> {
        match parsed {
            Ok(document) => Ok(Parsed { scans: document.pages_in(PageState::Scan), document }),
            Err(ParseError::Refused(Refusal::NeedsOcr { pages })) => {
                let last = pages.last().copied().unwrap_or(0) as usize;
                let document = Document { pages: vec![PageState::Empty; last], ..Document::default() };
                Ok(Parsed { document, scans: pages })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Puts the text of a page, in Markdown, where it belongs.
fn add_page(document: &mut Document, page: u32, text: &str) {
    let blocks: Vec<Block> = text.split("\n\n").filter_map(|part| block(part.trim(), page)).collect();
    if let Some(state) = document.pages.get_mut((page as usize).saturating_sub(1)) {
        *state = if blocks.is_empty() { PageState::Empty } else { PageState::Text };
    }
    let at = document.blocks.partition_point(|block| block.page.is_none_or(|other| other < page));
    document.blocks.splice(at..at, blocks);
    if document.title.is_none() {
        let first = document.blocks.iter().find(|block| block.level().is_some());
        document.title = first.map(|block| block.text.clone());
    }
}

fn block(part: &str, page: u32) -> Option<Block> {
    let text = part.trim_start_matches('#');
    let level = part.len() - text.len();
    let heading = (1..=6).contains(&level) && text.starts_with(' ') && !text.contains('\n');
    let block = match heading {
        true => Block::heading(u8::try_from(level).unwrap_or(6), text.trim()),
        false => Block::paragraph(part),
    };
    (!block.text.is_empty()).then_some(Block { page: Some(page), ..block })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_read_by_ocr_takes_its_place() {
        let page = |text: &str, page| Block { page: Some(page), ..Block::paragraph(text) };
        let mut document = Document {
            blocks: vec![page("un", 1), page("trois", 3)],
            pages: vec![PageState::Text, PageState::Scan, PageState::Text],
            ..Document::default()
        };
        add_page(&mut document, 2, "# Arrêté\n\nLe préfet\narrête :\n\n\n\n");
        let texts: Vec<(&str, Option<u32>)> =
            document.blocks.iter().map(|block| (block.text.as_str(), block.page)).collect();
        assert_eq!(texts, [("un", Some(1)), ("Arrêté", Some(2)), ("Le préfet\narrête :", Some(2)), ("trois", Some(3))]);
        assert_eq!(document.title.as_deref(), Some("Arrêté"));
        assert_eq!(document.pages, [PageState::Text; 3]);
        add_page(&mut document, 2, " \n\n ");
        assert_eq!(document.pages[1], PageState::Empty);
    }
}
