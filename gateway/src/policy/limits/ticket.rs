//! What a store says of a request: what it holds for it, or which limit refused it.

use std::time::Duration;

use super::rule::{Ask, Chain};

/// What a store took for a request. Settling and releasing are idempotent by its id.
#[derive(Clone, Debug)]
pub struct Ticket {
    pub id: u64,
    /// The limits that were counted: during an outage of the shared store, this replica's share of them.
    pub chain: Chain,
    pub ask: Ask,
    /// When it was taken, in Unix milliseconds.
    pub at: i64,
    pub(super) home: Home,
}

/// Who counted a ticket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Home {
    /// The ledger in process.
    Local,
    /// Redis.
    Shared,
    /// This replica's share, while Redis is gone.
    Share,
    /// Nobody: Redis is gone and the setting is to let pass.
    Nobody,
}

/// How one limit of a chain stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remaining {
    /// Index in the chain.
    pub limit: usize,
    pub used: u64,
    pub max: u64,
    /// What this request's project could still take: less than `max - used` when others hold guarantees.
    pub left: u64,
    /// Until the count is back to nothing; zero where it is nothing already, or counts slots.
    pub resets_in: Duration,
}

/// The limits that will bite next, after a reservation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// The one with the fewest requests left.
    pub requests: Option<Remaining>,
    /// The one with the fewest tokens left.
    pub tokens: Option<Remaining>,
    /// Of the daily and monthly ones, the one most used in proportion: what warnings look at.
    pub fullest: Option<Remaining>,
}

/// The limit that refused. Of several, the one that will hold longest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bite {
    /// Index in the chain.
    pub limit: usize,
    pub used: u64,
    pub max: u64,
    pub asked: u64,
    /// When it would let this ask through; `None` when it never will: the ask is larger than the limit.
    pub retry_after: Option<Duration>,
    pub resets_in: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    Limit(Bite),
    /// The shared store is gone and the setting is to refuse.
    Unavailable,
}

impl Bite {
    /// Whether this limit holds longer than another.
    pub(super) fn holds_longer(&self, than: &Bite) -> bool {
        match (self.retry_after, than.retry_after) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(one), Some(other)) => one > other,
        }
    }
}
