//! Guichet: one OpenAI-compatible counter in front of self-hosted open models.
//!
//! # A chat request, in one direction
//!
//! 1. [`server`] accepts the connection and reads the head, within bounds of size and time.
//! 2. [`layers`] gives the request its id, then denies by default: a key becomes a
//!    [`Principal`](policy::identity::Principal) (from a cache, not from the database), and the
//!    [burst gates](policy::gate) let it through.
//! 3. A call of a model goes straight to its endpoint ([`router`] finds the handler of everything else); [`api::chat`]
//!    tells the rest of the story.
//! 4. [`api::visit`] reads the body, borrows its [`Head`](openai::Head) (unknown fields are never parsed, never lost) and
//!    admits the request: from here on the [`Turn`](recorder::Turn) makes sure that it is recorded, whatever happens.
//! 5. [`fleet::models`] turns a name into a model that this organization may see; addresses that an engine would fetch
//!    are refused; a [prompt](prompts) is rendered only when one is named.
//! 6. What the request may use is [reserved](policy::limits) from all limits of the caller, or from none; the turn holds
//!    it.
//! 7. [`Fleet::send`](fleet::Fleet::send) draws an engine among those the data class may reach, waits in
//!    [line](fleet::queue) when all are full, writes the body in that engine's words (byte ranges, one copy) and sends it.
//!    Until the first byte, a failing engine is replaced by another, then by the fallback model.
//! 8. [`relay`] forwards the answer. It owns the slot, the turn and the engine's stream: at the end, or when the client
//!    goes away, dropping it gives the slot back, closes the engine's connection and settles the record.
//! 9. [`recorder`] settles what was used, and writes admission and end to a journal on disk within 100 ms; its
//!    [`writer`](recorder::writer) carries ended records to the [database](store) in batches, by a
//!    [connection of its own](store::link).
//!
//! Nothing calls back up. What is needed by all is made once in [`app::App`] and shared.
//!
//! # Rooms
//!
//! | room | holds |
//! |---|---|
//! | [`config`] | what an administration says, checked as a whole |
//! | [`policy`] | who may do what and how much: keys, roles, gates, pseudonyms, limits |
//! | [`openai`] | the wire, as pure functions over bytes |
//! | [`fleet`] | models, engines, their health, the only sender |
//! | [`relay`], [`recorder`] | the answer on its way, and its record |
//! | [`ingest`] | the queue of documents and its workers, around the crate `rag` |
//! | [`retrieval`] | the index of chunks, and what keeps it in order |
//! | `evaluation` | content kept of projects that agreed, redacted, drawn from, let go of: around the crate `eval` |
//! | [`store`] | SQLite or PostgreSQL, every query written once |
//! | [`api`], [`cli`] | what people and programs call |

pub mod api;
pub mod app;
#[cfg(feature = "retrieval")]
pub mod augment;
pub mod cli;
pub mod config;
pub mod embed;
pub mod errand;
pub mod error;
#[cfg(feature = "eval")]
pub mod evaluation;
pub mod fleet;
pub mod gather;
#[cfg(feature = "retrieval")]
pub mod ingest;
pub mod layers;
pub mod openai;
#[cfg(feature = "retrieval")]
pub mod passage;
pub mod pieces;
pub mod policy;
pub mod prompts;
pub mod recorder;
pub mod relay;
pub mod reload;
#[cfg(feature = "retrieval")]
pub mod retrieval;
#[cfg(feature = "retrieval")]
pub mod retriever;
pub mod router;
pub mod server;
pub mod start;
pub mod store;
pub mod telemetry;

pub use start::{Running, StartError, start};
