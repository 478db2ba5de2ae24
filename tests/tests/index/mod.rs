//! What a vector index does, whichever engine is behind it: changes ([`changes`]), filters of every type ([`filters`]),
//! nothing outside of its scope ([`isolation`]), order and exactness ([`ranking`]), what survives ([`durability`]),
//! many collections ([`crowd`]). On the embedded engine always, on a Qdrant server where `GUICHET_TEST_QDRANT_URL` says
//! where one listens for gRPC.

#![expect(clippy::expect_used, clippy::panic, reason = "in tests, a panic is how a failure is told")]
#![expect(clippy::print_stdout, reason = "what ran, and the seed of a failure, are told")]

mod agreement;
mod changes;
mod crowd;
mod durability;
mod filters;
mod isolation;
mod ranking;
mod stand;
