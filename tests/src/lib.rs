//! What tests stand on: a gateway on a port of its own, a scripted and counted engine, a database for each test.

#![expect(clippy::expect_used, clippy::panic, reason = "in tests, a panic is how a failure is told")]

pub mod app;
pub mod database;
pub mod engine;
pub mod form;
pub mod gateway;
pub mod index;
pub mod process;
pub mod redis;

pub use app::{Key, TestApp, chat, configuration, model, read};
pub use database::Backend;
pub use engine::{Chat, FakeEngine};
pub use gateway::Gateway;
pub use process::Process;
pub use redis::Redis;
