//! Part 5, sovereignty by construction: the rules ([`rules`]), that nothing leads round them ([`bypass`]), and whom the
//! process speaks to ([`outgoing`]).

#![expect(clippy::expect_used, clippy::panic, reason = "in tests, a panic is how a failure is told")]

mod bypass;
mod outgoing;
mod rules;

use tests::FakeEngine;

/// The hostings of every test configuration.
const HOSTINGS: [&str; 4] = ["state", "qualified", "european", "foreign"];

/// The data classes.
const CLASSES: [&str; 3] = ["public", "internal", "sensitive"];

/// The default rules: whether data of a class may reach a hosting.
fn may_reach(class: &str, hosting: &str) -> bool {
    match class {
        "public" => true,
        "internal" => hosting != "foreign",
        _ => matches!(hosting, "state" | "qualified"),
    }
}

/// One deployment of a model; `more` follows its fields.
fn deployment(name: &str, engine: &FakeEngine, hosting: &str, more: &str) -> String {
    format!("      - {{name: {name}, url: '{}', engine: openai, hosting: {hosting}{more}}}\n", engine.url())
}

/// A chat model on these deployments; `more` follows its fields.
fn model(id: &str, deployments: &[String], more: &str) -> String {
    format!("  - id: {id}\n    type: chat\n{more}    deployments:\n{}", deployments.concat())
}
