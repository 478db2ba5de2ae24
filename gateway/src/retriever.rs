//! Questions into passages.
//!
//! 1. [`Plan::make`] decides once what may be looked into: the collections named, if the caller may read them all, and the
//!    class of the request, the highest among the caller's project and these collections. It governs whatever follows.
//! 2. [`lanes`] asks the index, by meaning and by words, each lane apart, so that an answer can say its ranks.
//! 3. Lanes are [fused](rag::fuse) by windows, so that a later page moves nothing of those before it; a rerank model puts
//!    each window in [`order`] where that is asked.
//! 4. Only the results of the page are read from the database, within the same collections.

mod filter;
mod lanes;
mod order;
mod plan;
mod request;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::HeaderValue;
use rag::fuse::{Fused, Hit, Lane, Rank, depth, fuse};
use rag::highlight;
use serde_json::{Value, json};

use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::policy::identity::Principal;
use crate::store::passages::Passage;

pub use lanes::Memory;
pub use plan::Plan;
pub use request::{Method, SearchRequest};

/// Results that are fused, and put in order, together.
const WINDOW: usize = 100;
/// Hits of a lane at most, when documents are looked for.
const DEEPEST: usize = 10_000;
/// Of an excerpt, in bytes.
const EXCERPT: usize = 400;

/// What a search found.
#[derive(Debug)]
pub struct SearchAnswer {
    pub results: Vec<Found>,
    /// The lanes that ran.
    pub lanes: Vec<&'static str>,
    /// Spent on embedding and ordering.
    pub tokens: u64,
    /// Where the question was embedded; none when no engine was asked.
    pub hosting: Option<HeaderValue>,
}

/// A result.
#[derive(Debug)]
pub struct Found {
    pub passage: Passage,
    /// Of the method, or of the rerank model where one was asked.
    pub score: f64,
    /// Where each lane that found it had it.
    pub ranks: Vec<Rank>,
    pub reranked: bool,
    /// Other chunks of its document that were found, when results are documents.
    pub others: Vec<i64>,
}

/// A chunk on its way to being a result.
struct Candidate {
    fused: Fused<u64>,
    relevance: Option<f64>,
    others: Vec<i64>,
}

impl Candidate {
    fn score(&self) -> f64 {
        self.relevance.unwrap_or(self.fused.score)
    }
}

/// Searches within a plan.
///
/// # Errors
/// Those of the embedding and rerank models; 503 when the index or the database is away.
pub async fn search(app: &Arc<App>, who: &Principal, plan: &Plan, request: &SearchRequest) -> ApiResult<SearchAnswer> {
    let mut asked = lanes::Asked::default();
    // Whole windows of each lane, so that the page does not depend on how deep it was looked for.
    let wanted = depth(request.offset + request.limit, WINDOW);
    let mut deep = wanted;
    let mut candidates = loop {
        let lanes = asked.run(app, who, plan, request, deep).await?;
        if !request.by_document {
            break candidates(one_ranking(lanes, request.rff_k));
        }
        let exhausted: Vec<bool> = lanes.iter().map(|lane| lane.hits.len() < deep).collect();
        let (lanes, chunks) = by_document(app, lanes).await?;
        // Documents are fewer than chunks: looked for deeper until there are enough, or no more.
        let enough = lanes.iter().zip(exhausted).all(|(lane, exhausted)| exhausted || lane.hits.len() >= wanted);
        if enough || deep >= DEEPEST {
            break best_chunks(one_ranking(whole(lanes, wanted), request.rff_k), &chunks);
        }
        deep *= 4;
    };
    let mut tokens = asked.tokens;
    if let Some(rerank) = &request.rerank {
        tokens += order::order(app, who, plan, request, rerank, &mut candidates).await?;
    }
    if let Some(least) = request.score_threshold {
        candidates.retain(|candidate| candidate.score() >= least);
    }
    let page: Vec<Candidate> = candidates.into_iter().skip(request.offset).take(request.limit).collect();
    let ids: Vec<i64> = page.iter().map(|candidate| chunk_id(candidate.fused.id)).collect();
    let mut passages = match ids.is_empty() {
        true => HashMap::new(),
        false => app.store.passages(&plan.collections(), &ids).await.map_err(ApiError::database)?,
    };
    let found = |candidate: Candidate| {
        // A chunk that was deleted a moment ago is in the index and not in the database: it is no result.
        let passage = passages.remove(&chunk_id(candidate.fused.id))?;
        Some(Found {
            passage,
            score: candidate.score(),
            reranked: candidate.relevance.is_some(),
            ranks: candidate.fused.ranks,
            others: candidate.others,
        })
    };
    let results = page.into_iter().filter_map(found).collect();
    Ok(SearchAnswer { results, lanes: asked.names, tokens, hosting: asked.hosting })
}

/// One lane keeps its own scores; several are fused.
fn one_ranking(lanes: Vec<Lane<u64>>, k: u32) -> Vec<Fused<u64>> {
    if let [lane] = &lanes[..] {
        let rank = |(rank, hit): (usize, &Hit<u64>)| Fused {
            id: hit.id,
            score: f64::from(hit.score),
            ranks: vec![Rank { lane: lane.name, rank, score: hit.score }],
        };
        return (1..).zip(&lane.hits).map(rank).collect();
    }
    fuse(&lanes, f64::from(k), WINDOW)
}

fn candidates(ranking: Vec<Fused<u64>>) -> Vec<Candidate> {
    ranking.into_iter().map(|fused| Candidate { fused, relevance: None, others: Vec::new() }).collect()
}

/// Lanes of chunks into lanes of documents, each where its best chunk is: a document that two lanes find by two of its
/// chunks is found by both. And the chunks of each document, those found first in whatever lane first.
async fn by_document(app: &App, mut lanes: Vec<Lane<u64>>) -> ApiResult<(Vec<Lane<u64>>, HashMap<u64, Vec<u64>>)> {
    let all: HashSet<u64> = lanes.iter().flat_map(|lane| lane.hits.iter().map(|hit| hit.id)).collect();
    let ids: Vec<i64> = all.into_iter().map(chunk_id).collect();
    let mut documents: HashMap<u64, u64> = HashMap::new();
    // Statements of a bounded size, whatever was found.
    for some in ids.chunks(5_000) {
        let known = app.store.documents_of(some).await.map_err(ApiError::database)?;
        documents.extend(known.into_iter().map(|(chunk, document)| (chunk.unsigned_abs(), document.unsigned_abs())));
    }
    let mut chunks: HashMap<u64, Vec<u64>> = HashMap::new();
    let mut seen = HashSet::new();
    for rank in 0..lanes.iter().map(|lane| lane.hits.len()).max().unwrap_or(0) {
        for hit in lanes.iter().filter_map(|lane| lane.hits.get(rank)) {
            if let Some(document) = documents.get(&hit.id)
                && seen.insert(hit.id)
            {
                chunks.entry(*document).or_default().push(hit.id);
            }
        }
    }
    for lane in &mut lanes {
        let mut seen = HashSet::new();
        let document = |hit: &Hit<u64>| Some(Hit { id: *documents.get(&hit.id)?, score: hit.score });
        lane.hits = lane.hits.iter().filter_map(document).filter(|hit| seen.insert(hit.id)).collect();
    }
    Ok((lanes, chunks))
}

/// The first hits of each lane: those after belong to windows that are not whole.
fn whole(mut lanes: Vec<Lane<u64>>, wanted: usize) -> Vec<Lane<u64>> {
    lanes.iter_mut().for_each(|lane| lane.hits.truncate(wanted));
    lanes
}

/// Documents, each shown by its best chunk.
fn best_chunks(ranking: Vec<Fused<u64>>, chunks: &HashMap<u64, Vec<u64>>) -> Vec<Candidate> {
    let candidate = |fused: Fused<u64>| {
        let (best, others) = chunks.get(&fused.id)?.split_first()?;
        let others = others.iter().map(|id| chunk_id(*id)).collect();
        Some(Candidate { fused: Fused { id: *best, ..fused }, relevance: None, others })
    };
    ranking.into_iter().filter_map(candidate).collect()
}

/// Ids of chunks come from a sequence of positive numbers.
fn chunk_id(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(0)
}

impl Found {
    /// The result as clients read it.
    pub fn json(&self, request: &SearchRequest, plan: &Plan) -> Value {
        let Found { passage, .. } = self;
        let ranks: serde_json::Map<String, Value> = self
            .ranks
            .iter()
            .map(|rank| (rank.lane.to_owned(), json!({"rank": rank.rank, "score": rank.score})))
            .collect();
        let mut result = json!({
            "method": request.method.as_str(),
            "score": self.score,
            "chunk": {
                "object": "chunk",
                "id": passage.id,
                "collection_id": passage.collection,
                "document_id": passage.document,
                "content": passage.content,
                "metadata": passage.metadata(),
            },
            "ranks": ranks,
        });
        if self.reranked {
            result["reranked"] = true.into();
        }
        if request.by_document {
            result["other_chunk_ids"] = self.others.clone().into();
        }
        if request.highlight {
            result["highlight"] = highlighted(&passage.content, &request.query, plan, passage.collection);
        }
        result
    }
}

/// The part of a chunk that holds the most words of the query, in pieces: each says whether it is such a word.
fn highlighted(content: &str, query: &str, plan: &Plan, collection: i64) -> Value {
    let matches = highlight::matches(content, query, plan.analyser(collection));
    let excerpt = highlight::excerpt(content, &matches, EXCERPT);
    let mut pieces = Vec::new();
    let mut at = excerpt.start;
    let mut piece = |from: usize, to: usize, is_match: bool| {
        if let Some(text) = content.get(from..to).filter(|text| !text.is_empty()) {
            pieces.push(json!({"text": text, "match": is_match}));
        }
    };
    for found in matches.iter().filter(|found| found.start >= excerpt.start && found.end <= excerpt.end) {
        piece(at, found.start, false);
        piece(found.start, found.end, true);
        at = found.end;
    }
    piece(at, excerpt.end, false);
    pieces.into()
}
