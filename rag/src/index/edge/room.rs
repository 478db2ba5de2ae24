//! One space on disk, and who may do what at once.
//!
//! Searches go beside everything. Changes come one at a time; a flush goes beside none, which the engine would answer
//! with a panic. Upkeep goes beside changes. During it, the engine keeps deletions from the parts that it rebuilds in
//! memory alone, so that a flush in the full sense waits for its end, while one of what was added does not.
//!
//! What is not in order yet makes each further chunk slower to add: the engine goes through all that hold a word for each
//! word of it. So a writer who has piled up many chunks puts the space in order before going on.
//!
//! The engine writes each change to a log that it reads neither back at the start nor ever shortens. Only its last
//! number is needed, so all but the newest closed pieces of it are removed when what they say is safe.

use std::fs::{self, File};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use qdrant_edge::{
    CountRequest, CreateIndex, Distance, EdgeConfig, EdgeShard, EdgeSparseVectorParams, EdgeVectorParams,
    FieldIndexOperations, HnswIndexConfig, KeywordIndexParams, OperationError, PayloadFieldSchema, PayloadSchemaParams,
    QueryRequest, Record, ScoredPoint, ScrollRequest, UpdateOperation, WalOptions,
};
use rustix::fs::FallocateFlags;

use super::words;
use crate::index::payload::{COLLECTION, DOCUMENT, FACTS};
use crate::index::{IndexError, Space};

pub(super) const DENSE: &str = "dense";
pub(super) const SPARSE: &str = "sparse";
/// What the name of a folder starts with that is half made or half removed.
pub(super) const UNFINISHED: &str = ".unfinished-";

/// Bytes of one piece of the engine's log.
const LOG_PIECE: usize = 8 << 20;
/// Chunks added since the last upkeep from which their writer sees to it, if nobody does.
const PILE: usize = 20_000;
/// And from which the writer waits for the upkeep under way.
const HEAP: usize = 100_000;
/// How often a flush beside upkeep is tried.
const TRIES: usize = 5;
/// Links of a chunk in the graph, once among all and once among those of its collection.
const LINKS: usize = 16;

pub(super) struct Room {
    shard: EdgeShard,
    folder: PathBuf,
    changes: Mutex<()>,
    upkeep: Mutex<()>,
    /// Since the last upkeep.
    changed: AtomicBool,
    added: AtomicUsize,
}

impl Room {
    /// Makes the space's folder in `parent`: whole or not at all.
    pub fn make(parent: &Path, space: &Space) -> Result<Room, IndexError> {
        let failed = |error: std::io::Error| IndexError::Engine(format!("{}: {error}", parent.display()));
        let (unfinished, folder) = (parent.join(format!("{UNFINISHED}{space}")), parent.join(space.name()));
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(failed)?;
        }
        fs::create_dir(&unfinished).map_err(failed)?;
        let shard = EdgeShard::new(&unfinished, config(space)).map_err(told)?;
        for (field, tenant) in [(COLLECTION, true), (DOCUMENT, false), (FACTS, false)] {
            let keyword = KeywordIndexParams { is_tenant: Some(tenant), on_disk: Some(true), ..Default::default() };
            let index = CreateIndex {
                field_name: words::path(field)?,
                field_schema: Some(PayloadFieldSchema::FieldParams(PayloadSchemaParams::Keyword(keyword))),
            };
            let operation = UpdateOperation::FieldIndexOperation(FieldIndexOperations::CreateIndex(index));
            shard.update(operation).map_err(told)?;
        }
        // Flushes.
        drop(shard);
        fs::rename(&unfinished, &folder).map_err(failed)?;
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)?;
        Room::open(&folder)
    }

    pub fn open(folder: &Path) -> Result<Room, IndexError> {
        shorten_log(folder)?;
        let shard = EdgeShard::load(folder, None).map_err(told)?;
        Ok(Room {
            shard,
            folder: folder.to_owned(),
            changes: Mutex::default(),
            upkeep: Mutex::default(),
            // Upkeep may have been under way when the last process ended.
            changed: AtomicBool::new(true),
            added: AtomicUsize::new(0),
        })
    }

    pub fn change(&self, operation: UpdateOperation) -> Result<(), IndexError> {
        let _change = held(&self.changes);
        self.changed.store(true, Ordering::Relaxed);
        self.shard.update(operation).map_err(told)
    }

    /// Adds some chunks.
    pub fn add(&self, operation: UpdateOperation, chunks: usize) -> Result<(), IndexError> {
        self.change(operation)?;
        match self.added.fetch_add(chunks, Ordering::Relaxed) + chunks {
            ..PILE => Ok(()),
            PILE..HEAP => match self.upkeep.try_lock() {
                Ok(upkeep) => self.put_in_order(upkeep),
                Err(TryLockError::Poisoned(poisoned)) => self.put_in_order(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => Ok(()),
            },
            _ => self.put_in_order(held(&self.upkeep)),
        }
    }

    pub fn query(&self, request: QueryRequest) -> Result<Vec<ScoredPoint>, IndexError> {
        self.shard.query(request).map_err(told)
    }

    pub fn scroll(&self, request: ScrollRequest) -> Result<Vec<Record>, IndexError> {
        self.shard.scroll(request).map(|(records, _)| records).map_err(told)
    }

    pub fn count(&self, request: CountRequest) -> Result<u64, IndexError> {
        self.shard.count(request).map(|count| count as u64).map_err(told)
    }

    pub fn flush(&self) -> Result<(), IndexError> {
        let _upkeep = held(&self.upkeep);
        self.flush_now()
    }

    pub fn maintain(&self) -> Result<(), IndexError> {
        self.put_in_order(held(&self.upkeep))
    }

    fn put_in_order(&self, _upkeep: MutexGuard<'_, ()>) -> Result<(), IndexError> {
        if !self.changed.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        self.added.store(0, Ordering::Relaxed);
        self.shard.optimize().map_err(told)?;
        self.flush_now()
    }

    /// Writes down what was added, beside upkeep where there is any.
    pub fn keep(&self) -> Result<(), IndexError> {
        for _ in 0..TRIES {
            let _change = held(&self.changes);
            // Waits for the moments in which upkeep exchanges parts: in one, a flush panics.
            self.shard.info();
            if self.written() {
                return shorten_log(&self.folder);
            }
        }
        Err(unwritten())
    }

    /// Under the lock of upkeep.
    fn flush_now(&self) -> Result<(), IndexError> {
        let _change = held(&self.changes);
        if self.written() { shorten_log(&self.folder) } else { Err(unwritten()) }
    }

    /// Whether a flush went well. The engine panics where it cannot write (no room, no folder any more), and panics
    /// again when it is dropped on the way out, which would end the process.
    fn written(&self) -> bool {
        panic::catch_unwind(AssertUnwindSafe(|| self.shard.flush())).is_ok()
    }

    /// Closes the space and removes its folder.
    pub fn remove(self, parent: &Path, space: &Space) -> Result<(), IndexError> {
        let Room { shard, folder, .. } = self;
        // Writes to the folder one last time.
        drop(shard);
        // A process that ends in between finds a name that says so.
        let unfinished = parent.join(format!("{UNFINISHED}{space}"));
        let removed = fs::rename(&folder, &unfinished).and_then(|()| fs::remove_dir_all(&unfinished));
        removed.map_err(|error| IndexError::Engine(format!("{}: {error}", folder.display())))
    }
}

fn unwritten() -> IndexError {
    IndexError::Engine("the index cannot be written down".to_owned())
}

fn held(lock: &Mutex<()>) -> MutexGuard<'_, ()> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All on disk and mapped: what is used stays in memory as long as there is room, and a start reads nothing ahead.
fn config(space: &Space) -> EdgeConfig {
    let graph = HnswIndexConfig {
        m: LINKS,
        payload_m: Some(LINKS),
        on_disk: Some(true),
        // Requests go before the building of graphs.
        max_indexing_threads: std::thread::available_parallelism()
            .map_or(1, |cores| cores.get().saturating_sub(1))
            .max(1),
        ..HnswIndexConfig::default()
    };
    let dense = EdgeVectorParams::builder(space.dimensions(), Distance::Cosine).on_disk(true).build();
    let sparse = EdgeSparseVectorParams::builder().on_disk(true).build();
    let log = WalOptions { segment_capacity: LOG_PIECE, ..WalOptions::default() };
    let config = EdgeConfig::builder().on_disk_payload(true).hnsw_config(graph).wal_options(log);
    config.vector(DENSE, dense).sparse_vector(SPARSE, sparse).build()
}

/// Removes what the log no longer needs. Of a log in use the file goes, and its blocks with it, while the engine still
/// has it mapped and never looks.
fn shorten_log(folder: &Path) -> Result<(), IndexError> {
    let log = folder.join("wal");
    let failed = |error: std::io::Error| IndexError::Engine(format!("{}: {error}", log.display()));
    let mut closed = Vec::new();
    for entry in fs::read_dir(&log).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let start = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("closed-"));
        if let Some(start) = start.and_then(|start| start.parse::<u64>().ok()) {
            closed.push((start, path));
        }
    }
    closed.sort_unstable();
    // The numbers go on from the last one.
    closed.pop();
    for (_, path) in closed {
        let file = File::options().write(true).open(&path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        fs::remove_file(&path).map_err(failed)?;
        // Where holes cannot be made, the blocks are free after the next start.
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let _ = rustix::fs::fallocate(&file, hole, 0, length);
    }
    Ok(())
}

/// The engine's words: they name folders, and go to the log only.
fn told(error: OperationError) -> IndexError {
    IndexError::Engine(error.to_string())
}

#[cfg(test)]
mod tests {
    use qdrant_edge::{PointInsertOperations, PointOperations};

    use super::*;
    use crate::index::{Point, SparseVector};

    #[test]
    fn who_piles_up_chunks_puts_them_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room::make(folder.path(), &Space::new("pile", 2)).unwrap();
        room.maintain().unwrap();
        let batch = PILE / 4;
        for start in (0..PILE).step_by(batch) {
            let point = |chunk| Point {
                chunk: chunk as u64,
                collection: 1,
                document: 1,
                dense: vec![1.0, chunk as f32],
                sparse: SparseVector { ids: vec![chunk as u32], weights: vec![1.0] },
                metadata: serde_json::Map::new(),
            };
            let points = (start..start + batch).map(|chunk| words::point(&point(chunk))).collect::<Result<_, _>>();
            let points = PointOperations::UpsertPoints(PointInsertOperations::PointsList(points.unwrap()));
            room.add(UpdateOperation::PointOperation(points), batch).unwrap();
            let last = start + batch == PILE;
            assert_eq!(room.changed.load(Ordering::Relaxed), !last, "after {start}");
        }
        assert_eq!(room.added.load(Ordering::Relaxed), 0);
    }
}
