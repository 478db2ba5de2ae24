//! The configuration: embedded defaults < one YAML file < environment, checked as a whole.
//!
//! [`load`](load::load) reads, merges and decodes; [`check`](check::check) looks at what the types cannot
//! say. Both report every problem at once, each with its path and what to do.

pub mod check;
pub mod evaluation;
pub mod hosting;
pub mod ingestion;
pub mod limits;
pub mod load;
pub mod model;
pub mod problem;
pub mod reference;
pub mod retrieval;
pub mod secret;
pub mod server;
pub mod units;

use std::path::PathBuf;

use serde::Deserialize;

pub use hosting::{DataClass, Hosting};
pub use load::{Origin, load};
pub use problem::Problem;
pub use secret::Secret;
pub use units::{Size, Span};

/// Everything an administration says about its counter.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The listening side.
    #[serde(default)]
    pub server: server::Server,
    /// Folder of everything this process keeps: database, journal, first key.
    #[serde(default = "default_data")]
    #[schema(value_type = String, default = "guichet-data")]
    pub data: PathBuf,
    /// Accounts and records.
    #[serde(default)]
    pub database: server::Database,
    /// Language of messages when the client asks for none: `fr` or `en`.
    #[serde(default)]
    pub language: server::Language,
    /// Log lines.
    #[serde(default)]
    pub log: server::Log,
    /// The durable record of requests.
    #[serde(default)]
    pub records: server::Records,
    /// Keeping content for evaluation. Absent: off.
    #[serde(default)]
    pub evaluation: Option<evaluation::Evaluation>,
    /// Burst gates.
    #[serde(default)]
    pub gates: server::Gates,
    /// Waiting when engines are full.
    #[serde(default)]
    pub queue: server::Queue,
    /// How engines are watched.
    #[serde(default)]
    pub fleet: server::Fleet,
    /// What requests may point engines to.
    #[serde(default)]
    pub outgoing: server::Outgoing,
    /// Prompt templates.
    #[serde(default)]
    pub prompts: server::Prompts,
    /// Which hostings each data class may reach, by class. A class left out keeps its default rule.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, hosting::Rule>)]
    pub sovereignty: hosting::Rules,
    /// Named hosting labels, used by deployments.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, Hosting>)]
    pub hostings: model::Hostings,
    /// The catalogue.
    #[serde(default)]
    pub models: Vec<model::Model>,
    /// Where limits are counted, and over which calendar.
    #[serde(default)]
    pub limits: limits::Limits,
    /// Named sets of models that share one count, by their ids: `{large: [openweight-large, openweight-code]}`.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, Vec<String>>)]
    pub model_groups: limits::ModelGroups,
    /// Named sets of limits, given to organizations.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, limits::Plan>)]
    pub plans: limits::Plans,
    /// Collections of documents, their search, and chat that cites them. Absent: none of it exists.
    #[serde(default)]
    pub retrieval: Option<retrieval::Retrieval>,
}

fn default_data() -> PathBuf {
    PathBuf::from("guichet-data")
}

impl Config {
    /// The rule of a class: the configuration's, else the default one.
    pub fn rule(&self, class: DataClass) -> hosting::Rule {
        self.sovereignty
            .get(&class)
            .cloned()
            .unwrap_or_else(|| hosting::default_rules().remove(&class).unwrap_or_default())
    }
}
