//! What replicas tell each other: the tokens each has served, and that it lives.
//!
//! Each replica queues for itself, on its [part](crate::fleet::lease) of every engine's slots. Several times a second it
//! adds what it has served to common totals, and counts what the others have added since. Its counters lag behind by what
//! the others serve in one [`PERIOD`]: that much is added to the bound of one process. Without Redis each goes on with the
//! last part it knew.

pub mod board;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::board::Board;
use super::tenant::Lane;
use crate::fleet::Fleet;

/// How often replicas tell each other.
pub const PERIOD: Duration = Duration::from_millis(200);

/// What one organization was served of one model.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Entry {
    pub model: Arc<str>,
    pub organization: i64,
    pub lane: Lane,
}

/// The common totals after one's own tokens were added.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Round {
    /// Changes when the totals began anew.
    pub epoch: i64,
    /// In the order of what was told.
    pub totals: Vec<i64>,
    pub rank: u32,
    pub replicas: u32,
}

/// What this replica has to tell, and what it has heard. No clock, no I/O.
#[derive(Debug, Default)]
pub struct Exchange {
    untold: BTreeMap<Entry, i64>,
    seen: HashMap<Entry, i64>,
    epoch: i64,
}

impl Exchange {
    /// Notes what was served here.
    pub fn note(&mut self, model: &Arc<str>, news: impl IntoIterator<Item = ((i64, Lane), i64)>) {
        for ((organization, lane), tokens) in news {
            *self.untold.entry(Entry { model: model.clone(), organization, lane }).or_default() += tokens;
        }
    }

    /// What is to be told. It stays so until [`Exchange::learn`].
    pub fn letter(&self) -> Vec<(Entry, i64)> {
        self.untold.iter().map(|(entry, tokens)| (entry.clone(), *tokens)).collect()
    }

    /// What others have served meanwhile. Of an organization that was not heard of here the round before, nothing: it has
    /// just come, and is lifted like any other.
    pub fn learn(&mut self, letter: Vec<(Entry, i64)>, round: &Round) -> Vec<(Entry, i64)> {
        let known = std::mem::take(&mut self.seen);
        let same = self.epoch == round.epoch;
        self.epoch = round.epoch;
        self.untold.clear();
        let mut elsewhere = Vec::new();
        for ((entry, own), total) in letter.into_iter().zip(&round.totals) {
            self.seen.insert(entry.clone(), *total);
            if let Some(before) = known.get(&entry).filter(|_| same)
                && total - before != own
            {
                elsewhere.push((entry, total - before - own));
            }
        }
        elsewhere
    }
}

impl Fleet {
    /// Exchanges with the other replicas until the process stops.
    pub async fn exchange(self: Arc<Self>, mut board: Board, stop: CancellationToken) {
        let mut exchange = Exchange::default();
        let mut heard = true;
        loop {
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = stop.cancelled() => return,
            }
            let models = self.visible(None);
            for model in &models {
                exchange.note(&model.id, model.held.queue.news());
            }
            let letter = exchange.letter();
            let round = match board.round(&letter).await {
                Ok(round) => round,
                Err(error) => {
                    if std::mem::take(&mut heard) {
                        tracing::warn!(%error, "replicas do not hear each other; each keeps its part of the slots");
                    }
                    continue;
                }
            };
            heard = true;
            for (entry, tokens) in exchange.learn(letter, &round) {
                if let Some(model) = models.iter().find(|model| model.id == entry.model) {
                    model.held.queue.served_elsewhere(entry.organization, entry.lane, tokens);
                }
            }
            if self.registry.lease.set(round.rank, round.replicas) {
                tracing::info!(rank = round.rank, replicas = round.replicas, "another part of the engines' slots");
                models.iter().for_each(|model| model.held.queue.refresh(model));
            }
        }
    }
}

#[cfg(test)]
mod tests;
