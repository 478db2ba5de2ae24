//! How documents are read and embedded, as the configuration says it: parts of the section `retrieval`.

use std::path::PathBuf;

use serde::Deserialize;

use super::units::{Size, Span};

/// The work of ingestion. What is not done waits in the database.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ingestion {
    /// Documents read at once, each by a process of its own; one organization holds all of these places but one.
    #[schema(default = 2)]
    pub readers: usize,
    /// Requests to embedding engines at once.
    #[schema(default = 2)]
    pub embedders: usize,
    /// Most chunks in one request to an embedding engine.
    #[schema(default = 32)]
    pub batch: usize,
    /// Largest chunk, in tokens, where the upload gives no sizes; never more than the embedding model reads.
    #[schema(default = 512)]
    pub chunk_tokens: usize,
    /// Largest file.
    #[schema(value_type = String, default = "64MiB")]
    pub file_limit: Size,
    /// Most pages of a file.
    #[schema(default = 5_000)]
    pub pages: u32,
    /// Longest reading of a file; recognising scans (OCR) is counted apart.
    #[schema(value_type = String, default = "60s")]
    pub time: Span,
    /// Memory of a process that reads a file.
    #[schema(value_type = String, default = "2GiB")]
    pub memory: Size,
    /// The `guichet` that reads files in processes of its own. Absent: this very program.
    #[schema(value_type = Option<String>)]
    pub program: Option<PathBuf>,
}

impl Default for Ingestion {
    fn default() -> Self {
        Ingestion {
            readers: 2,
            embedders: 2,
            batch: 32,
            chunk_tokens: 512,
            file_limit: Size::mib(64),
            pages: 5_000,
            time: Span::seconds(60),
            memory: Size::mib(2_048),
            program: None,
        }
    }
}

/// Who reads pages without a text layer. Without it, documents with such pages fail with that reason.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ocr {
    /// `tesseract` on this machine (packages tesseract-ocr, tesseract-ocr-fra, poppler-utils), or `model`.
    pub kind: OcrKind,
    /// What tesseract reads, as its option `-l` has it.
    #[serde(default = "french")]
    #[schema(default = "fra")]
    pub language: String,
    /// Id of the model of type `ocr` that is asked, in the Mistral form; its deployments carry hosting labels as all do.
    #[serde(default)]
    pub model: Option<String>,
}

/// Which OCR engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OcrKind {
    /// The program `tesseract`, with `pdftoppm` to draw pages.
    Tesseract,
    /// A model of the catalogue.
    Model,
}

fn french() -> String {
    "fra".to_owned()
}
