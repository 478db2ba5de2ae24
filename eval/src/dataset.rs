//! Datasets: items to put to models, versioned by what they hold.

mod export;
mod import;
mod votes;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use import::{Columns, Imported};
pub use votes::{Vote, Votes};

/// One item.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Unique in its dataset.
    pub id: String,
    pub question: String,
    /// The answer that was expected, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Passages the answer was to rely on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passages: Vec<String>,
    /// The independent unit it belongs to: a user, a document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// All else, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}

/// Items in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dataset {
    pub items: Vec<Item>,
}

/// How files say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// A header, then commas, semicolons or tabs.
    Csv,
    Parquet,
}

impl Dataset {
    /// SHA-256 of the items, as lines of JSON, in order: the version. What is exported and imported again keeps it.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for item in &self.items {
            hash.update(serde_json::to_vec(item).unwrap_or_default());
            hash.update(b"\n");
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests;
