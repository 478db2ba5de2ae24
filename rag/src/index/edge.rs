//! Qdrant inside this process: a folder with one folder for each space.
//!
//! The engine has no timers and no server: [`flush`](VectorIndex::flush) and [`maintain`](VectorIndex::maintain) are
//! to be called. Its calls block and run on threads for such work. One process at a time opens the folder; it holds a
//! lock, which ends with it whatever kills it.

mod room;
mod words;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qdrant_edge::{
    CountRequest, Fusion, NamedQuery, PointId, PointInsertOperations, PointOperations, Prefetch, QueryEnum,
    QueryRequest, ScoredPoint, ScoringQuery, ScrollRequest, SearchParams, UpdateOperation, VectorInternal,
    WithPayloadInterface, WithVector,
};

use super::payload::{held, within};
use super::{
    Answer, Hit, Hybrid, IndexError, Lane, Point, Query, Space, SparseVector, VectorIndex, check, check_dense,
    check_sparse, ordered,
};
use room::{DENSE, Room, SPARSE};

/// How wide the graph is walked at least: below it, neighbours are missed.
const BREADTH: usize = 128;

/// The spaces of one folder.
pub struct Edge(Arc<House>);

struct House {
    folder: PathBuf,
    /// A space is opened once.
    rooms: Mutex<BTreeMap<Space, Arc<Room>>>,
    /// Held while a space is made or removed.
    building: Mutex<()>,
    /// Held while the folder is open.
    _lock: File,
}

impl Edge {
    /// Opens the folder, making it when it is missing, and all spaces in it. Blocks: seconds with a million chunks.
    ///
    /// # Errors
    /// [`IndexError::Locked`] when another process has it open; [`IndexError::Engine`] when it cannot be read.
    pub fn open(folder: &Path) -> Result<Edge, IndexError> {
        let failed = |error: std::io::Error| IndexError::Engine(format!("{}: {error}", folder.display()));
        fs::create_dir_all(folder).map_err(failed)?;
        let lock = File::create(folder.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(IndexError::Locked(folder.display().to_string())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut rooms = BTreeMap::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|_| entry.path().is_dir()) else { continue };
            // Left by a process that ended while it made or removed a space.
            if name.starts_with(room::UNFINISHED) {
                fs::remove_dir_all(entry.path()).map_err(failed)?;
            } else if let Some(space) = Space::named(name) {
                rooms.insert(space, Arc::new(Room::open(&entry.path())?));
            }
        }
        let house =
            House { folder: folder.to_owned(), rooms: Mutex::new(rooms), building: Mutex::default(), _lock: lock };
        Ok(Edge(Arc::new(house)))
    }

    /// Runs in a thread for work that blocks; `Default` when there is no such space.
    async fn with<T: Default + Send + 'static>(
        &self,
        space: &Space,
        work: impl FnOnce(&Room) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, IndexError> {
        let Some(room) = self.0.room(space) else { return Ok(T::default()) };
        blocking(move || work(&room)).await
    }

    /// As [`with`](Edge::with), making the space when it is missing.
    async fn with_made(
        &self,
        space: &Space,
        work: impl FnOnce(&Room) -> Result<(), IndexError> + Send + 'static,
    ) -> Result<(), IndexError> {
        let (house, space) = (self.0.clone(), space.clone());
        blocking(move || work(house.made(&space)?.as_ref())).await
    }
}

/// All of it on threads for work that blocks, and to its end there, even when nobody waits for it any more.
impl House {
    fn rooms(&self) -> MutexGuard<'_, BTreeMap<Space, Arc<Room>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn room(&self, space: &Space) -> Option<Arc<Room>> {
        self.rooms().get(space).cloned()
    }

    /// The room of a space, made when there is none.
    fn made(&self, space: &Space) -> Result<Arc<Room>, IndexError> {
        if let Some(room) = self.room(space) {
            return Ok(room);
        }
        let _building = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        // Another may have made it meanwhile.
        if let Some(room) = self.room(space) {
            return Ok(room);
        }
        let room = Arc::new(Room::make(&self.folder, space)?);
        self.rooms().insert(space.clone(), room.clone());
        Ok(room)
    }

    fn remove(&self, space: &Space) -> Result<(), IndexError> {
        let _building = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        let room = {
            let mut rooms = self.rooms();
            if rooms.get(space).is_some_and(|room| Arc::strong_count(room) > 1) {
                return Err(IndexError::Engine(format!("{space} is in use and cannot be removed")));
            }
            rooms.remove(space).and_then(Arc::into_inner)
        };
        room.map_or(Ok(()), |room| room.remove(&self.folder, space))
    }
}

/// Runs what blocks on a thread for it. The engine panics where it cannot go on (a full disk): that is an error here.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, IndexError> + Send + 'static,
) -> Result<T, IndexError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(IndexError::Engine(error.to_string())),
    }
}

impl VectorIndex for Edge {
    fn upsert<'a>(&'a self, space: &'a Space, points: &'a [Point]) -> Answer<'a, ()> {
        Box::pin(async move {
            check(space, points)?;
            if points.is_empty() {
                return Ok(());
            }
            let count = points.len();
            let points = points.iter().map(words::point).collect::<Result<_, _>>()?;
            let change = PointOperations::UpsertPoints(PointInsertOperations::PointsList(points));
            self.with_made(space, move |room| room.add(UpdateOperation::PointOperation(change), count)).await
        })
    }

    fn delete_chunks<'a>(&'a self, space: &'a Space, chunks: &'a [u64]) -> Answer<'a, ()> {
        Box::pin(async move {
            let ids = chunks.iter().map(|chunk| PointId::NumId(*chunk)).collect();
            self.forget(space, PointOperations::DeletePoints { ids }).await
        })
    }

    fn delete_document<'a>(&'a self, space: &'a Space, collection: u64, document: u64) -> Answer<'a, ()> {
        Box::pin(async move {
            let filter = words::filter(&held(collection, Some(document)))?;
            self.forget(space, PointOperations::DeletePointsByFilter(filter)).await
        })
    }

    fn delete_collection<'a>(&'a self, space: &'a Space, collection: u64) -> Answer<'a, ()> {
        Box::pin(async move {
            let filter = words::filter(&held(collection, None))?;
            self.forget(space, PointOperations::DeletePointsByFilter(filter)).await
        })
    }

    fn search<'a>(&'a self, space: &'a Space, query: Query<'a>, lane: &'a Lane) -> Answer<'a, Vec<Hit>> {
        Box::pin(async move {
            let asked = match lane {
                Lane::Dense(dense) => nearest_dense(space, dense)?,
                Lane::Sparse(sparse) if sparse.ids.is_empty() => return Ok(Vec::new()),
                Lane::Sparse(sparse) => nearest_sparse(sparse)?,
            };
            let threshold = matches!(lane, Lane::Sparse(_)).then_some(f32::MIN_POSITIVE.into());
            let Some(check) = within(query.scope, query.filter).filter(|_| query.limit > 0) else {
                return Ok(Vec::new());
            };
            let request = QueryRequest {
                prefetches: Vec::new(),
                query: Some(asked),
                filter: Some(words::filter(&check)?),
                score_threshold: threshold,
                limit: query.limit,
                offset: 0,
                params: Some(params(&query, query.limit)),
                with_vector: WithVector::Bool(false),
                with_payload: WithPayloadInterface::Bool(false),
            };
            self.with(space, move |room| room.query(request).and_then(hits)).await
        })
    }

    fn hybrid<'a>(&'a self, space: &'a Space, query: Query<'a>, hybrid: &'a Hybrid) -> Answer<'a, Vec<Hit>> {
        Box::pin(async move {
            let Some(check) = within(query.scope, query.filter).filter(|_| query.limit > 0 && hybrid.depth > 0) else {
                return Ok(Vec::new());
            };
            let filter = words::filter(&check)?;
            let lane = |asked, threshold: Option<f32>| Prefetch {
                prefetches: Vec::new(),
                query: Some(asked),
                limit: hybrid.depth,
                params: Some(params(&query, hybrid.depth)),
                filter: Some(filter.clone()),
                score_threshold: threshold.map(Into::into),
            };
            let mut prefetches = vec![lane(nearest_dense(space, &hybrid.dense)?, None)];
            if !hybrid.sparse.ids.is_empty() {
                prefetches.push(lane(nearest_sparse(&hybrid.sparse)?, Some(f32::MIN_POSITIVE)));
            }
            let request = QueryRequest {
                prefetches,
                // The engine counts ranks from 0.
                query: Some(ScoringQuery::Fusion(Fusion::Rrf { k: hybrid.k as usize + 1, weights: None })),
                filter: None,
                score_threshold: None,
                // All of them: the engine leaves the order of equals to chance, and would cut among them.
                limit: 2 * hybrid.depth,
                offset: 0,
                params: None,
                with_vector: WithVector::Bool(false),
                with_payload: WithPayloadInterface::Bool(false),
            };
            let mut fused = self.with(space, move |room| room.query(request).and_then(hits)).await?;
            fused.truncate(query.limit);
            Ok(fused)
        })
    }

    fn flush<'a>(&'a self, space: &'a Space) -> Answer<'a, ()> {
        Box::pin(self.with(space, Room::flush))
    }

    fn keep<'a>(&'a self, space: &'a Space) -> Answer<'a, ()> {
        Box::pin(self.with(space, Room::keep))
    }

    fn maintain<'a>(&'a self, space: &'a Space) -> Answer<'a, ()> {
        Box::pin(self.with(space, Room::maintain))
    }

    fn spaces(&self) -> Answer<'_, Vec<Space>> {
        let spaces = self.0.rooms().keys().cloned().collect();
        Box::pin(std::future::ready(Ok(spaces)))
    }

    fn scroll<'a>(&'a self, space: &'a Space, after: Option<u64>, limit: usize) -> Answer<'a, Vec<Point>> {
        Box::pin(async move {
            let offset = match after {
                Some(u64::MAX) => return Ok(Vec::new()),
                after => after.map(|chunk| PointId::NumId(chunk + 1)),
            };
            if limit == 0 {
                return Ok(Vec::new());
            }
            let request = ScrollRequest {
                offset,
                limit: Some(limit),
                filter: None,
                with_payload: Some(WithPayloadInterface::Bool(true)),
                with_vector: WithVector::Bool(true),
                order_by: None,
            };
            self.with(space, move |room| room.scroll(request)?.into_iter().map(words::read).collect()).await
        })
    }

    fn count<'a>(&'a self, space: &'a Space) -> Answer<'a, u64> {
        Box::pin(self.with(space, |room| room.count(CountRequest { filter: None, exact: true })))
    }

    fn drop_space<'a>(&'a self, space: &'a Space) -> Answer<'a, ()> {
        Box::pin(async move {
            let (house, space) = (self.0.clone(), space.clone());
            blocking(move || house.remove(&space)).await
        })
    }
}

impl Edge {
    /// Deletes, where the space exists.
    async fn forget(&self, space: &Space, what: PointOperations) -> Result<(), IndexError> {
        self.with(space, move |room| room.change(UpdateOperation::PointOperation(what))).await
    }
}

fn nearest_dense(space: &Space, dense: &[f32]) -> Result<ScoringQuery, IndexError> {
    check_dense(space, dense)?;
    Ok(nearest(VectorInternal::Dense(dense.to_vec()), DENSE))
}

fn nearest_sparse(sparse: &SparseVector) -> Result<ScoringQuery, IndexError> {
    check_sparse(sparse)?;
    Ok(nearest(VectorInternal::Sparse(words::sparse(sparse)), SPARSE))
}

fn nearest(vector: VectorInternal, name: &str) -> ScoringQuery {
    ScoringQuery::Vector(QueryEnum::Nearest(NamedQuery::new(vector, name)))
}

fn params(query: &Query<'_>, limit: usize) -> SearchParams {
    SearchParams { hnsw_ef: Some(limit.max(BREADTH)), exact: query.exact, ..SearchParams::default() }
}

fn hits(found: Vec<ScoredPoint>) -> Result<Vec<Hit>, IndexError> {
    let hits = found.into_iter().map(|point| match point.id {
        PointId::NumId(chunk) => Ok(Hit { chunk, score: point.score }),
        PointId::Uuid(id) => Err(IndexError::Engine(format!("{id} is not the id of a chunk"))),
    });
    hits.collect::<Result<_, _>>().map(ordered)
}
