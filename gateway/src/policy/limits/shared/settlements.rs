//! What ended requests owe the shared store: kept, in order and within a bound, until it has it. Every call may be sent
//! twice: the script knows its tickets.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::Cmd;
use tokio::sync::{Mutex as Held, mpsc};
use tokio_util::sync::CancellationToken;

use super::call::{Calls, Frame};
use super::link::{Failure, Link};
use crate::policy::limits::rule::Used;
use crate::policy::limits::ticket::Ticket;

/// Settlements that wait for a store that is gone; beyond, they are lost and counted.
const ROOM: usize = 65_536;
const BATCH: usize = 128;

/// What has to be told.
#[derive(Debug)]
pub enum Owed {
    Settled(Ticket, Used),
    Released {
        organization: i64,
        ticket: u64,
    },
    /// Passed while the store was gone.
    Charged(Ticket, Used),
}

impl Owed {
    fn call(&self, calls: &Calls, frame: &Frame) -> Cmd {
        match self {
            Owed::Settled(ticket, used) => calls.settle(frame, ticket, *used),
            Owed::Released { organization, ticket } => calls.release(frame, *organization, *ticket),
            Owed::Charged(ticket, used) => calls.charge(frame, ticket, *used),
        }
    }
}

pub struct Settlements {
    sender: mpsc::Sender<Owed>,
    receiver: Held<mpsc::Receiver<Owed>>,
    /// Taken in and not told yet.
    waiting: AtomicUsize,
    lost: AtomicU64,
    /// Tickets that the store holds for this replica, and when their lease was last renewed.
    open: Mutex<HashMap<u64, (i64, Instant)>>,
}

impl Default for Settlements {
    fn default() -> Settlements {
        let (sender, receiver) = mpsc::channel(ROOM);
        Settlements {
            sender,
            receiver: Held::new(receiver),
            waiting: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            open: Mutex::default(),
        }
    }
}

impl Settlements {
    pub fn opened(&self, organization: i64, ticket: u64) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket, (organization, Instant::now()));
    }

    /// Ends a ticket, once: tells whether it was open still. What is owed for it is taken in under the same lock, so that
    /// no moment sees neither.
    pub fn end(&self, ticket: u64, owed: Option<Owed>) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.remove(&ticket).is_none() {
            return false;
        }
        if let Some(owed) = owed {
            self.owe(owed);
        }
        true
    }

    pub fn owe(&self, owed: Owed) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        if self.sender.try_send(owed).is_err() {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            if self.lost.fetch_add(1, Ordering::Relaxed).is_multiple_of(1_000) {
                tracing::error!("settlements of limits are lost: the shared store has been gone for too long");
            }
        }
    }

    /// Settlements that found no room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Settlements that wait to be told.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Tells the store, for as long as requests run; `drain` is what they are given to end once the gateway stops.
    pub async fn deliver(&self, link: &Link, stop: CancellationToken, drain: Duration) {
        let mut receiver = self.receiver.lock().await;
        let mut up = link.watch();
        let mut batch = Vec::with_capacity(BATCH);
        let mut deadline: Option<Instant> = None;
        loop {
            if batch.is_empty() {
                tokio::select! {
                    _ = receiver.recv_many(&mut batch, BATCH) => {}
                    () = stop.cancelled(), if deadline.is_none() => {}
                    () = tokio::time::sleep(Duration::from_millis(50)), if deadline.is_some() => {}
                }
            }
            if stop.is_cancelled() {
                let until = *deadline.get_or_insert_with(|| Instant::now() + drain);
                let rest = batch.is_empty() && self.open.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
                // What a store that is gone is not told, its leases give back.
                if (rest && receiver.is_empty()) || Instant::now() >= until || (!batch.is_empty() && !link.is_up()) {
                    return;
                }
            }
            if batch.is_empty() {
                continue;
            }
            tokio::select! {
                up = up.wait_for(|up| *up) => if up.is_err() { return },
                () = stop.cancelled(), if deadline.is_none() => continue,
                () = tokio::time::sleep(Duration::from_millis(50)), if deadline.is_some() => continue,
            }
            let before = batch.len();
            tell(link, &mut batch).await;
            self.waiting.fetch_sub(before - batch.len(), Ordering::AcqRel);
        }
    }

    /// Renews the leases of requests that last.
    pub async fn renew(&self, link: &Link, lease: Duration, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(lease / 6) => {}
                () = stop.cancelled() => return,
            }
            let due = self.due(lease / 3);
            if due.is_empty() {
                continue;
            }
            let frame = link.frame();
            let (organizations, calls): (Vec<_>, Vec<_>) = due
                .iter()
                .map(|(organization, tickets)| (*organization, link.calls.renew(&frame, *organization, tickets)))
                .unzip();
            if link.send(&calls).await.is_ok() {
                let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
                for ticket in organizations.iter().filter_map(|organization| due.get(organization)).flatten() {
                    if let Some((_, renewed)) = open.get_mut(ticket) {
                        *renewed = Instant::now();
                    }
                }
            }
        }
    }

    fn due(&self, age: Duration) -> BTreeMap<i64, Vec<u64>> {
        let mut due: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for (ticket, (organization, renewed)) in open.iter() {
            if renewed.elapsed() >= age {
                due.entry(*organization).or_default().push(*ticket);
            }
        }
        due
    }
}

/// Sends a batch. Keeps what has to be sent again.
async fn tell(link: &Link, batch: &mut Vec<Owed>) {
    let frame = link.frame();
    let calls: Vec<Cmd> = batch.iter().map(|owed| owed.call(&link.calls, &frame)).collect();
    match link.send(&calls).await {
        Ok(answers) => {
            // -1: our calendar was not the server's; its clock is known by now.
            let mut answers = answers.iter();
            batch.retain(|_| answers.next().is_some_and(|answer| answer.first() == Some(&-1)));
        }
        Err(Failure::Gone | Failure::Away) => {}
        // One of them is refused, or the script is not there yet: one at a time.
        Err(Failure::Refused(_)) => {
            let mut kept = Vec::new();
            for (owed, call) in batch.drain(..).zip(&calls) {
                match link.send_one(call).await {
                    Ok(answer) if answer.first() == Some(&-1) => kept.push(owed),
                    Ok(_) => {}
                    Err(Failure::Gone | Failure::Away) => kept.push(owed),
                    Err(Failure::Refused(error)) => tracing::error!(%error, "a settlement of limits is refused"),
                }
            }
            *batch = kept;
        }
    }
}
