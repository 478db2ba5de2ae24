//! Thin handlers, one file a noun. The story of a model call is told by [`visit`]; the rest read or change accounts.

pub mod admin;
pub mod body;
pub mod chat;
pub mod completions;
pub mod embeddings;
#[cfg(feature = "eval")]
pub mod eval;
pub mod faults;
pub mod health;
pub mod json;
pub mod me;
pub mod metrics;
pub mod models;
pub mod prompts;
pub mod reference;
pub mod rerank;
pub mod usage;
pub mod visit;
