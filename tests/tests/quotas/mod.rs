//! Quotas over HTTP: each kind of limit and its words ([`refusals`]), what gives back ([`refunds`]), no more than the bound
//! ([`overshoot`]), changes and who may make them ([`changes`]), what callers and managers see ([`seen`]), warnings
//! ([`warnings`]), two gateways as one ([`replicas`]), what a restart remembers ([`memory`]) and the page of the
//! documentation ([`page`]). On SQLite with limits in process; on PostgreSQL with limits in Redis;
//! and on two processes of the real binary, on one PostgreSQL and one Redis, asked in turn.

#![expect(clippy::expect_used, clippy::panic, reason = "in tests, a panic is how a failure is told")]
#![expect(clippy::print_stdout, reason = "figures are told to who reads the output")]

mod changes;
mod memory;
mod overshoot;
mod page;
mod refunds;
mod refusals;
mod replicas;
mod seen;
mod stand;
mod warnings;
