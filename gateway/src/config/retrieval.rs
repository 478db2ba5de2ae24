//! Corpora and their search, as the configuration says them.

use serde::{Deserialize, Serialize};
use url::Url;

use super::ingestion::{Ingestion, Ocr};
use super::secret::SecretSource;
use super::units::Size;

/// Collections of documents, their search, and chat that cites them. Absent: none of it exists.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retrieval {
    /// Id of the model of type `embeddings` that new collections use. Its `dimensions` must be written.
    pub embedding_model: String,
    /// Id of the model of type `rerank` that puts results in order where a search asks for it.
    #[serde(default)]
    pub rerank_model: Option<String>,
    /// Where vectors are kept.
    #[serde(default)]
    pub index: Index,
    /// The work of ingestion.
    #[serde(default)]
    pub ingestion: Ingestion,
    /// Who reads pages without a text layer. Absent: documents with such pages fail with that reason.
    #[serde(default)]
    pub ocr: Option<Ocr>,
    /// The most that one organization may keep.
    #[serde(default)]
    pub quota: Quota,
    /// What of the corpus goes before a chat model.
    #[serde(default)]
    pub chat: Chat,
}

/// Where vectors are kept: a folder of this process, or a Qdrant server that replicas share.
#[derive(Clone, Debug, PartialEq, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Index {
    /// `edge`, in the folder `index` of the data folder, for one process alone; or `server`.
    pub kind: IndexKind,
    /// Of a server: its gRPC address, `http://qdrant.interne:6334`.
    #[schema(value_type = Option<String>)]
    pub url: Option<Url>,
    /// Of a server: the key it asks for.
    pub api_key: Option<SecretSource>,
    /// Of a server: name of an entry of `hostings`. Collections of a data class that it may not reach cannot be made.
    pub hosting: Option<String>,
    /// Of a server: what its collections' names start with, so that several installations can share it.
    #[schema(default = "guichet")]
    pub prefix: Option<String>,
}

/// Which vector engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum IndexKind {
    /// Qdrant inside this process.
    #[default]
    Edge,
    /// A Qdrant server or cluster.
    Server,
}

impl Index {
    /// What the names of a server's collections start with.
    pub fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or("guichet")
    }
}

/// The most that one organization may keep. Absent: no bound.
#[derive(Clone, Copy, Debug, PartialEq, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Documents.
    pub documents: Option<u64>,
    /// Bytes of its files, as they were uploaded.
    #[schema(value_type = Option<String>)]
    pub bytes: Option<Size>,
}

/// What of the corpus goes before a chat model.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Chat {
    /// Most tokens of all passages together.
    #[schema(default = 4_000)]
    pub passage_tokens: usize,
}

impl Default for Chat {
    fn default() -> Chat {
        Chat { passage_tokens: 4_000 }
    }
}
