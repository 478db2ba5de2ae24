//! Documents in, cited passages out.
//!
//! A core: data in, data out. No server, no database, nothing of the gateway; a data team can use it as a library.
//!
//! | step | module | from → to |
//! |---|---|---|
//! | read | [`parse`] | a file's bytes → a [`Document`] of [`Block`]s, or a [`Refusal`] a person understands |
//! | split | [`split`] | a document → [`Chunk`](split::Chunk)s, each a byte range of the document's text |
//! | analyse | [`analyse`], [`sparse`] | a text → terms, BM25 weights of a chunk and of a query |
//! | fuse | [`fuse`] | ranked lanes → one ranking, stable from page to page |
//! | index | [`index`] | vectors of chunks → the nearest within a scope, in process or on a Qdrant server |
//! | show | [`highlight`] | a chunk and a query → where the query's words are |
//! | pack | [`pack`], [`fence`] | chunks → numbered passages within a token budget, their text fenced as data |
//! | cite | [`cite`], [`quote`] | an answer, streamed or whole → which passages it cites, which quotes are literal |
//!
//! A file of a stranger is hostile: [`parse::parse`] bounds what it reads and makes, but a third-party parser may still
//! panic, loop or swallow memory. Call it in a process of its own, under limits, as the gateway does.

#[cfg(feature = "documents")]
pub mod analyse;
#[cfg(feature = "documents")]
pub mod cite;
#[cfg(feature = "documents")]
pub mod document;
pub mod fence;
#[cfg(feature = "documents")]
pub mod fuse;
#[cfg(feature = "documents")]
pub mod highlight;
#[cfg(feature = "documents")]
pub mod index;
pub mod language;
#[cfg(feature = "documents")]
pub mod pack;
#[cfg(feature = "documents")]
pub mod parse;
#[cfg(feature = "documents")]
pub mod quote;
#[cfg(feature = "documents")]
pub mod sparse;
#[cfg(feature = "documents")]
pub mod split;

#[cfg(feature = "documents")]
pub use document::{Block, BlockKind, Document, PageState};
pub use language::Language;
#[cfg(feature = "documents")]
pub use parse::{Limits, Refusal, parse};
