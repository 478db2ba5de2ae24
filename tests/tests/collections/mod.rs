//! Collections, documents and chunks over HTTP: each route and its older names ([`routes`]), forms ([`forms`]), what
//! deletes ([`removals`]), quotas ([`quotas`]), who may ([`rights`]), organizations that know nothing of each other
//! ([`isolation`]) and the page of the documentation ([`page`]). On both databases.

#![expect(clippy::expect_used, clippy::panic, reason = "in tests, a panic is how a failure is told")]

mod forms;
mod isolation;
mod page;
mod quotas;
mod removals;
mod rights;
mod routes;
mod stand;
