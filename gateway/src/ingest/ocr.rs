//! Pages without a text layer, read by an OCR engine: `tesseract` on this machine, or a model of the catalogue in the
//! form of Mistral's OCR.

pub mod tesseract;

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::setback::Setback;
use crate::config::DataClass;
use crate::config::ingestion::{self as config, OcrKind};
use crate::config::model::ModelType;
use crate::errand::{Errand, Errands};
use crate::error::ApiResult;
use crate::fleet::{Call, Deployment, NotAnAnswer, Tier};
use crate::policy::identity::Principal;
use crate::policy::limits::Output;
use crate::recorder::Endpoint;
use tesseract::Tesseract;

/// What the engine of this machine is called where models are named.
pub const LOCAL: &str = "tesseract";

/// The configured engine.
pub enum Ocr {
    Tesseract(Tesseract),
    Model { errands: Errands, model: String },
}

/// The text of a page, in Markdown, by its number from 1.
pub type Page = (u32, String);

impl Ocr {
    /// `program`: a `guichet`.
    pub fn new(said: &config::Ocr, program: PathBuf, errands: Errands) -> Ocr {
        match said.kind {
            OcrKind::Tesseract => Ocr::Tesseract(Tesseract::new(program, &said.language)),
            OcrKind::Model => Ocr::Model { errands, model: said.model.clone().unwrap_or_default() },
        }
    }

    /// Reads these pages of a PDF.
    ///
    /// # Errors
    /// [`Setback`], as for all of ingestion.
    pub async fn pages(
        &self,
        who: &Principal,
        class: DataClass,
        pdf: Bytes,
        pages: &[u32],
    ) -> Result<Vec<Page>, Setback> {
        match self {
            Ocr::Tesseract(tesseract) => {
                let mut read = Vec::with_capacity(pages.len());
                for page in pages {
                    read.push((*page, tesseract.page(&pdf, *page).await?));
                }
                Ok(read)
            }
            Ocr::Model { errands, model } => Ok(remote(errands, model, (who, class), &pdf, pages).await?),
        }
    }
}

/// What an engine of the Mistral form answers, as far as it concerns us.
#[derive(Deserialize)]
struct Answer {
    pages: Vec<AnswerPage>,
}

#[derive(Deserialize)]
struct AnswerPage {
    /// From 0.
    index: u32,
    markdown: String,
}

async fn remote(
    errands: &Errands,
    name: &str,
    (who, class): (&Principal, DataClass),
    pdf: &Bytes,
    pages: &[u32],
) -> ApiResult<Vec<Page>> {
    let model = errands.model(name, who, ModelType::Ocr)?;
    let wanted: Vec<u32> = pages.iter().map(|page| page.saturating_sub(1)).collect();
    let document = format!("data:application/pdf;base64,{}", STANDARD.encode(pdf));
    let rest = json!({"document": {"type": "document_url", "document_url": document}, "pages": wanted}).to_string();
    let rest = Bytes::from(rest);
    let build = |deployment: &Deployment| -> ApiResult<Bytes> {
        let mut body = Vec::with_capacity(rest.len() + 64);
        body.extend_from_slice(format!("{{\"model\":{},", deployment.engine_model_json).as_bytes());
        body.extend_from_slice(rest.strip_prefix(b"{").unwrap_or_default());
        Ok(body.into())
    };
    let errand = Errand {
        who,
        class,
        model: &model,
        call: Call::Ocr,
        endpoint: Endpoint::Ocr,
        tier: Tier::Flex,
        output: Output::Nothing,
        body: &rest,
        build: &build,
    };
    let read = |answer: Bytes| {
        let answer: Answer = serde_json::from_slice(&answer).map_err(|_| NotAnAnswer)?;
        // Some engines number the pages that were asked, others those of the document: both are in the order asked.
        if answer.pages.len() != wanted.len() {
            return Err(NotAnAnswer);
        }
        let by_number = answer.pages.iter().all(|page| wanted.contains(&page.index));
        let mut read: Vec<Page> = Vec::with_capacity(wanted.len());
        for (nth, page) in answer.pages.into_iter().enumerate() {
            let number = if by_number { Some(page.index) } else { wanted.get(nth).copied() };
            read.push((number.ok_or(NotAnAnswer)? + 1, page.markdown));
        }
        Ok((read, None))
    };
    Ok(errands.run(&errand, read).await?.value)
}
