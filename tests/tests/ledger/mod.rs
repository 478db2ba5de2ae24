//! The stores of limits, below any request: one suite of behaviours on both ([`behaviours`]), the same answers from both
//! over random schedules ([`agreement`]), what their counting comes to over minutes ([`saturation`]), several replicas on
//! one Redis ([`replicas`]), and Redis killed and started again under load ([`outage`]).

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "in tests, a panic is how a failure is told"
)]

mod agreement;
mod behaviours;
mod desk;
mod outage;
mod replicas;
mod saturation;
mod server;
