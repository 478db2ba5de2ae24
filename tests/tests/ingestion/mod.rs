//! Documents on their way in, over HTTP and from the shell: each format to the index ([`formats`]), reasons in words
//! ([`reasons`]), what waits and goes on ([`waits`]), turns between organizations ([`turns`]), `kill -9` ([`kill`]),
//! progress as events ([`events`]), OCR ([`ocr`], [`rates`]), `guichet ingest` ([`shell`]) and the page of the documentation
//! ([`page`]). On SQLite with the embedded index, on PostgreSQL with the one of [`tests::index`].

#![expect(clippy::expect_used, clippy::panic, reason = "in tests, a panic is how a failure is told")]
#![expect(clippy::print_stdout, reason = "what ran is told")]

mod events;
mod formats;
mod kill;
mod ocr;
mod page;
mod rates;
mod reasons;
mod shell;
mod stand;
mod turns;
mod waits;
