//! Documents on their way in, around the crate `rag`: a durable queue, and two kinds of workers that take from it.
//!
//! 1. A document is in the database with a job before anybody works on it ([`store::jobs`](crate::store::jobs)).
//! 2. A *reader* takes it, with small ones of the same collection: [`worker`] parses the files in a process of their own,
//!    pages without text go to OCR, the text is split, and the chunks are stored in one transaction.
//! 3. An *embedder* takes chunks in batches: vectors through the [fleet](crate::embed). Beside it, [`indexing`] puts them
//!    into the index, flushes it, and only then marks in the database that they are indexed.
//! 4. What fails for now (engine down, quota used up, index away) goes back with a time not to be taken before; what
//!    fails for good leaves a reason in words, and nothing to be found.
//!
//! Killed anywhere, it goes on from what the database says. Organizations take turns.

pub mod crew;
pub mod embedding;
pub mod fair;
pub mod indexing;
pub mod ocr;
pub mod reader;
pub mod reading;
pub mod setback;
pub mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

pub use crate::store::jobs::{Progress, Stage};
use crate::store::{Database, StoreError};

pub use crate::passage;
pub use worker::{ParseError, Worker};

/// How often the database is asked for what other replicas did.
const LOOK: Duration = Duration::from_millis(500);
/// News kept for those who watch slowly; they look into the database when they miss some.
const NEWS: usize = 256;

/// The queue's public side: what puts documents in and watches them. Cheap to clone.
#[derive(Clone)]
pub struct Ingestion {
    store: Database,
    /// There is work.
    work: Arc<Notify>,
    /// Documents that have moved, by their ids.
    news: broadcast::Sender<i64>,
}

impl Ingestion {
    pub fn new(store: Database) -> Ingestion {
        Ingestion { store, work: Arc::new(Notify::new()), news: broadcast::channel(NEWS).0 }
    }

    /// To be called after the transaction that put documents into the queue ([`enqueue`](crate::store::jobs::enqueue)):
    /// workers of this process start at once. Those of other processes look for themselves.
    pub fn wake(&self) {
        self.work.notify_waiters();
    }

    /// A document has moved.
    fn tell(&self, document: i64) {
        // Nobody may be watching.
        drop(self.news.send(document));
    }

    /// Waits until a document is searchable or has failed, no longer than `patience`: its state then. `None` when it
    /// does not exist or was deleted meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn wait(&self, document: i64, patience: Duration) -> Result<Option<Progress>, StoreError> {
        let until = Instant::now() + patience;
        let mut watch = self.watch(document);
        loop {
            match tokio::time::timeout_at(until, watch.next()).await {
                Ok(Ok(Some(progress))) if progress.stage.is_end() => return Ok(Some(progress)),
                Ok(Ok(Some(_))) => {}
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) => return Err(error),
                Err(_) => return self.store.progress(document).await,
            }
        }
    }

    /// Watches a document: its state now, then each change.
    pub fn watch(&self, document: i64) -> Watch {
        Watch { store: self.store.clone(), news: self.news.subscribe(), document, last: None }
    }
}

/// The changes of one document.
pub struct Watch {
    store: Database,
    news: broadcast::Receiver<i64>,
    document: i64,
    last: Option<Progress>,
}

impl Watch {
    /// The next state that differs from the last one told. `None` after the end, or when the document is gone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next(&mut self) -> Result<Option<Progress>, StoreError> {
        if self.last.as_ref().is_some_and(|last| last.stage.is_end()) {
            return Ok(None);
        }
        loop {
            let Some(progress) = self.store.progress(self.document).await? else { return Ok(None) };
            if self.last.as_ref() != Some(&progress) {
                self.last = Some(progress.clone());
                return Ok(Some(progress));
            }
            self.moved().await;
        }
    }

    /// Waits for news of this document, or for the time to look.
    async fn moved(&mut self) {
        let look = Instant::now() + LOOK;
        loop {
            match tokio::time::timeout_at(look, self.news.recv()).await {
                Ok(Ok(document)) if document != self.document => {}
                // News of it, news missed, no more news, or time to look.
                Ok(_) | Err(_) => return,
            }
        }
    }
}
