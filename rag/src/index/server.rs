//! A Qdrant server or cluster: one of its collections for each space.
//!
//! Changes are answered when they are applied and in the server's log, which the server reads back after a crash; it
//! builds its graphs by itself. So [`flush`](VectorIndex::flush), [`keep`](VectorIndex::keep) and
//! [`maintain`](VectorIndex::maintain) have nothing to do. Filters on metadata other than equality use no index: a
//! server's strict mode must let them pass.

mod words;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use qdrant_client::qdrant::{
    CountPointsBuilder, CreateCollectionBuilder, CreateFieldIndexCollectionBuilder, DeletePointsBuilder, Distance,
    FieldType, Filter, HnswConfigDiffBuilder, KeywordIndexParamsBuilder, PointId, PointsIdsList, PrefetchQueryBuilder,
    Query as Ask, QueryPoints, QueryPointsBuilder, Rrf, ScoredPoint, ScrollPointsBuilder, SearchParams,
    SearchParamsBuilder, SparseVectorParamsBuilder, SparseVectorsConfigBuilder, UpsertPointsBuilder, VectorInput,
    VectorParamsBuilder, VectorsConfigBuilder, points_selector::PointsSelectorOneOf,
};
use qdrant_client::{Qdrant, QdrantError};

use super::payload::{COLLECTION, DOCUMENT, FACTS, held, within};
use super::{
    Answer, Hit, Hybrid, IndexError, Lane, Point, Query, Space, VectorIndex, check, check_dense, check_sparse, ordered,
};

const DENSE: &str = "dense";
const SPARSE: &str = "sparse";
/// Longest wait for an answer, and for a connection.
const PATIENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);
/// As of the embedded engine.
const LINKS: u64 = 16;
const BREADTH: usize = 128;

/// gRPC's numbers for what a server says; the first two come from connections that broke.
const CANCELLED: i32 = 1;
const UNKNOWN: i32 = 2;
const DEADLINE_EXCEEDED: i32 = 4;
const NOT_FOUND: i32 = 5;
const ALREADY_EXISTS: i32 = 6;
const UNAVAILABLE: i32 = 14;

/// A connection to a server; opened when first needed, and again after it broke.
pub struct Server {
    client: Qdrant,
    prefix: String,
    /// Spaces that this process has seen whole.
    ready: Mutex<BTreeSet<Space>>,
}

impl Server {
    /// `url` is the gRPC address. The server's collections are named `prefix-space`. Connects to nothing yet.
    ///
    /// # Errors
    /// [`IndexError::Engine`] when the address is none.
    pub fn new(url: &str, key: Option<&str>, prefix: &str) -> Result<Server, IndexError> {
        let config = Qdrant::from_url(url).timeout(PATIENCE).connect_timeout(CONNECT).api_key(key);
        // Its check of versions writes to standard output.
        let client = config.skip_compatibility_check().build().map_err(told)?;
        Ok(Server { client, prefix: prefix.to_owned(), ready: Mutex::default() })
    }

    fn collection(&self, space: &Space) -> String {
        format!("{}-{space}", self.prefix)
    }

    /// Makes the space, or what is missing of it.
    async fn prepare(&self, space: &Space) -> Result<(), IndexError> {
        if self.ready.lock().unwrap_or_else(PoisonError::into_inner).contains(space) {
            return Ok(());
        }
        let collection = self.collection(space);
        if !self.client.collection_exists(&collection).await.map_err(told)? {
            let mut dense = VectorsConfigBuilder::default();
            let size = space.dimensions() as u64;
            dense.add_named_vector_params(DENSE, VectorParamsBuilder::new(size, Distance::Cosine).on_disk(true));
            let mut sparse = SparseVectorsConfigBuilder::default();
            sparse.add_named_vector_params(SPARSE, SparseVectorParamsBuilder::default());
            let graph = HnswConfigDiffBuilder::default().m(LINKS).payload_m(LINKS);
            let request = CreateCollectionBuilder::new(&collection)
                .vectors_config(dense)
                .sparse_vectors_config(sparse)
                .hnsw_config(graph)
                .on_disk_payload(true);
            match self.client.create_collection(request).await {
                Ok(_) => {}
                // Another process made it meanwhile.
                Err(error) if code(&error) == Some(ALREADY_EXISTS) => {}
                Err(error) => return Err(told(error)),
            }
        }
        // Nothing happens for those that are there.
        for (field, tenant) in [(COLLECTION, true), (DOCUMENT, false), (FACTS, false)] {
            let keyword = KeywordIndexParamsBuilder::default().is_tenant(tenant);
            let index = CreateFieldIndexCollectionBuilder::new(&collection, field, FieldType::Keyword);
            self.client.create_field_index(index.field_index_params(keyword).wait(true)).await.map_err(told)?;
        }
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).insert(space.clone());
        Ok(())
    }

    fn forgotten(&self, space: &Space) {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).remove(space);
    }

    async fn delete(&self, space: &Space, what: impl Into<PointsSelectorOneOf>) -> Result<(), IndexError> {
        let request = DeletePointsBuilder::new(self.collection(space)).points(what).wait(true);
        there(self.client.delete_points(request).await).map(|_| ())
    }

    async fn ask(&self, request: QueryPoints) -> Result<Vec<Hit>, IndexError> {
        let answer = there(self.client.query(request).await)?;
        let hits = answer.map(|answer| answer.result).unwrap_or_default().into_iter().map(hit);
        hits.collect::<Result<_, _>>().map(ordered)
    }
}

impl VectorIndex for Server {
    fn upsert<'a>(&'a self, space: &'a Space, points: &'a [Point]) -> Answer<'a, ()> {
        Box::pin(async move {
            check(space, points)?;
            if points.is_empty() {
                return Ok(());
            }
            let structs = points.iter().map(words::point).collect::<Result<Vec<_>, _>>()?;
            let request = UpsertPointsBuilder::new(self.collection(space), structs).wait(true).build();
            self.prepare(space).await?;
            match self.client.upsert_points(request.clone()).await {
                // Removed behind our back.
                Err(error) if code(&error) == Some(NOT_FOUND) => {
                    self.forgotten(space);
                    self.prepare(space).await?;
                    self.client.upsert_points(request).await.map(|_| ()).map_err(told)
                }
                answer => answer.map(|_| ()).map_err(told),
            }
        })
    }

    fn delete_chunks<'a>(&'a self, space: &'a Space, chunks: &'a [u64]) -> Answer<'a, ()> {
        Box::pin(async move {
            let ids = chunks.iter().map(|chunk| PointId::from(*chunk)).collect();
            self.delete(space, PointsSelectorOneOf::Points(PointsIdsList { ids })).await
        })
    }

    fn delete_document<'a>(&'a self, space: &'a Space, collection: u64, document: u64) -> Answer<'a, ()> {
        Box::pin(async move {
            let filter = words::filter(&held(collection, Some(document)));
            self.delete(space, PointsSelectorOneOf::Filter(filter)).await
        })
    }

    fn delete_collection<'a>(&'a self, space: &'a Space, collection: u64) -> Answer<'a, ()> {
        Box::pin(async move {
            let filter = words::filter(&held(collection, None));
            self.delete(space, PointsSelectorOneOf::Filter(filter)).await
        })
    }

    fn search<'a>(&'a self, space: &'a Space, query: Query<'a>, lane: &'a Lane) -> Answer<'a, Vec<Hit>> {
        Box::pin(async move {
            let asked = match lane {
                Lane::Dense(dense) => dense_lane(space, dense)?,
                Lane::Sparse(sparse) if sparse.ids.is_empty() => return Ok(Vec::new()),
                Lane::Sparse(sparse) => sparse_lane(sparse)?,
            };
            let Some(filter) = filter(&query).filter(|_| query.limit > 0) else { return Ok(Vec::new()) };
            let mut request = QueryPointsBuilder::new(self.collection(space))
                .query(asked.ask)
                .using(asked.using)
                .filter(filter)
                .params(params(&query, query.limit))
                .limit(query.limit as u64)
                .with_payload(false);
            if let Some(above) = asked.above {
                request = request.score_threshold(above);
            }
            self.ask(request.build()).await
        })
    }

    fn hybrid<'a>(&'a self, space: &'a Space, query: Query<'a>, hybrid: &'a Hybrid) -> Answer<'a, Vec<Hit>> {
        Box::pin(async move {
            let Some(filter) = filter(&query).filter(|_| query.limit > 0 && hybrid.depth > 0) else {
                return Ok(Vec::new());
            };
            let mut lanes = vec![dense_lane(space, &hybrid.dense)?];
            if !hybrid.sparse.ids.is_empty() {
                lanes.push(sparse_lane(&hybrid.sparse)?);
            }
            let mut request = QueryPointsBuilder::new(self.collection(space))
                // The engine counts ranks from 0.
                .query(Ask::new_rrf(Rrf { k: Some(hybrid.k.saturating_add(1)), weights: Vec::new() }))
                // All of them: the engine leaves the order of equals to chance, and would cut among them.
                .limit(2 * hybrid.depth as u64)
                .with_payload(false);
            for lane in lanes {
                let mut prefetch = PrefetchQueryBuilder::default()
                    .query(lane.ask)
                    .using(lane.using)
                    .filter(filter.clone())
                    .params(params(&query, hybrid.depth))
                    .limit(hybrid.depth as u64);
                if let Some(above) = lane.above {
                    prefetch = prefetch.score_threshold(above);
                }
                request = request.add_prefetch(prefetch);
            }
            let mut fused = self.ask(request.build()).await?;
            fused.truncate(query.limit);
            Ok(fused)
        })
    }

    fn flush<'a>(&'a self, _: &'a Space) -> Answer<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn keep<'a>(&'a self, _: &'a Space) -> Answer<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn maintain<'a>(&'a self, _: &'a Space) -> Answer<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn spaces(&self) -> Answer<'_, Vec<Space>> {
        Box::pin(async move {
            let all = self.client.list_collections().await.map_err(told)?.collections;
            let own = |name: &str| name.strip_prefix(&self.prefix)?.strip_prefix('-').and_then(Space::named);
            let mut spaces: Vec<Space> = all.iter().filter_map(|collection| own(&collection.name)).collect();
            spaces.sort();
            Ok(spaces)
        })
    }

    fn scroll<'a>(&'a self, space: &'a Space, after: Option<u64>, limit: usize) -> Answer<'a, Vec<Point>> {
        Box::pin(async move {
            if limit == 0 || after == Some(u64::MAX) {
                return Ok(Vec::new());
            }
            let mut request = ScrollPointsBuilder::new(self.collection(space))
                .limit(u32::try_from(limit).unwrap_or(u32::MAX))
                .with_payload(true)
                .with_vectors(true);
            if let Some(after) = after {
                request = request.offset(after + 1);
            }
            let answer = there(self.client.scroll(request).await)?;
            answer.map(|answer| answer.result).unwrap_or_default().into_iter().map(words::read).collect()
        })
    }

    fn count<'a>(&'a self, space: &'a Space) -> Answer<'a, u64> {
        Box::pin(async move {
            let request = CountPointsBuilder::new(self.collection(space)).exact(true);
            let answer = there(self.client.count(request).await)?;
            Ok(answer.and_then(|answer| answer.result).map_or(0, |result| result.count))
        })
    }

    fn drop_space<'a>(&'a self, space: &'a Space) -> Answer<'a, ()> {
        Box::pin(async move {
            self.forgotten(space);
            there(self.client.delete_collection(self.collection(space)).await).map(|_| ())
        })
    }
}

/// One lane of a request.
struct Asked {
    ask: Ask,
    using: &'static str,
    /// Scores below are none.
    above: Option<f32>,
}

fn dense_lane(space: &Space, dense: &[f32]) -> Result<Asked, IndexError> {
    check_dense(space, dense)?;
    Ok(Asked { ask: Ask::new_nearest(dense.to_vec()), using: DENSE, above: None })
}

fn sparse_lane(sparse: &crate::sparse::SparseVector) -> Result<Asked, IndexError> {
    check_sparse(sparse)?;
    let vector = VectorInput::new_sparse(sparse.ids.clone(), sparse.weights.clone());
    Ok(Asked { ask: Ask::new_nearest(vector), using: SPARSE, above: Some(f32::MIN_POSITIVE) })
}

/// `None` when nothing can be found.
fn filter(query: &Query<'_>) -> Option<Filter> {
    within(query.scope, query.filter).map(|check| words::filter(&check))
}

fn params(query: &Query<'_>, limit: usize) -> SearchParams {
    SearchParamsBuilder::default().hnsw_ef(limit.max(BREADTH) as u64).exact(query.exact).build()
}

fn hit(point: ScoredPoint) -> Result<Hit, IndexError> {
    Ok(Hit { chunk: words::chunk(point.id)?, score: point.score })
}

/// An answer about a space; `None` when there is no such space.
fn there<T>(answer: Result<T, QdrantError>) -> Result<Option<T>, IndexError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if code(&error) == Some(NOT_FOUND) => Ok(None),
        Err(error) => Err(told(error)),
    }
}

fn code(error: &QdrantError) -> Option<i32> {
    match error {
        QdrantError::ResponseError { status } => Some(status.code().into()),
        _ => None,
    }
}

fn told(error: QdrantError) -> IndexError {
    let away = match &error {
        // The client's own words for a connection that could not be made, under the code of a failing server.
        QdrantError::ResponseError { status } if status.message().starts_with("Failed to connect") => true,
        error => matches!(code(error), Some(CANCELLED | UNKNOWN | DEADLINE_EXCEEDED | UNAVAILABLE)),
    };
    match error {
        QdrantError::ResourceExhaustedError { .. } => IndexError::Unavailable(error.to_string()),
        error if away => IndexError::Unavailable(error.to_string()),
        error => IndexError::Engine(error.to_string()),
    }
}
