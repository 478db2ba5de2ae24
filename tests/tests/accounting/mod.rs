//! Part 8, accounting that loses nothing: one record for each request, however it ends ([`ends`]), with the database
//! away ([`outage`]), after `kill -9` ([`crash`]), and read by the commands of its page ([`reading`]). On both databases.

#![expect(clippy::expect_used, clippy::panic, reason = "in tests, a panic is how a failure is told")]

mod crash;
mod ends;
mod outage;
mod reading;

use serde_json::Value;
use tests::{FakeEngine, model};

/// A configuration of models on one engine, all under the names by which it behaves.
fn models(engine: &FakeEngine, names: &[&str]) -> String {
    let lines: String = names.iter().map(|name| model(name, "chat", &engine.url(), "")).collect();
    format!("models:\n{lines}")
}

/// The fields of a record, side by side.
fn fields(record: &Value, names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| record[*name].clone()).collect()
}
