//! The wire: what clients and engines say to each other, as pure functions over bytes.
//!
//! Nothing here does I/O or waits. Bodies are borrowed, edits are byte ranges, and what has
//! nothing to change goes out as the very `Bytes` that came in.
//!
//! | file | noun |
//! |---|---|
//! | `wire_error` | [`WireError`]: what is wrong with a request, without words for people |
//! | `scan` | a tokenizer over JSON already known to be valid: depth, nested duplicated keys |
//! | `object` | the fields of one JSON object, each with its byte range |
//! | `head` | [`Head`]: the top level of a request body |
//! | `parameters` | the small JSON of generation parameters that goes into the usage record |
//! | `urls` | refuses URLs that an engine would fetch |
//! | `splice` | [`Edits`]: set and remove fields, one copy at most |
//! | `fold` | messages folded for templates that demand alternation |
//! | `sse` | [`Splitter`]: whole server-sent events out of arbitrary frames |
//! | `chunk` | one streamed chunk, borrowed; the engine's own error, recognised |
//! | `usage` | [`Usage`], its engines' spellings, estimates and impacts |
//! | `rules` | [`Rules`]: what an answer must become; [`Observed`]: what it was |
//! | `think` | text between `<think>` tags, told apart while it streams |
//! | `clean` | a fence or a preamble around an answer, removed while it streams |
//! | `tool_calls` | tool-call deltas gathered into whole calls |
//! | `choice` | what a stream remembers of one choice |
//! | `stream` | [`Transcript`]: a stream observed, forwarded, edited where a rule says so |
//! | `annex` | fields of ours put into an answer once its text is known |
//! | `answer` | the same rules over an answer that is not streamed |
//! | `embeddings`, `rerank` | the two other endpoints |

pub mod annex;
pub mod answer;
mod choice;
mod chunk;
pub mod clean;
pub mod embeddings;
pub mod fold;
pub mod head;
pub mod object;
pub mod parameters;
pub mod rerank;
pub mod rules;
pub mod scan;
pub mod splice;
pub mod sse;
pub mod stream;
pub mod think;
pub mod tool_calls;
pub mod urls;
pub mod usage;
pub mod wire_error;

pub use answer::{NotAnAnswer, rewrite};
pub use head::Head;
pub use rules::{Cleaning, Observed, Reasoning, Rename, Rules};
pub use splice::Edits;
pub use sse::Splitter;
pub use stream::{End, Flow, Outcome, Transcript};
pub use usage::Usage;
pub use wire_error::{Expected, Remedy, WireError};
