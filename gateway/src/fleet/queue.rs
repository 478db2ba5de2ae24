//! Waiting for a slot of one model: first come, first served, bounded in length and in time.
//!
//! A slot may be closed to some data classes, so each class has its line, and a freed slot wakes the oldest request
//! among the lines it is open to.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use super::deployment::Deployment;
use crate::config::DataClass;

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    wake: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct Lines {
    next: u64,
    by_class: [VecDeque<Waiter>; 3],
}

#[derive(Debug, Default)]
pub struct Queue {
    lines: Mutex<Lines>,
}

/// A place in line. Dropping it leaves the line.
#[derive(Debug)]
pub struct Place<'q> {
    queue: &'q Queue,
    class: DataClass,
    ticket: u64,
    woken: oneshot::Receiver<()>,
    served: bool,
}

impl Queue {
    /// True when nobody of that class waits, so that a newcomer overtakes no one.
    pub fn nobody_waits(&self, class: DataClass) -> bool {
        self.lock().by_class[class as usize].is_empty()
    }

    pub fn waiting(&self) -> usize {
        self.lock().by_class.iter().map(VecDeque::len).sum()
    }

    /// Joins the line, or `None` when it is full.
    pub fn join(&self, class: DataClass, length: usize) -> Option<Place<'_>> {
        let mut lines = self.lock();
        if lines.by_class.iter().map(VecDeque::len).sum::<usize>() >= length {
            return None;
        }
        let ticket = lines.next;
        lines.next += 1;
        let (wake, woken) = oneshot::channel();
        lines.by_class[class as usize].push_back(Waiter { ticket, wake });
        Some(Place { queue: self, class, ticket, woken, served: false })
    }

    /// Wakes the oldest request that this deployment may serve.
    pub fn wake(&self, deployment: &Deployment) {
        let mut lines = self.lock();
        loop {
            let oldest = DataClass::ALL
                .into_iter()
                .filter(|class| deployment.allows(*class))
                .filter_map(|class| lines.by_class[class as usize].front().map(|waiter| (waiter.ticket, class)))
                .min_by_key(|(ticket, _)| *ticket);
            let Some((_, class)) = oldest else { return };
            let Some(waiter) = lines.by_class[class as usize].pop_front() else { return };
            if waiter.wake.send(()).is_ok() {
                return;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Waits to be woken. It must then take a slot, or go back with [`Place::again`].
    pub async fn woken(&mut self) {
        // A closed channel cannot happen while the queue lives; waking up then is harmless.
        let _ = (&mut self.woken).await;
    }

    /// Whether nobody of the class stands before it.
    pub fn is_first(&self) -> bool {
        self.queue.lock().by_class[self.class as usize].front().is_some_and(|waiter| waiter.ticket == self.ticket)
    }

    /// Leaves the line with a slot in hand.
    pub fn served(mut self) {
        self.served = true;
    }

    /// Back to the head of the line, in the order of tickets.
    pub fn again(&mut self) {
        let (wake, woken) = oneshot::channel();
        self.woken = woken;
        let mut lines = self.queue.lock();
        let line = &mut lines.by_class[self.class as usize];
        let at = line.partition_point(|waiter| waiter.ticket < self.ticket);
        line.insert(at, Waiter { ticket: self.ticket, wake });
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut lines = self.queue.lock();
        let line = &mut lines.by_class[self.class as usize];
        match line.binary_search_by_key(&self.ticket, |waiter| waiter.ticket) {
            Ok(at) => {
                line.remove(at);
            }
            // Woken, and gone before it took the slot: the next one must hear of it.
            Err(_) if !self.served => {
                for line in &mut lines.by_class {
                    while let Some(waiter) = line.pop_front() {
                        if waiter.wake.send(()).is_ok() {
                            break;
                        }
                    }
                }
            }
            Err(_) => {}
        }
    }
}
