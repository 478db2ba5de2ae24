//! A worker's place: its lane, and what indexes beside it.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::Crew;
use crate::ingest::indexing;
use crate::store::jobs::Lane;

/// The way to what indexes beside an embedder.
pub type Shelf = mpsc::Sender<indexing::Message>;

/// A worker's place.
pub struct Desk {
    pub lane: Lane,
    shelf: Option<Shelf>,
}

impl Desk {
    pub fn reader() -> Desk {
        Desk { lane: Lane::Reading, shelf: None }
    }

    pub fn embedder() -> Desk {
        Desk { lane: Lane::Embedding, shelf: None }
    }

    /// What indexes for an embedder; begun anew where a bug has ended it, whose jobs come back when their leases end.
    pub fn shelf(&mut self, crew: &Arc<Crew>, tasks: &TaskTracker) -> Option<Shelf> {
        if self.lane == Lane::Embedding && self.shelf.as_ref().is_none_or(mpsc::Sender::is_closed) {
            let (shelf, from) = mpsc::channel(indexing::BEHIND);
            let (crew, stop) = (crew.clone(), crew.stop.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = indexing::run(crew, from) => {}
                    // What is not written down is embedded again.
                    () = stop.cancelled() => {}
                }
            });
            self.shelf = Some(shelf);
        }
        self.shelf.clone()
    }
}
