//! The lanes of a search: each space by meaning, all collections by words.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderValue;
use quick_cache::sync::Cache;
use rag::fuse::{Hit, Lane as Ranked};
use rag::index::{IndexError, Lane, Query, Space, VectorIndex};
use rag::sparse::{Bm25, Counts, term_id};
use sha2::{Digest, Sha256};

use super::plan::{Part, Plan};
use super::request::SearchRequest;
use crate::app::App;
use crate::embed::{Order, Side};
use crate::error::{ApiError, ApiResult};
use crate::fleet::Tier;
use crate::policy::identity::Principal;

pub const SEMANTIC: &str = "semantic";
pub const LEXICAL: &str = "lexical";

/// Terms of a question that are looked up; a longer one is a text, whose first words say what it is about.
const MOST_TERMS: usize = 256;

/// Hits looked through for the end of those of one score.
const MOST_EQUALS: usize = 40_000;

/// Vectors of recent questions. An organization finds only its own: what others asked stays theirs.
#[derive(Debug)]
pub struct Memory(Cache<[u8; 32], Arc<Vec<f32>>>);

/// Questions remembered: some 4 MB with vectors of 1,024 numbers.
const REMEMBERED: usize = 1_000;

impl Default for Memory {
    fn default() -> Memory {
        Memory(Cache::new(REMEMBERED))
    }
}

/// What the lanes of one search asked, kept from one depth to the next.
#[derive(Debug, Default)]
pub struct Asked {
    pub tokens: u64,
    pub hosting: Option<HeaderValue>,
    pub names: Vec<&'static str>,
    vectors: HashMap<String, Arc<Vec<f32>>>,
    counts: Option<Occurrences>,
}

#[derive(Debug)]
struct Occurrences {
    chunks: u64,
    with: HashMap<u32, u64>,
}

impl Counts for Occurrences {
    fn chunks(&self) -> u64 {
        self.chunks
    }

    fn with(&self, id: u32) -> u64 {
        self.with.get(&id).copied().unwrap_or(0)
    }
}

impl Asked {
    /// The first `deep` hits of each lane.
    ///
    /// # Errors
    /// Those of the embedding model; 503 when the index or the database is away.
    pub async fn run(
        &mut self,
        app: &Arc<App>,
        who: &Principal,
        plan: &Plan,
        request: &SearchRequest,
        deep: usize,
    ) -> ApiResult<Vec<Ranked<u64>>> {
        let mut lanes = Vec::new();
        self.names.clear();
        if request.method.by_meaning() {
            // Vectors of two models are never compared: each space is a lane of its own.
            for (space, parts) in plan.spaces() {
                let vector = self.vector(who, plan, parts, &request.query).await?;
                let lane = Lane::Dense(vector.as_ref().clone());
                let mut hits = Vec::new();
                for part in parts {
                    let query = Query { filter: request.filter.as_ref(), ..Query::new(&part.scope, deep) };
                    hits.extend(first(plan.index(), space, query, &lane).await?);
                }
                lanes.push(Ranked { name: SEMANTIC, weight: 1.0, hits: best(hits, deep) });
            }
            self.names.push(SEMANTIC);
        }
        if request.method.by_words() {
            let mut hits = Vec::new();
            for (space, parts) in plan.spaces() {
                for part in parts {
                    let lane = Lane::Sparse(self.weights(app, plan, part, &request.query).await?);
                    let query = Query { filter: request.filter.as_ref(), ..Query::new(&part.scope, deep) };
                    hits.extend(first(plan.index(), space, query, &lane).await?);
                }
            }
            lanes.push(Ranked { name: LEXICAL, weight: 1.0, hits: best(hits, deep) });
            self.names.push(LEXICAL);
        }
        Ok(lanes)
    }

    /// The question's vector for a space: remembered, or asked of an engine in the name of the caller.
    async fn vector(&mut self, who: &Principal, plan: &Plan, parts: &[Part], query: &str) -> ApiResult<Arc<Vec<f32>>> {
        let Some(part) = parts.first() else { return Err(ApiError::internal("a space without collections")) };
        if let Some(vector) = self.vectors.get(&part.model) {
            return Ok(vector.clone());
        }
        // What is remembered obeys the rules of today: a model closed to the caller, a class that may not go there.
        let model = plan.embedder().model(&part.model, who)?;
        if !model.allows(plan.class) {
            return Err(ApiError::sovereignty());
        }
        let mut key = Sha256::new();
        key.update(who.organization_id().unwrap_or(0).to_le_bytes());
        for text in [&part.model, &model.prefixes.query, query] {
            key.update((text.len() as u64).to_le_bytes());
            key.update(text.as_bytes());
        }
        key.update(part.dimensions.to_le_bytes());
        let key: [u8; 32] = key.finalize().into();
        if let Some(vector) = plan.memory().0.get(&key) {
            self.vectors.insert(part.model.clone(), vector.clone());
            return Ok(vector);
        }
        let order = Order {
            who,
            class: plan.class,
            model: &part.model,
            dimensions: Some(part.dimensions),
            side: Side::Query,
            tier: Tier::Interactive,
        };
        let embedded = plan.embedder().embed(&order, &[query.to_owned()]).await?;
        self.tokens += embedded.tokens;
        self.hosting = Some(embedded.hosting);
        let vector = embedded.vectors.into_iter().next().ok_or_else(|| ApiError::internal("no vector for one text"))?;
        let vector = Arc::new(vector);
        plan.memory().0.insert(key, vector.clone());
        self.vectors.insert(part.model.clone(), vector.clone());
        Ok(vector)
    }

    /// The question's weights in a language. Rarity is counted over all collections searched, so that scores of its
    /// parts compare.
    async fn weights(
        &mut self,
        app: &App,
        plan: &Plan,
        part: &Part,
        query: &str,
    ) -> ApiResult<rag::sparse::SparseVector> {
        let counts = match self.counts.take() {
            Some(counts) => counts,
            None => {
                let terms: Vec<u32> = plan
                    .analysers()
                    .flat_map(|analyser| analyser.terms(query).take(MOST_TERMS).collect::<Vec<String>>())
                    .map(|term| term_id(&term))
                    .collect();
                let with = match terms.is_empty() {
                    true => HashMap::new(),
                    false => app.store.term_counts(&plan.collections(), &terms).await.map_err(ApiError::database)?,
                };
                Occurrences { chunks: plan.chunks(), with }
            }
        };
        let weights = Bm25::query(plan.of_language(part.language).terms(query).take(MOST_TERMS), &counts);
        self.counts = Some(counts);
        Ok(weights)
    }
}

/// The first hits of a lane, the same whatever the depth. An engine chooses freely among hits of one score where it
/// cuts: so the cut is moved until it parts two scores, and equal ones are put in order here.
async fn first(
    index: &dyn VectorIndex,
    space: &Space,
    query: Query<'_>,
    lane: &Lane,
) -> ApiResult<Vec<rag::index::Hit>> {
    let mut limit = query.limit + 1;
    loop {
        let hits = index.search(space, Query { limit, ..query }, lane).await.map_err(away)?;
        let edge = query.limit.checked_sub(1).and_then(|last| hits.get(last));
        let parted = match (edge, hits.last()) {
            (Some(edge), Some(last)) => last.score < edge.score,
            _ => true,
        };
        if parted || hits.len() < limit || limit >= MOST_EQUALS {
            return Ok(hits);
        }
        limit *= 2;
    }
}

fn best(hits: Vec<rag::index::Hit>, deep: usize) -> Vec<Hit<u64>> {
    let mut hits: Vec<Hit<u64>> = hits.into_iter().map(|hit| Hit { id: hit.chunk, score: hit.score }).collect();
    hits.sort_by(|one, other| other.score.total_cmp(&one.score).then(one.id.cmp(&other.id)));
    hits.truncate(deep);
    hits
}

/// An index that does not answer, in words for callers. What it said goes to the log.
pub fn away(error: IndexError) -> ApiError {
    match error {
        IndexError::Unavailable(why) => {
            tracing::error!(%why, "the index cannot be reached");
            ApiError::service_unavailable()
        }
        error => ApiError::internal(error),
    }
}
