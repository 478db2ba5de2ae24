//! From chunks to what is searched: the second lane. One slice of work takes a few documents of one collection, or a
//! piece of a long one, so that turns between organizations are short; the next batch is embedded while the one before
//! it goes into the index.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use rag::analyse::Analyser;
use rag::index::{Point, Space};
use serde_json::{Map, Value};

use super::crew::{Crew, class, payer};
use super::setback::Setback;
use crate::config::DataClass;
use crate::embed::{Order, Side};
use crate::fleet::Tier;
use crate::passage;
use crate::policy::identity::Principal;
use crate::store::jobs::{Held, Stage};
use crate::store::work::{Pending, Work};

/// After so long, or so many batches, others have their turn.
const SLICE: Duration = Duration::from_secs(2);
const BATCHES: usize = 8;

/// What a slice works with: one collection, and some of its documents.
struct Slice<'a> {
    crew: &'a Crew,
    who: Principal,
    class: DataClass,
    works: HashMap<i64, Work>,
    metadata: HashMap<i64, Map<String, Value>>,
    space: Space,
    dimensions: u32,
    model: String,
    analyser: Analyser,
    collection: i64,
    /// Tokens used so far.
    tokens: u64,
}

/// A chunk with its vector.
type Embedded = (Pending, Vec<f32>);

/// Embeds and indexes for a while. The tokens that it took.
pub async fn slice(crew: &Crew, jobs: &[Held]) -> u64 {
    let documents: Vec<i64> = jobs.iter().map(|job| job.document).collect();
    let works = match crew.store.works(&documents).await {
        Ok(works) => works,
        Err(error) => {
            let words = Setback::from(error);
            for job in jobs {
                crew.set_back(job, None, &words).await;
            }
            return 0;
        }
    };
    let Some(first) = works.first() else { return 0 };
    let dimensions = u32::try_from(first.dimensions).unwrap_or(0);
    let mut slice = Slice {
        crew,
        who: payer(first),
        class: class(first),
        space: Space::new(&first.model, dimensions as usize),
        dimensions,
        model: first.model.clone(),
        analyser: passage::analyser(&first.language),
        collection: first.collection,
        metadata: works.iter().map(|work| (work.document, passage::object(&work.metadata))).collect(),
        works: works.into_iter().map(|work| (work.document, work)).collect(),
        tokens: 0,
    };
    let (indexed, setbacks) = slice.run().await;
    slice.end(jobs, indexed, setbacks).await;
    slice.tokens
}

/// What became of documents that do not go on.
type Setbacks = HashMap<i64, Setback>;

impl Slice<'_> {
    /// Puts chunks into the index until there are none, or the time is over, or something is in the way. Which ones are
    /// in it, not yet flushed.
    async fn run(&mut self) -> (BTreeMap<i64, Vec<i64>>, Setbacks) {
        let documents: Vec<i64> = self.works.keys().copied().collect();
        let started = Instant::now();
        let (mut after, mut batches) = (0, 0);
        let mut ready: Vec<Embedded> = Vec::new();
        let mut indexed: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        let mut setbacks = Setbacks::new();
        loop {
            let goes_on = setbacks.is_empty() && batches < BATCHES && started.elapsed() < SLICE;
            let most = i64::try_from(self.crew.settings.batch.max(1)).unwrap_or(i64::MAX);
            let batch = match goes_on {
                true => self.crew.store.pending_chunks(&documents, after, most).await,
                false => Ok(Vec::new()),
            };
            let batch = batch.unwrap_or_else(|error| {
                let words = Setback::from(error);
                setbacks.extend(documents.iter().map(|document| (*document, words.clone())));
                Vec::new()
            });
            if batch.is_empty() && ready.is_empty() {
                return (indexed, setbacks);
            }
            batches += 1;
            after = batch.last().map_or(after, |last| last.id);
            let before = std::mem::take(&mut ready);
            let ((embedded, tokens, failed), stored) = tokio::join!(self.embed(batch), self.index(&before));
            self.tokens += tokens;
            ready = embedded;
            match stored {
                Ok(()) => {
                    for (chunk, _) in &before {
                        indexed.entry(chunk.document).or_default().push(chunk.id);
                    }
                }
                Err(setback) => {
                    let concerned: BTreeSet<i64> = before.iter().map(|(chunk, _)| chunk.document).collect();
                    setbacks.extend(alone(&setback, concerned));
                }
            }
            if let Some((setback, concerned)) = failed {
                setbacks.extend(alone(&setback, concerned));
            }
        }
    }

    /// Vectors of a batch, as far as they come; and what is in the way of the rest, with whom it concerns.
    async fn embed(&self, batch: Vec<Pending>) -> (Vec<Embedded>, u64, Option<(Setback, BTreeSet<i64>)>) {
        let mut embedded = Vec::with_capacity(batch.len());
        let mut tokens = 0;
        let mut size = batch.len();
        let mut rest = batch;
        while !rest.is_empty() {
            let after = rest.split_off(size.clamp(1, rest.len()));
            let texts: Vec<String> =
                rest.iter().map(|chunk| passage::embedded(&passage::object(&chunk.metadata), &chunk.content)).collect();
            let order = Order {
                who: &self.who,
                class: self.class,
                model: &self.model,
                dimensions: Some(self.dimensions),
                side: Side::Passage,
                tier: Tier::Flex,
            };
            match self.crew.embedder.embed(&order, &texts).await {
                Ok(done) => {
                    tokens += done.tokens;
                    embedded.extend(rest.into_iter().zip(done.vectors));
                    rest = after;
                }
                // More at once than a limit ever allows: in smaller pieces, each may pass.
                Err(error) if error.status().as_u16() == 429 && error.after().is_none() && rest.len() > 1 => {
                    size = rest.len() / 2;
                    rest.extend(after);
                }
                Err(error) => {
                    rest.extend(after);
                    let concerned = rest.iter().map(|chunk| chunk.document).collect();
                    return (embedded, tokens, Some((Setback::from(error), concerned)));
                }
            }
        }
        (embedded, tokens, None)
    }

    async fn index(&self, batch: &[Embedded]) -> Result<(), Setback> {
        if batch.is_empty() {
            return Ok(());
        }
        let points: Vec<Point> = batch
            .iter()
            .map(|(chunk, vector)| {
                let own = passage::object(&chunk.metadata);
                let none = Map::new();
                let name = self.works.get(&chunk.document).map_or("", |work| work.name.as_str());
                let metadata = self.metadata.get(&chunk.document).unwrap_or(&none);
                Point {
                    chunk: chunk.id.unsigned_abs(),
                    collection: self.collection.unsigned_abs(),
                    document: chunk.document.unsigned_abs(),
                    dense: vector.clone(),
                    sparse: passage::sparse(&self.analyser, &own, &chunk.content),
                    metadata: passage::fields(name, metadata, &own),
                }
            })
            .collect();
        Ok(self.crew.index.upsert(&self.space, &points).await?)
    }

    /// Makes what was done last, and gives the jobs back.
    async fn end(&self, jobs: &[Held], mut indexed: BTreeMap<i64, Vec<i64>>, mut setbacks: Setbacks) {
        let crew = self.crew;
        let flushed: Vec<i64> = indexed.keys().copied().collect();
        if let Err(error) = self.flush(&flushed).await {
            setbacks.extend(alone(&error, flushed.into_iter().collect()));
            indexed.clear();
        }
        for job in jobs {
            let chunks = indexed.remove(&job.document).unwrap_or_default();
            let setback = setbacks.remove(&job.document);
            // Chunks that are safe are marked even when others are not: they need not be embedded again.
            let marked = match (&setback, chunks.is_empty(), self.works.contains_key(&job.document)) {
                (_, _, false) => Err(Setback::Gone),
                (Some(_), true, true) => Ok(Stage::Embedding),
                _ => match crew.store.mark_indexed(job.document, &crew.owner, &chunks).await {
                    Ok(Some(stage)) => Ok(stage),
                    Ok(None) => Err(Setback::Gone),
                    Err(error) => Err(error.into()),
                },
            };
            match (marked, setback) {
                (Err(setback), _) | (Ok(_), Some(setback)) => crew.set_back(job, Some(&self.space), &setback).await,
                (Ok(Stage::Done), None) => crew.moved(job.document),
                (Ok(_), None) => {
                    if let Err(error) = crew.store.release_job(job.document, &crew.owner).await {
                        tracing::warn!(%error, "a document is given back when its lease ends");
                    }
                    crew.moved(job.document);
                }
            }
        }
    }

    async fn flush(&self, documents: &[i64]) -> Result<(), Setback> {
        if documents.is_empty() {
            return Ok(());
        }
        self.crew.store.advance_jobs(documents, &self.crew.owner, Stage::Indexing).await?;
        documents.iter().for_each(|document| self.crew.moved(*document));
        Ok(self.crew.index.keep(&self.space).await?)
    }
}

/// The setback of each document concerned. Of several, nobody knows which one is at fault for good: each comes back
/// alone.
fn alone(setback: &Setback, concerned: BTreeSet<i64>) -> Setbacks {
    let shared = concerned.len() > 1;
    let each = |document| {
        let setback = match setback {
            Setback::Failed(words) if shared => Setback::Later { words: words.clone(), after: Some(Duration::ZERO) },
            setback => setback.clone(),
        };
        (document, setback)
    };
    concerned.into_iter().map(each).collect()
}
