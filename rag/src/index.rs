//! Where chunks are found again: one seam, [`VectorIndex`], two engines behind it.
//!
//! | engine | feature | for |
//! |---|---|---|
//! | [`Edge`](edge::Edge) | `edge` | Qdrant inside this process, a folder of its own |
//! | [`Server`](server::Server) | `server` | a Qdrant server or cluster |
//!
//! An index is derived: what it holds can be made again from the database, which is the truth. It keeps, for each
//! chunk, a dense vector, BM25 weights and what filters look at; never the text.
//!
//! All chunks of one embedding model share one physical collection, a [`Space`], whoever they belong to: ten thousand
//! small collections cost what one does. What keeps them apart is the [`Scope`], which every search has: there is no
//! other way to write one.

#[cfg(feature = "edge")]
pub mod edge;
pub mod filter;
#[cfg(any(feature = "edge", feature = "server"))]
mod payload;
pub mod scope;
#[cfg(feature = "server")]
pub mod server;
pub mod space;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use serde_json::{Map, Value};

pub use filter::{Bound, Filter};
pub use scope::Scope;
pub use space::Space;

pub use crate::sparse::SparseVector;

/// A chunk, as the index keeps it. Writing one with a known `chunk` replaces it.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Its id in the database, unique over all collections.
    pub chunk: u64,
    pub collection: u64,
    pub document: u64,
    /// As many numbers as the space has dimensions, of any length: they are compared by cosine. Engines keep them at
    /// length 1.
    pub dense: Vec<f32>,
    /// The document's side of BM25, without rarity. May be empty.
    pub sparse: SparseVector,
    /// What filters look at: texts, numbers, booleans, and lists of them. Dates are texts in RFC 3339 or `2024-05-31`.
    /// Other values are kept and never match.
    pub metadata: Map<String, Value>,
}

/// What is looked for, in one of the two ways.
#[derive(Clone, Debug, PartialEq)]
pub enum Lane {
    /// By meaning: scores are cosines, -1 to 1.
    Dense(Vec<f32>),
    /// By words: scores are dot products, from 0. Rarity is in the query's weights ([`Bm25::query`](crate::sparse::Bm25::query)).
    Sparse(SparseVector),
}

/// Where to look and how much to bring back; shared by the lanes of one search.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    pub scope: &'a Scope,
    pub filter: Option<&'a Filter>,
    /// Hits at most.
    pub limit: usize,
    /// Compare with every chunk of the scope instead of walking the graph: slower, misses nothing.
    pub exact: bool,
}

impl<'a> Query<'a> {
    /// Without filter, approximate.
    pub fn new(scope: &'a Scope, limit: usize) -> Query<'a> {
        Query { scope, filter: None, limit, exact: false }
    }
}

/// Reciprocal rank fusion on the engine: `Σ 1 / (k + rank)`, ranks from 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Hybrid {
    pub dense: Vec<f32>,
    pub sparse: SparseVector,
    /// How many hits of each lane are fused.
    pub depth: usize,
    /// 60 is usual.
    pub k: u32,
}

/// A chunk found, with its lane's score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    pub chunk: u64,
    pub score: f32,
}

/// An answer that comes later: the seam is used through `dyn VectorIndex`.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, IndexError>> + Send + 'a>>;

/// An engine that keeps vectors.
///
/// Spaces are made by the first [`upsert`](VectorIndex::upsert). Reading or deleting in a space that does not exist is
/// no error: it is empty.
pub trait VectorIndex: Send + Sync {
    /// Adds or replaces, all of them or, when refused, none. Found by searches at once; safe only after a
    /// [`flush`](VectorIndex::flush).
    fn upsert<'a>(&'a self, space: &'a Space, points: &'a [Point]) -> Answer<'a, ()>;

    /// Forgets these chunks; unknown ones are skipped. Like all that changes: safe after a flush.
    fn delete_chunks<'a>(&'a self, space: &'a Space, chunks: &'a [u64]) -> Answer<'a, ()>;

    /// Forgets what `collection` holds of `document`.
    fn delete_document<'a>(&'a self, space: &'a Space, collection: u64, document: u64) -> Answer<'a, ()>;

    fn delete_collection<'a>(&'a self, space: &'a Space, collection: u64) -> Answer<'a, ()>;

    /// The best first, equal scores by chunk. A sparse lane leaves out what shares no term with it.
    fn search<'a>(&'a self, space: &'a Space, query: Query<'a>, lane: &'a Lane) -> Answer<'a, Vec<Hit>>;

    /// Both lanes, fused where the vectors are. Scores are those of the fusion; who needs each lane's ranks, or pages
    /// that stay put, searches lane by lane and uses [`fuse`](crate::fuse::fuse).
    fn hybrid<'a>(&'a self, space: &'a Space, query: Query<'a>, hybrid: &'a Hybrid) -> Answer<'a, Vec<Hit>>;

    /// After it answers, everything written to the space before survives a crash. Until then an embedded engine may
    /// lose it.
    fn flush<'a>(&'a self, space: &'a Space) -> Answer<'a, ()>;

    /// A [`flush`](VectorIndex::flush) that does not wait for [`maintain`](VectorIndex::maintain): what was added before
    /// survives, and what was written again as it was; what was changed or deleted during upkeep may be back after a
    /// crash. Mark as indexed in the database only what was kept.
    fn keep<'a>(&'a self, space: &'a Space) -> Answer<'a, ()>;

    /// Builds the graphs that new chunks still lack and frees what deleted ones held. May take minutes, during which
    /// all else goes on, but a [`flush`](VectorIndex::flush) waits. Nothing when nothing changed. A server does this by
    /// itself.
    fn maintain<'a>(&'a self, space: &'a Space) -> Answer<'a, ()>;

    /// The spaces there are, by name.
    fn spaces(&self) -> Answer<'_, Vec<Space>>;

    /// Up to `limit` points by ascending chunk, those after `after`: to carry them elsewhere.
    fn scroll<'a>(&'a self, space: &'a Space, after: Option<u64>, limit: usize) -> Answer<'a, Vec<Point>>;

    /// Chunks in the space, counted; after a crash of the embedded engine in the middle of upkeep, what was written anew
    /// meanwhile may count twice until upkeep is over.
    fn count<'a>(&'a self, space: &'a Space) -> Answer<'a, u64>;

    /// Removes the space and all it holds.
    fn drop_space<'a>(&'a self, space: &'a Space) -> Answer<'a, ()>;
}

/// Why an index did not do what was asked. Its words are for the log: they may name folders and hosts.
#[derive(Clone, Debug, PartialEq)]
pub enum IndexError {
    /// A vector of another model: `found` numbers where the space has `expected`.
    Dimensions { expected: usize, found: usize },
    /// A vector that cannot be compared: numbers that are none, ids and weights that do not pair.
    Vector(&'static str),
    /// The folder is open in another process.
    Locked(String),
    /// The server cannot be reached, or asks to come back later.
    Unavailable(String),
    /// Anything else the engine says.
    Engine(String),
}

impl fmt::Display for IndexError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IndexError::Dimensions { expected, found } => {
                write!(formatter, "a vector of {found} numbers, the index holds vectors of {expected}")
            }
            IndexError::Vector(why) => write!(formatter, "a vector that cannot be indexed: {why}"),
            IndexError::Locked(folder) => write!(formatter, "the index in {folder} is open in another process"),
            IndexError::Unavailable(why) => write!(formatter, "the index cannot be reached: {why}"),
            IndexError::Engine(why) => write!(formatter, "the index failed: {why}"),
        }
    }
}

impl std::error::Error for IndexError {}

/// Refuses what engines would store and compare wrongly.
#[cfg(any(feature = "edge", feature = "server"))]
fn check_dense(space: &Space, dense: &[f32]) -> Result<(), IndexError> {
    if dense.len() != space.dimensions() {
        return Err(IndexError::Dimensions { expected: space.dimensions(), found: dense.len() });
    }
    if !dense.iter().all(|number| number.is_finite()) {
        return Err(IndexError::Vector("not all its numbers are finite"));
    }
    if dense.iter().all(|number| *number == 0.0) {
        return Err(IndexError::Vector("it is zero, which has no direction"));
    }
    Ok(())
}

#[cfg(any(feature = "edge", feature = "server"))]
fn check_sparse(sparse: &SparseVector) -> Result<(), IndexError> {
    if sparse.ids.len() != sparse.weights.len() {
        return Err(IndexError::Vector("not as many weights as terms"));
    }
    if !sparse.ids.is_sorted_by(|one, next| one < next) {
        return Err(IndexError::Vector("terms not ascending, each once"));
    }
    if !sparse.weights.iter().all(|weight| weight.is_finite()) {
        return Err(IndexError::Vector("not all its weights are finite"));
    }
    Ok(())
}

#[cfg(any(feature = "edge", feature = "server"))]
fn check(space: &Space, points: &[Point]) -> Result<(), IndexError> {
    points.iter().try_for_each(|point| {
        check_dense(space, &point.dense)?;
        check_sparse(&point.sparse)
    })
}

/// The best first, equal scores by chunk: engines leave the order of equals open.
#[cfg(any(feature = "edge", feature = "server"))]
fn ordered(mut hits: Vec<Hit>) -> Vec<Hit> {
    hits.sort_by(|one, other| other.score.total_cmp(&one.score).then(one.chunk.cmp(&other.chunk)));
    hits
}
