//! Every statistic and metric beside independent implementations ([`means`], [`agreement`], [`comparisons`], [`texts`]),
//! whether 95 % intervals cover 95 % of the time ([`coverage`]), and how fast they are ([`speed`]).

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "in tests, a panic is how a failure is told"
)]

mod annotators;
mod comparisons;
mod coverage;
mod means;
mod reference;
mod speed;
mod texts;
