//! Documents on their way in, around the crate `rag`.

pub mod worker;

pub use worker::{ParseError, Worker};
