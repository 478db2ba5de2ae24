//! Guichet's evaluation core: data in, data out. No network, no database, nothing of the gateway.
//!
//! An evaluator must be able to trust every number, or see why there is none. So each figure comes with its interval,
//! its count of independent units and the name of its method; and what cannot be said is a [`Refusal`], in words.
//!
//! | room | holds |
//! |---|---|
//! | [`stats`] | intervals, agreement, rankings, comparisons, sample sizes |
//! | [`metrics`] | automatic evidence: retrieval, citations, text overlap, formats |
//! | [`grid`] | the evaluation grid: a file, checked as a whole, scored from a table of evidence |
//! | [`gate`] | whether a candidate may replace a baseline |
//! | [`report`], [`plot`] | what a grid says of its evidence, as a page and as tables |
//! | [`dataset`] | items to put to models, versioned by what they hold |
//! | [`judge`] | what a judge answered, read strictly; orders and panels settled |
//! | [`panel`] | several people on the same items: agreement, accuracy, preferences |
//! | [`redact`] | masks personal data of French formats |
//! | [`catalogue`] | each statistic and metric by name, from a [`table`] to JSON |

pub mod catalogue;
pub mod columns;
pub mod dataset;
pub mod gate;
pub mod grid;
pub mod judge;
pub mod metrics;
pub mod panel;
#[cfg(feature = "parquet")]
pub mod parquet;
mod pattern;
pub mod plot;
pub mod random;
pub mod redact;
pub mod refusal;
pub mod report;
pub mod stats;
pub mod table;

pub use refusal::Refusal;
