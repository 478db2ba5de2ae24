//! The embedded index at size: what a hybrid search takes, how fast chunks go in, how long a restart is, and what ten
//! thousand collections cost beside one. `make bench-scale`, or with other sizes `make bench-scale CHUNKS="10000 1000000"`.
//! With `--keep FOLDER` in front, indexes are kept there, and one that is there already is measured without being made:
//! writing may take its time beside other work, searches are then measured alone.
//!
//! Vectors are made: 384 numbers around some hundred centres, as texts lie around their subjects; terms are drawn from
//! 60,000 by Zipf's law, 80 distinct ones a chunk, 6 a query. Queries are near chunks, not chunks themselves.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a program that measures and tells")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rag::index::edge::Edge;
use rag::index::{Hybrid, Lane, Point, Query, Scope, Space, SparseVector, VectorIndex};
use serde_json::Map;

const DIMENSIONS: usize = 384;
const CENTRES: usize = 300;
const VOCABULARY: f32 = 60_000.0;
const TERMS: usize = 80;
const QUERIES: usize = 1_000;
const BATCH: u64 = 256;
/// Hits of each lane that are fused, as a search asks for.
const DEPTH: usize = 50;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut keep = None;
    let mut sizes: Vec<u64> = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--keep" => keep = Some(PathBuf::from(arguments.next().expect("--keep FOLDER"))),
            // Cargo's own.
            "--bench" => {}
            size => sizes.push(size.parse().expect("a number of chunks")),
        }
    }
    if sizes.is_empty() {
        sizes = vec![10_000, 100_000];
    }
    println!(
        "| chunks | collections | upserts/s | graphs | restart | hybrid p50 | p99 | dense p50 | sparse p50 | recall@10 | disk |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for chunks in sizes {
        for collections in [1, 10_000] {
            let passing = tempfile::tempdir().expect("a folder");
            let folder = keep.as_deref().unwrap_or(passing.path()).join(format!("{chunks}-in-{collections}"));
            let made = (!folder.exists()).then(|| runtime.block_on(make(&folder, chunks, collections)));
            runtime.block_on(measure(&folder, chunks, collections, made));
        }
    }
}

/// What it took to make an index.
struct Made {
    writing: Duration,
    graphs: Duration,
}

/// Makes an index in `folder`: whole or not at all.
async fn make(folder: &Path, chunks: u64, collections: u64) -> Made {
    let unfinished = folder.with_extension("unfinished");
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).expect("removed");
    }
    let space = space();
    let world = World::new();
    let mut random = fastrand::Rng::with_seed(7);
    let index = Edge::open(&unfinished).expect("an index");
    let (mut writing, mut next) = (Duration::ZERO, 1);
    while next <= chunks {
        let end = (next + BATCH).min(chunks + 1);
        let points: Vec<Point> =
            (next..end).map(|chunk| world.point(chunk, chunk % collections, &mut random)).collect();
        let started = Instant::now();
        index.upsert(&space, &points).await.expect("stored");
        writing += started.elapsed();
        next = end;
    }
    let started = Instant::now();
    index.flush(&space).await.expect("flushed");
    writing += started.elapsed();
    let started = Instant::now();
    index.maintain(&space).await.expect("upkeep");
    let graphs = started.elapsed();
    drop(index);
    std::fs::rename(&unfinished, folder).expect("renamed");
    Made { writing, graphs }
}

fn space() -> Space {
    Space::new("bench", DIMENSIONS)
}

async fn measure(folder: &Path, chunks: u64, collections: u64, made: Option<Made>) {
    let space = space();
    let world = World::new();
    let mut random = fastrand::Rng::with_seed(11);
    let started = Instant::now();
    let index = Edge::open(folder).expect("an index");
    let restart = started.elapsed();

    // All of it: ten thousand collections as one scope would be another question.
    let scopes: Vec<Scope> = match collections {
        1 => vec![Scope::new([0]).expect("a scope")],
        many => (0..QUERIES as u64).map(|nth| Scope::new([nth % many]).expect("a scope")).collect(),
    };
    let mut times = Times::default();
    let (mut agreed, mut expected) = (0, 0);
    for nth in 0..QUERIES + 50 {
        let (dense, sparse) = (world.near(&mut random), world.words(6, &mut random));
        let scope = &scopes[nth % scopes.len()];
        let hybrid = Hybrid { dense, sparse, depth: DEPTH, k: 60 };
        let query = Query::new(scope, 10);
        let started = Instant::now();
        index.hybrid(&space, query, &hybrid).await.expect("an answer");
        let taken = started.elapsed();
        let (dense, sparse) = (Lane::Dense(hybrid.dense), Lane::Sparse(hybrid.sparse));
        let started = Instant::now();
        let found = index.search(&space, query, &dense).await.expect("an answer");
        let by_meaning = started.elapsed();
        let started = Instant::now();
        index.search(&space, query, &sparse).await.expect("an answer");
        let by_words = started.elapsed();
        // The first ones find nothing in memory: told apart by the restart.
        if nth >= 50 {
            times.hybrid.push(taken);
            times.dense.push(by_meaning);
            times.sparse.push(by_words);
        }
        if nth % 10 == 0 {
            let exact = index.search(&space, Query { exact: true, ..query }, &dense).await.expect("an answer");
            expected += exact.len();
            agreed += exact.iter().filter(|hit| found.iter().any(|other| other.chunk == hit.chunk)).count();
        }
    }
    let (upserts, graphs) = match made {
        None => ("–".to_owned(), "–".to_owned()),
        Some(Made { writing, graphs }) => {
            (format!("{:.0}", chunks as f64 / writing.as_secs_f64()), format!("{:.1} s", graphs.as_secs_f64()))
        }
    };
    println!(
        "| {chunks} | {collections} | {upserts} | {graphs} | {:.0} ms | {} | {} | {} | {} | {:.3} | {} MB |",
        restart.as_secs_f64() * 1_000.0,
        at(&mut times.hybrid, 0.5),
        at(&mut times.hybrid, 0.99),
        at(&mut times.dense, 0.5),
        at(&mut times.sparse, 0.5),
        f64::from(agreed as u32) / f64::from((expected as u32).max(1)),
        size(folder) >> 20,
    );
}

#[derive(Default)]
struct Times {
    hybrid: Vec<Duration>,
    dense: Vec<Duration>,
    sparse: Vec<Duration>,
}

/// In milliseconds, at a share of the sorted times.
fn at(times: &mut [Duration], share: f64) -> String {
    times.sort_unstable();
    let place = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
    format!("{:.2} ms", times[place].as_secs_f64() * 1_000.0)
}

/// Bytes on disk, holes left out.
fn size(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries
        .map(|path| match path.is_dir() {
            true => size(&path),
            false => path.metadata().map_or(0, |metadata| metadata.blocks() * 512),
        })
        .sum()
}

/// Where texts lie.
struct World {
    centres: Vec<Vec<f32>>,
}

impl World {
    fn new() -> World {
        let random = &mut fastrand::Rng::with_seed(3);
        World { centres: (0..CENTRES).map(|_| (0..DIMENSIONS).map(|_| normal(random)).collect()).collect() }
    }

    /// Around one of the centres, as far from it as centres are from the middle.
    fn near(&self, random: &mut fastrand::Rng) -> Vec<f32> {
        let centre = &self.centres[random.usize(..CENTRES)];
        centre.iter().map(|number| number + normal(random)).collect()
    }

    fn words(&self, count: usize, random: &mut fastrand::Rng) -> SparseVector {
        let mut terms = std::collections::BTreeMap::new();
        while terms.len() < count {
            // The inverse of a distribution that falls with the rank.
            let rank = VOCABULARY.powf(random.f32()) as u32;
            terms.insert(rank, 0.2 + (rank as f32).ln() / 11.0);
        }
        SparseVector { ids: terms.keys().copied().collect(), weights: terms.values().copied().collect() }
    }

    fn point(&self, chunk: u64, collection: u64, random: &mut fastrand::Rng) -> Point {
        let (dense, sparse) = (self.near(random), self.words(TERMS, random));
        Point { chunk, collection, document: chunk / 8, dense, sparse, metadata: Map::new() }
    }
}

/// A number of the normal distribution (Box and Muller).
fn normal(random: &mut fastrand::Rng) -> f32 {
    (-2.0 * (1.0 - random.f32()).ln()).sqrt() * (std::f32::consts::TAU * random.f32()).cos()
}
