//! Search and chat that cites, over HTTP: methods, ranks, pages and the rest ([`methods`]), filters ([`filters`]), what
//! nobody else's search ever finds ([`isolation`]), where a class of data may go ([`classes`]), refusals and records
//! ([`refusals`]), answers with their sources ([`citing`]), texts that give orders ([`injections`]), `guichet eval
//! retrieval` ([`evaluation`]) and the pages of the documentation ([`pages`]). On SQLite and on PostgreSQL, on the
//! embedded index, with an engine whose vectors depend on the text alone.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "in tests, a panic is how a failure is told")]

mod citing;
mod classes;
mod evaluation;
mod filters;
mod injections;
mod isolation;
mod methods;
mod pages;
mod refusals;
mod stand;
