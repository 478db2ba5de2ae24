//! What evaluation keeps of requests: content, only of projects that agreed to it.

use serde::{Deserialize, Serialize};

use super::units::{Size, Span};

/// Keeping content for evaluation. Absent: nothing is kept, and the routes of evaluation do not exist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluation {
    /// How long content is kept; longer only for a dataset, once a person checked it.
    #[schema(value_type = String)]
    pub keep: Span,
    /// Which requests of projects that agreed are kept.
    pub sampling: Sampling,
    /// Memory that content may take before it is redacted and stored; past it, content is dropped and counted.
    #[schema(value_type = String)]
    pub queue: Size,
    /// Largest request or answer whose content is kept.
    #[schema(value_type = String)]
    pub largest: Size,
    /// Threads that redact, apart from those that carry requests.
    pub threads: usize,
}

impl Default for Evaluation {
    fn default() -> Self {
        Evaluation {
            keep: KEEP,
            sampling: Sampling::default(),
            queue: Size::mib(64),
            largest: Size::mib(1),
            threads: 1,
        }
    }
}

/// How long content is kept where nothing says otherwise.
pub const KEEP: Span = Span::seconds(90 * 86_400);

/// Live sampling: the first rule that fits decides, else the rate of all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// Share of requests kept, from 0 to 1.
    pub rate: f64,
    /// Rates for some requests, tried in order.
    pub rules: Vec<SamplingRule>,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling { rate: 1.0, rules: Vec::new() }
    }
}

/// A rate for requests that fit all that is said here; what is left out fits all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SamplingRule {
    /// Kept with each record.
    pub name: String,
    /// Share of these requests kept, from 0 to 1.
    pub rate: f64,
    /// Name of an organization.
    #[serde(default)]
    pub organization: Option<String>,
    /// Name of a project.
    #[serde(default)]
    pub project: Option<String>,
    /// Id of a model.
    #[serde(default)]
    pub model: Option<String>,
    /// `chat.completions` or `completions`.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The use that the caller tells (`metadata.use`), or the id of the named prompt.
    #[serde(default, rename = "use")]
    pub use_case: Option<String>,
}
