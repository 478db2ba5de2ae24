//! The embedded engine and a server, on one corpus: compared with everything, they find the same; by their graphs, they
//! find as well.
//!
//! The corpus is the demo's, asked its own titles. `GUICHET_TEST_CORPUS` names a folder with another one, in the files of
//! `guichet eval retrieval`: `corpus.jsonl`, `queries.jsonl`, `qrels.tsv`. Vectors are random projections of BM25 weights:
//! texts that share words are near each other, and no model is needed.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use eval::metrics::retrieval::Query as Judged;
use qdrant_client::Qdrant;
use qdrant_client::qdrant::CollectionStatus;
use rag::Language;
use rag::analyse::Analyser;
use rag::index::edge::Edge;
use rag::index::server::Server;
use rag::index::{Hit, Hybrid, Lane, Point, Query, Scope, Space, SparseVector, VectorIndex};
use rag::sparse::{Bm25, Counts, Frequencies, TITLE_WEIGHT};
use serde_json::{Map, Value};

/// A folder with a corpus and its judgements.
const CORPUS: &str = "GUICHET_TEST_CORPUS";
/// Numbers of each vector, as of multilingual-e5-small.
const DIMENSIONS: usize = 384;
/// Hits that count, and hits of each lane that are fused.
const TOP: usize = 10;
const DEPTH: usize = 50;
/// Two scores of one pair of vectors, each summed in its own order.
const ROUNDING: f32 = 1e-4;
/// How much better or worse one engine's graph may be, in nDCG@10.
const APART: f64 = 0.005;
/// A server builds its graphs when it likes.
const PATIENCE: Duration = Duration::from_secs(900);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_engines_find_the_same() {
    let Some(url) = tests::index::server() else {
        println!("not run: {} names no Qdrant server", tests::index::QDRANT);
        return;
    };
    let corpus = Corpus::read();
    let folder = tempfile::tempdir().expect("a folder");
    let prefix: String = std::iter::repeat_with(|| fastrand::char('a'..='z')).take(12).collect();
    let space = Space::new("accord", DIMENSIONS);
    let edge = Edge::open(folder.path()).expect("an index");
    let server = Server::new(&url, None, &prefix).expect("an address");
    for batch in corpus.points.chunks(256) {
        edge.upsert(&space, batch).await.expect("stored");
        server.upsert(&space, batch).await.expect("stored");
    }
    edge.maintain(&space).await.expect("upkeep");
    settled(&url, &format!("{prefix}-{space}")).await;

    let scope = Scope::new([1]).expect("a scope");
    let mut means: BTreeMap<String, f64> = BTreeMap::new();
    for question in &corpus.questions {
        for exact in [true, false] {
            let query = Query { exact, ..Query::new(&scope, TOP) };
            let mut found: Vec<[Vec<Hit>; 3]> = Vec::new();
            for index in [&edge as &dyn VectorIndex, &server] {
                let dense = Lane::Dense(question.dense.clone());
                let sparse = Lane::Sparse(question.sparse.clone());
                let hybrid =
                    Hybrid { dense: question.dense.clone(), sparse: question.sparse.clone(), depth: DEPTH, k: 60 };
                found.push([
                    index.search(&space, query, &dense).await.expect("an answer"),
                    index.search(&space, query, &sparse).await.expect("an answer"),
                    index.hybrid(&space, query, &hybrid).await.expect("an answer"),
                ]);
            }
            // A fusion turns equals in a lane into ranks: its lanes are compared.
            for (one, other) in found[0].iter().zip(&found[1]).take(if exact { 2 } else { 0 }) {
                same(one, other, &question.text);
            }
            for (engine, found) in ["edge", "server"].iter().zip(found) {
                for (lane, hits) in ["dense", "sparse", "hybrid"].iter().zip(found) {
                    let how = if exact { "exact" } else { "graph" };
                    *means.entry(format!("{lane} {how} {engine}")).or_default() += corpus.gain(question, &hits);
                }
            }
        }
    }
    for mean in means.values_mut() {
        *mean /= corpus.questions.len() as f64;
    }
    println!("{} texts, {} questions, nDCG@10: {means:#.4?}", corpus.points.len(), corpus.questions.len());
    for (name, edge) in means.iter().filter(|(name, _)| name.ends_with("edge")) {
        let server = means[&name.replace("edge", "server")];
        assert!((edge - server).abs() < APART, "{name}: {edge}, {server} on the server");
    }
    server.drop_space(&space).await.expect("removed");
}

/// The same hits, but that equals may change places, also across the end.
fn same(one: &[Hit], other: &[Hit], question: &str) {
    assert_eq!(one.len(), other.len(), "{question}");
    let Some(last) = one.last() else { return };
    for (hit, beside) in one.iter().zip(other) {
        assert!(
            (hit.score - beside.score).abs() < ROUNDING * hit.score.abs().max(1.0),
            "{question}: {hit:?} {beside:?}"
        );
    }
    for (these, those) in [(one, other), (other, one)] {
        for hit in these.iter().filter(|hit| hit.score > last.score + ROUNDING * last.score.abs().max(1.0)) {
            assert!(those.iter().any(|beside| beside.chunk == hit.chunk), "{question}: {hit:?} is in one alone");
        }
    }
}

/// Waits until a server has built its graphs.
async fn settled(url: &str, collection: &str) {
    let client = Qdrant::from_url(url).skip_compatibility_check().build().expect("an address");
    let green = async {
        loop {
            let info = client.collection_info(collection).await.expect("its state").result.expect("its state");
            if info.status() == CollectionStatus::Green {
                return info.indexed_vectors_count();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let indexed = tokio::time::timeout(PATIENCE, green).await.expect("in time");
    println!("the server has {indexed} vectors in its graphs");
}

struct Question {
    text: String,
    dense: Vec<f32>,
    sparse: SparseVector,
    judged: HashMap<String, i64>,
}

struct Corpus {
    names: Vec<String>,
    points: Vec<Point>,
    questions: Vec<Question>,
}

impl Corpus {
    fn read() -> Corpus {
        let folder = std::env::var_os(CORPUS).map(PathBuf::from);
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/demo/corpus/fiches.jsonl");
        let texts = lines(&folder.as_ref().map_or(demo, |folder| folder.join("corpus.jsonl")));
        let analyser = Analyser::new(Language::French);
        let all: Vec<Frequencies> = texts
            .iter()
            .map(|text| {
                let mut frequencies = Frequencies::default();
                frequencies.add(analyser.terms(field(text, "title")), TITLE_WEIGHT);
                frequencies.add(analyser.terms(field(text, "text")), 1.0);
                frequencies
            })
            .collect();
        let rarity = Rarity::of(&all);
        let mut projection = Projection::default();
        let points = all.iter().zip(1..).map(|(frequencies, chunk)| {
            let sparse = Bm25::default().chunk(frequencies);
            let dense = projection.of(&sparse, Some(&rarity));
            Point { chunk, collection: 1, document: chunk, dense, sparse, metadata: Map::new() }
        });
        // A text without any word has no direction.
        let points = points.filter(|point| point.dense.iter().any(|number| *number != 0.0)).collect();
        let name = |(nth, text): (usize, &Value)| match field(text, "id") {
            "" => nth.to_string(),
            id => id.to_owned(),
        };
        let names: Vec<String> = texts.iter().enumerate().map(name).collect();
        let asked: Vec<(String, HashMap<String, i64>)> = match &folder {
            Some(folder) => judged(folder),
            None => texts
                .iter()
                .zip(&names)
                .map(|(t, name)| (field(t, "title").into(), [(name.clone(), 1)].into()))
                .collect(),
        };
        let mut questions = Vec::new();
        for (text, judged) in asked {
            let sparse = Bm25::query(analyser.terms(&text), &rarity);
            let dense = projection.of(&sparse, None);
            if !sparse.ids.is_empty() {
                questions.push(Question { text, dense, sparse, judged });
            }
        }
        Corpus { names, points, questions }
    }

    fn gain(&self, question: &Question, hits: &[Hit]) -> f64 {
        // The order is that of the hits, whatever their scores.
        let found =
            hits.iter().enumerate().map(|(rank, hit)| (self.names[hit.chunk as usize - 1].clone(), -(rank as f64)));
        let judged = Judged { found: found.collect(), judged: question.judged.clone() };
        judged.scores(Some(TOP)).expect("scores").ndcg
    }
}

/// The questions of a folder, with what was judged.
fn judged(folder: &Path) -> Vec<(String, HashMap<String, i64>)> {
    let mut judged: HashMap<String, HashMap<String, i64>> = HashMap::new();
    for line in std::fs::read_to_string(folder.join("qrels.tsv")).expect("judgements").lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [question, _, text, degree] = words[..] else { panic!("no judgement: {line}") };
        judged.entry(question.to_owned()).or_default().insert(text.to_owned(), degree.parse().expect("a degree"));
    }
    let questions = lines(&folder.join("queries.jsonl"));
    let asked = |line: &Value| Some((field(line, "text").to_owned(), judged.remove(field(line, "id"))?));
    questions.iter().filter_map(asked).collect()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// In how many texts a term is.
struct Rarity {
    texts: u64,
    with: HashMap<u32, u64>,
}

impl Rarity {
    fn of(all: &[Frequencies]) -> Rarity {
        let mut with: HashMap<u32, u64> = HashMap::new();
        for term in all.iter().flat_map(Frequencies::ids) {
            *with.entry(term).or_default() += 1;
        }
        Rarity { texts: all.len() as u64, with }
    }
}

impl Counts for Rarity {
    fn chunks(&self) -> u64 {
        self.texts
    }

    fn with(&self, id: u32) -> u64 {
        self.with.get(&id).copied().unwrap_or(0)
    }
}

/// A direction for each term, always the same.
#[derive(Default)]
struct Projection(HashMap<u32, Arc<Vec<f32>>>);

impl Projection {
    /// The sum of its terms' directions by their weights, times their rarity where it is given.
    fn of(&mut self, sparse: &SparseVector, rarity: Option<&Rarity>) -> Vec<f32> {
        let mut sum = vec![0.0; DIMENSIONS];
        for (term, weight) in sparse.ids.iter().zip(&sparse.weights) {
            let rare =
                rarity.map_or(1.0, |rarity| (1.0 + rarity.texts as f32 / (1.0 + rarity.with(*term) as f32)).ln());
            let direction = self.0.entry(*term).or_insert_with(|| {
                let random = &mut fastrand::Rng::with_seed(u64::from(*term));
                Arc::new((0..DIMENSIONS).map(|_| random.f32() - 0.5).collect())
            });
            for (number, along) in sum.iter_mut().zip(direction.iter()) {
                *number += weight * rare * along;
            }
        }
        sum
    }
}
