//! An engine under test, and points to put into it.

use std::sync::Arc;
use std::time::Duration;

use rag::index::edge::Edge;
use rag::index::server::Server;
use rag::index::{Hit, Lane, Point, Query, Scope, Space, SparseVector, VectorIndex};
use serde_json::{Map, Value};
use tempfile::TempDir;

/// Numbers of the vectors here.
pub const DIMENSIONS: usize = 8;
/// Waits of a Qdrant server that is starting.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Edge,
    Server,
}

/// Runs each behaviour on each engine.
macro_rules! on_each_index {
    ($($behaviour:ident),* $(,)?) => {
        mod edge {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() { $crate::index::stand::on($crate::index::stand::Kind::Edge, super::$behaviour).await; })*
        }
        mod server {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() { $crate::index::stand::on($crate::index::stand::Kind::Server, super::$behaviour).await; })*
        }
    };
}
pub(crate) use on_each_index;

/// An engine, empty at first.
pub struct Stand {
    pub index: Arc<dyn VectorIndex>,
    pub space: Space,
    pub kind: Kind,
    folder: TempDir,
    url: String,
    prefix: String,
}

/// Runs one behaviour, and says on what; a server that is not there is said to be.
pub async fn on<F: Future<Output = Stand>>(kind: Kind, behaviour: impl FnOnce(Stand) -> F) {
    let url = tests::index::server().unwrap_or_default();
    if kind == Kind::Server && url.is_empty() {
        println!("not run: {} names no Qdrant server", tests::index::QDRANT);
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let prefix: String = std::iter::repeat_with(|| fastrand::char('a'..='z')).take(12).collect();
    let index: Arc<dyn VectorIndex> = match kind {
        Kind::Edge => Arc::new(Edge::open(folder.path()).expect("an index")),
        Kind::Server => Arc::new(Server::new(&url, None, &prefix).expect("an address")),
    };
    println!("run on {kind:?}");
    let stand = Stand { index, space: Space::new("essai", DIMENSIONS), kind, folder, url, prefix };
    let stand = behaviour(stand).await;
    for space in stand.index.spaces().await.expect("spaces") {
        stand.index.drop_space(&space).await.expect("removed");
    }
}

impl Stand {
    /// As a new process finds it.
    pub async fn reopened(self) -> Stand {
        let Stand { index, space, kind, folder, url, prefix } = self;
        drop(index);
        let index: Arc<dyn VectorIndex> = match kind {
            Kind::Edge => Arc::new(Edge::open(folder.path()).expect("an index")),
            Kind::Server => Arc::new(Server::new(&url, None, &prefix).expect("an address")),
        };
        Stand { index, space, kind, folder, url, prefix }
    }

    pub async fn put(&self, points: &[Point]) {
        self.index.upsert(&self.space, points).await.expect("stored");
    }

    /// Chunks found, in order.
    pub async fn found(&self, query: Query<'_>, lane: &Lane) -> Vec<u64> {
        self.hits(query, lane).await.iter().map(|hit| hit.chunk).collect()
    }

    pub async fn hits(&self, query: Query<'_>, lane: &Lane) -> Vec<Hit> {
        self.index.search(&self.space, query, lane).await.expect("an answer")
    }

    /// All chunks of these collections, ascending.
    pub async fn all(&self, collections: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let scope = scope(collections);
        let mut found = self.found(Query { exact: true, ..Query::new(&scope, 10_000) }, &anything()).await;
        found.sort_unstable();
        found
    }

    /// Waits until the engine has built what it builds by itself.
    pub async fn settled(&self) {
        self.index.maintain(&self.space).await.expect("upkeep");
        if self.kind == Kind::Server {
            tokio::time::timeout(PATIENCE, self.index.count(&self.space)).await.expect("in time").expect("a count");
        }
    }
}

pub fn scope(collections: impl IntoIterator<Item = u64>) -> Scope {
    Scope::new(collections).expect("a collection")
}

/// A lane that every chunk answers.
pub fn anything() -> Lane {
    Lane::Dense(vec![1.0; DIMENSIONS])
}

/// A vector of no special direction.
pub fn direction(random: &mut fastrand::Rng) -> Vec<f32> {
    (0..DIMENSIONS).map(|_| random.f32() - 0.5).collect()
}

/// A few terms of a small vocabulary.
pub fn terms(random: &mut fastrand::Rng) -> SparseVector {
    let mut ids: Vec<u32> = (0..random.usize(1..6)).map(|_| random.u32(1..40)).collect();
    ids.sort_unstable();
    ids.dedup();
    let weights = ids.iter().map(|_| 0.1 + random.f32()).collect();
    SparseVector { ids, weights }
}

pub fn point(chunk: u64, collection: u64, document: u64, random: &mut fastrand::Rng) -> Point {
    let (dense, sparse) = (direction(random), terms(random));
    Point { chunk, collection, document, dense, sparse, metadata: Map::new() }
}

pub fn with(point: Point, metadata: Value) -> Point {
    let Value::Object(metadata) = metadata else { panic!("metadata is an object") };
    Point { metadata, ..point }
}
