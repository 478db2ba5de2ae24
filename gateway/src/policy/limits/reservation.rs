//! What is held for one request, from before its engine is called until its usage is known.

use std::sync::Arc;

use super::Limits;
use super::estimate::{Calibration, Weight};
use super::rule::Used;
use super::ticket::Ticket;

/// Owned by the request's [`Turn`](crate::recorder::Turn). Dropped without a word, it gives all back.
pub struct Reservation {
    limits: Arc<Limits>,
    /// `None` when nothing limits the caller.
    ticket: Option<Ticket>,
    model: Arc<str>,
    calibration: Arc<Calibration>,
    weight: Weight,
}

/// What is known of a request that ended.
#[derive(Clone, Copy, Debug)]
pub struct Outturn<'a> {
    /// The model that answered.
    pub model: Option<&'a str>,
    /// Whether the engine's own counts are in `used`.
    pub measured: bool,
    /// Whether the answer is whole.
    pub whole: bool,
    pub used: Used,
    /// Bytes of text that the engine wrote.
    pub text_bytes: u64,
}

impl Reservation {
    pub(super) fn new(
        limits: Arc<Limits>,
        ticket: Option<Ticket>,
        model: Arc<str>,
        calibration: Arc<Calibration>,
        weight: Weight,
    ) -> Reservation {
        Reservation { limits, ticket, model, calibration, weight }
    }

    /// Charges what was used, and learns from it.
    pub fn settle(mut self, end: &Outturn<'_>) {
        if let Some(ticket) = self.ticket.take() {
            self.limits.store.settle(&ticket, end.used);
        }
        // Another model's tokens teach nothing of this one's.
        if end.model != Some(&*self.model) || !end.whole {
            return;
        }
        if end.measured {
            self.calibration.learn(self.weight, end.used.input, end.text_bytes, end.used.output);
            self.calibration.wrote(end.used.output);
        } else {
            self.calibration.heard_nothing();
        }
    }

    /// Gives all back, as if nothing had been asked.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.limits.store.release(&ticket);
        }
    }
}

impl std::fmt::Debug for Reservation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reservation({:?}, {})", self.ticket.as_ref().map(|ticket| ticket.id), self.model)
    }
}
