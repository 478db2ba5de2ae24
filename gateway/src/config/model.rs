//! What is served and by which engines, as the configuration says it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::hosting::Hosting;
use super::secret::SecretSource;
use super::units::Span;

/// What a model does. Clients see Albert API's words for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelType {
    /// Chat and text completion.
    Chat,
    /// Chat that also reads images.
    Vision,
    Embeddings,
    Rerank,
    /// Reads pages: Mistral's `POST /v1/ocr`.
    Ocr,
}

impl ModelType {
    /// The word of `/v1/models`, as Albert API and its clients know it.
    pub const fn public(self) -> &'static str {
        match self {
            ModelType::Chat => "text-generation",
            ModelType::Vision => "image-text-to-text",
            ModelType::Embeddings => "text-embeddings-inference",
            ModelType::Rerank => "text-classification",
            ModelType::Ocr => "image-to-text",
        }
    }
}

/// Prices in euros per million tokens, shown to clients.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Costs {
    /// Euros per million input tokens.
    pub input: f64,
    /// Euros per million output tokens.
    pub output: f64,
}

/// How the energy of a request is estimated. Without it, records hold no energy.
///
/// `Wh = input × wh_per_1000_input / 1000 + output × wh_per_1000_output / 1000`, then
/// `gCO2eq = Wh / 1000 × g_per_kwh`.
#[derive(Clone, PartialEq, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Impact {
    /// Name and version of the method that gave the figures, kept in every record: `measured-2026-03`.
    pub method: String,
    /// Watt-hours per thousand input tokens, cooling and idle share included.
    #[serde(default)]
    pub wh_per_1000_input: f64,
    /// Watt-hours per thousand output tokens, cooling and idle share included.
    pub wh_per_1000_output: f64,
    /// Grams of CO2 equivalent per kilowatt-hour of the electricity used.
    pub g_per_kwh: f64,
}

impl Impact {
    /// Watt-hours and grams of CO2 equivalent of a request.
    pub fn of(&self, input: u64, output: u64) -> (f64, f64) {
        let energy = (input as f64 * self.wh_per_1000_input + output as f64 * self.wh_per_1000_output) / 1_000.0;
        (energy, energy / 1_000.0 * self.g_per_kwh)
    }
}

/// What some embeddings models want before each text, to tell what is looked for from what is found (E5: `"query: "` and
/// `"passage: "`). Put there by retrieval; `/v1/embeddings` sends texts as they are.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Prefixes {
    /// Before a query.
    pub query: String,
    /// Before a passage of a document.
    pub passage: String,
}

/// Which server software an engine runs: picks its row of the table of quirks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    Vllm,
    Sglang,
    LlamaCpp,
    Ollama,
    Tei,
    Mistral,
    /// Any other server that speaks OpenAI's API.
    OpenAi,
}

impl EngineKind {
    /// Whether it has a call that puts documents in order.
    pub const fn reranks(self) -> bool {
        !matches!(self, EngineKind::Ollama | EngineKind::Mistral)
    }
}

/// Where the model's reasoning comes from. It always reaches clients as `reasoning_content`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningSource {
    /// The engine separates it itself (`reasoning` or `reasoning_content`).
    #[default]
    Engine,
    /// The model writes `<think>…</think>` in its answer.
    ThinkTags,
    /// As `think_tags`, for chat templates that open the tag themselves.
    ThinkTagsOpened,
    /// The model does not reason: answers are not looked into.
    None,
}

/// What becomes of the role `developer`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeveloperRole {
    /// The chat template knows it.
    Keep,
    /// Sent as `system`.
    #[default]
    System,
}

/// How messages are laid out for a strict chat template.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MessageLayout {
    /// The template wants user and assistant in turn (Mistral, Gemma): messages are folded, never dropped.
    pub alternate: bool,
    /// `system` sends the role `developer` as `system`; `keep` leaves it.
    pub developer: DeveloperRole,
}

/// One running engine that serves a model.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Name, unique in the configuration; it is kept in every record.
    pub name: String,
    /// Base URL of its API, with `/v1` where the engine has it.
    #[schema(value_type = String)]
    pub url: Url,
    /// Server software: `vllm`, `sglang`, `llamacpp`, `ollama`, `tei`, `mistral` or `openai`.
    pub engine: EngineKind,
    /// Name the engine knows the model by. Default: the model's id.
    #[serde(default)]
    pub engine_model: Option<String>,
    /// Key the engine asks for.
    #[serde(default)]
    pub api_key: Option<SecretSource>,
    /// Requests it answers at once; more wait.
    #[serde(default = "default_capacity")]
    #[schema(default = 32)]
    pub capacity: u32,
    /// Name of an entry of `hostings`.
    pub hosting: String,
    /// Where reasoning comes from: `engine`, `think_tags`, `think_tags_opened` or `none`.
    #[serde(default)]
    pub reasoning: ReasoningSource,
    /// Folding of messages for strict chat templates.
    #[serde(default)]
    pub messages: MessageLayout,
    /// Path asked to know whether the engine is well. Default: the engine's own.
    #[serde(default)]
    pub health_path: Option<String>,
    /// Longest silence before the first byte of an answer.
    #[serde(default = "default_first_byte")]
    #[schema(value_type = String, default = "10m")]
    pub first_byte_timeout: Span,
    /// Longest silence between two pieces of a streamed answer.
    #[serde(default = "default_chunk")]
    #[schema(value_type = String, default = "2m")]
    pub chunk_timeout: Span,
}

fn default_capacity() -> u32 {
    32
}
fn default_first_byte() -> Span {
    Span::seconds(600)
}
fn default_chunk() -> Span {
    Span::seconds(120)
}

/// A model as clients name it.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Stable name that clients use. It may hold `/`.
    pub id: String,
    /// Other names accepted for it, listed with it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// `chat`, `vision`, `embeddings`, `rerank` or `ocr`.
    pub r#type: ModelType,
    /// Tokens it reads and writes at most, together.
    #[serde(default)]
    pub context_length: Option<u64>,
    /// Its own `tokenizer.json` (Hugging Face): texts are counted by it, rather than by tiktoken, where an estimate is not
    /// close enough to hold quota for them.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub tokenizer: Option<PathBuf>,
    /// Numbers in an embedding; requests for another size are refused.
    #[serde(default)]
    pub dimensions: Option<u32>,
    /// Of an embeddings model: what retrieval writes before texts.
    #[serde(default)]
    pub prefixes: Prefixes,
    /// Who made it, as shown to clients. Default: `guichet`.
    #[serde(default)]
    pub owned_by: Option<String>,
    /// Family of the model (`qwen`, `mistral`): a judge never grades its own family.
    #[serde(default)]
    pub family: Option<String>,
    /// Prices shown to clients.
    #[serde(default)]
    pub costs: Costs,
    /// How energy and carbon are estimated.
    #[serde(default)]
    pub impact: Option<Impact>,
    /// Names of the organizations that may see it. Absent: all.
    #[serde(default)]
    pub visible_to: Option<Vec<String>>,
    /// Day from which it is announced as deprecated (`2026-09-01`).
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub deprecated: Option<jiff::civil::Date>,
    /// Day from which it is no longer served.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub sunset: Option<jiff::civil::Date>,
    /// Id of the model that answers when no deployment of this one can.
    #[serde(default)]
    pub fallback: Option<String>,
    /// The engines that serve it.
    pub deployments: Vec<Deployment>,
}

/// A named hosting label, as deployments refer to it.
pub type Hostings = std::collections::BTreeMap<String, Hosting>;
