//! Connections to one engine that carry nothing, kept for the next request of the same worker.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connection::Connection;

/// Longest rest; engines close what rests longer than they like.
const REST: Duration = Duration::from_secs(60);

/// The latest last.
#[derive(Debug)]
pub struct Idle {
    connections: Mutex<VecDeque<Connection>>,
    most: usize,
}

impl Idle {
    pub fn new(most: usize) -> Idle {
        Idle { connections: Mutex::default(), most }
    }

    /// The latest that still stands `now`: those the engine closed meanwhile are dropped.
    pub fn take(&self, now: Instant) -> Option<Connection> {
        loop {
            let mut connection = self.lock().pop_back()?;
            // Nobody has listened to it since: it learns here that the engine left.
            if now.saturating_duration_since(connection.idle_since) < REST && connection.stands() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose answer was read to its end.
    pub fn keep(&self, mut connection: Connection) {
        connection.idle_since = Instant::now();
        let mut connections = self.lock();
        if connections.len() < self.most {
            connections.push_back(connection);
        }
    }

    /// Closes those that rest for too long.
    pub fn tidy(&self) {
        let mut connections = self.lock();
        while connections.front().is_some_and(|oldest| oldest.idle_since.elapsed() >= REST) {
            connections.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
