//! What is deleted leaves the index and the disk: at once when they answer, and as often as it takes when they do not. It
//! is noted in the database ([`store::removals`](crate::store::removals)), so that a crash forgets nothing.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rag::index::{IndexError, VectorIndex};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::store::removals::{Removal, Removed};
use crate::store::{Database, StoreError, now};

/// How often what other processes deleted, and what did not work, is looked for.
const LOOK: Duration = Duration::from_secs(2);
/// Removals made between two flushes of the index.
const TOGETHER: i64 = 256;
/// The longest pause after failures, milliseconds; they double up to it.
const LATE: i64 = 60_000;
/// How long a stop waits for what is being removed.
const LAST: Duration = Duration::from_secs(1);
/// An upload that has not ended after so long never will.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// Makes removals. Cheap to clone.
#[derive(Clone)]
pub struct Removals {
    store: Database,
    index: Arc<dyn VectorIndex>,
    /// Where documents' files are.
    folder: PathBuf,
    work: Arc<Notify>,
}

impl Removals {
    /// `data`: the data folder of the gateway.
    pub fn new(store: Database, index: Arc<dyn VectorIndex>, data: &Path) -> Removals {
        Removals { store, index, folder: data.join("documents"), work: Arc::new(Notify::new()) }
    }

    /// To be called once something is deleted.
    pub fn wake(&self) {
        self.work.notify_one();
    }

    /// Makes removals until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let incoming = self.folder.join("incoming");
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || tidy(&incoming)).await {
            tracing::debug!(%error, "abandoned uploads could not be tidied away");
        }
        loop {
            let over = async {
                stop.cancelled().await;
                tokio::time::sleep(LAST).await;
            };
            let round = tokio::select! {
                round = self.round() => round,
                // The index may be minutes away; what was begun is made again at the next start.
                () = over => return,
            };
            let more = round.unwrap_or_else(|error| {
                tracing::warn!(%error, "what is deleted waits for the database");
                false
            });
            if stop.is_cancelled() {
                return;
            }
            if more {
                continue;
            }
            tokio::select! {
                () = self.work.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Makes what is due; whether there may be more.
    async fn round(&self) -> Result<bool, StoreError> {
        let due = self.store.removals(TOGETHER).await?;
        if due.is_empty() {
            return Ok(false);
        }
        if let Err(error) = self.out_of_index(&due).await {
            tracing::warn!(%error, "what is deleted waits for the index");
            for removal in &due {
                self.postpone(removal).await?;
            }
            return Ok(false);
        }
        let mut made = Vec::new();
        for removal in &due {
            if let Err(error) = self.off_disk(removal).await {
                tracing::warn!(%error, removal = removal.id, "a file that is deleted stays for now");
                self.postpone(removal).await?;
                continue;
            }
            if removal.what == Removed::Collection {
                while self.store.purge_collection(removal.collection).await? {}
            }
            // Someone may still be writing what is removed: once more when that has ended.
            if removal.keep_until > now() {
                self.store.postpone_removal(removal.id, removal.keep_until).await?;
            } else {
                made.push(removal.id);
            }
        }
        self.store.forget_removals(&made).await?;
        Ok(i64::try_from(due.len()).is_ok_and(|count| count == TOGETHER))
    }

    async fn postpone(&self, removal: &Removal) -> Result<(), StoreError> {
        let pause = (1_000_i64 << removal.attempts.clamp(0, 6)).min(LATE);
        self.store.postpone_removal(removal.id, now() + pause).await
    }

    /// From every space: a collection that is being embedded anew is in two.
    async fn out_of_index(&self, due: &[Removal]) -> Result<(), IndexError> {
        let chunks: Vec<u64> = due
            .iter()
            .filter_map(|removal| match removal.what {
                Removed::Chunk(id) => Some(id.unsigned_abs()),
                _ => None,
            })
            .collect();
        for space in self.index.spaces().await? {
            if !chunks.is_empty() {
                self.index.delete_chunks(&space, &chunks).await?;
            }
            for removal in due {
                let collection = removal.collection.unsigned_abs();
                match &removal.what {
                    Removed::Collection => self.index.delete_collection(&space, collection).await?,
                    Removed::Document { id, .. } => {
                        self.index.delete_document(&space, collection, id.unsigned_abs()).await?;
                    }
                    Removed::Chunk(_) => {}
                }
            }
            self.index.flush(&space).await?;
        }
        Ok(())
    }

    async fn off_disk(&self, removal: &Removal) -> std::io::Result<()> {
        let gone = match &removal.what {
            Removed::Chunk(_) | Removed::Document { file: None, .. } => Ok(()),
            Removed::Collection => tokio::fs::remove_dir_all(self.folder.join(removal.collection.to_string())).await,
            Removed::Document { file: Some(file), .. } => {
                // Only ever written by us; still, nothing outside the folder.
                let inside = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
                if inside { tokio::fs::remove_file(self.folder.join(file)).await } else { Ok(()) }
            }
        };
        match gone {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

/// Deletes what uploads left that were cut by a crash.
fn tidy(incoming: &Path) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(incoming) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let age = SystemTime::now().duration_since(entry.metadata()?.modified()?).unwrap_or_default();
        if age > ABANDONED {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
