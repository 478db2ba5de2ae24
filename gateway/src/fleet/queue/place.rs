//! A place in line.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::fair::Ticket;
use super::{Queue, Slot};

/// Waits for a slot; it is handed over, so that nobody takes it in between. Dropping the place leaves the line at once,
/// and passes on a slot that came too late.
#[derive(Debug)]
pub struct Place<'q> {
    pub(super) queue: &'q Queue,
    pub(super) ticket: Ticket,
    pub(super) slot: oneshot::Receiver<Slot>,
}

/// Turned away, to make room for an organization with a shorter line.
#[derive(Debug, PartialEq, Eq)]
pub struct TurnedAway;

impl Future for Place<'_> {
    type Output = Result<Slot, TurnedAway>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.slot).poll(cx).map_err(|_| TurnedAway)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.leave(&self.ticket);
    }
}
