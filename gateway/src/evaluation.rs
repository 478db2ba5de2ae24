//! Evaluation around the crate `eval`: content kept of requests, redacted first, drawn from, and let go of.
//!
//! | file | holds |
//! |---|---|
//! | [`campaign`] | people who annotate, and what they found |
//! | [`content`] | what is kept of a request and its answer, and its redaction |
//! | [`desk`] | the threads that redact, and the one that stores |
//! | [`sample`] | stratified draws with their chances, and estimates from them |
//! | [`retention`] | what goes by itself |

pub mod campaign;
pub mod content;
pub mod desk;
pub mod retention;
pub mod sample;
