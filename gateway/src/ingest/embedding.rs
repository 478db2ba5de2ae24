//! From chunks to vectors: the second lane. A turn takes some documents of one collection and sends their chunks to the
//! engine, one batch after the other, with nothing in between: the next chunks are read meanwhile, and what comes back
//! goes on by [`indexing`](super::indexing), beside the next turn too.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rag::analyse::Analyser;
use rag::index::{Point, Space};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::crew::{Crew, Hold, SLICE, class, payer};
use super::indexing::Message;
use super::setback::{Setback, Setbacks, of_all};
use crate::config::DataClass;
use crate::embed::{Order, Side};
use crate::fleet::Tier;
use crate::passage;
use crate::policy::identity::Principal;
use crate::store::StoreError;
use crate::store::jobs::{Held, Lane};
use crate::store::work::{Pending, Work};

/// A turn that nobody waits for ends after so long: what is known of the collection is looked at again.
const LONGEST: Duration = Duration::from_secs(10);
/// Batches of chunks that are read at once.
const PAGE: usize = 4;

/// What a turn works with: one collection, and some of its documents.
pub struct Slice {
    pub jobs: Vec<Held>,
    pub space: Space,
    who: Principal,
    class: DataClass,
    works: HashMap<i64, Work>,
    metadata: HashMap<i64, Map<String, Value>>,
    dimensions: u32,
    model: String,
    analyser: Analyser,
    collection: i64,
    organization: i64,
    /// Something is in its way where it is indexed: no more of it.
    stopped: AtomicBool,
}

/// A chunk with its vector.
pub type Embedded = (Pending, Vec<f32>);

/// What one turn came to.
#[derive(Clone, Copy, Default, Debug)]
pub struct Served {
    pub chunks: i64,
    pub tokens: u64,
}

/// Embeds for a while, and hands over what there is to index.
pub async fn embed(crew: &Crew, hold: Hold, jobs: Vec<Held>, to: &mpsc::Sender<Message>) -> Served {
    let documents: Vec<i64> = jobs.iter().map(|job| job.document).collect();
    let slice = match crew.store.works(&documents).await {
        Ok(works) => Slice::new(jobs, works).map(Arc::new),
        Err(error) => {
            let words = Setback::from(error);
            for job in &jobs {
                crew.set_back(job, None, &words).await;
            }
            return Served::default();
        }
    };
    let Some(slice) = slice else { return Served::default() };
    let (served, setbacks) = slice.run(crew, to).await;
    // Nobody is there any more: the leases end.
    drop(to.send(Message::End(slice, setbacks, hold)).await);
    served
}

/// Chunks of a turn that wait to be embedded, read some batches ahead.
struct Chunks {
    documents: Vec<i64>,
    most: i64,
    after: i64,
    over: bool,
}

impl Chunks {
    async fn read(&mut self, crew: &Crew) -> Result<Vec<Pending>, StoreError> {
        if self.over {
            return Ok(Vec::new());
        }
        let page = crew.store.pending_chunks(&self.documents, self.after, self.most).await?;
        self.after = page.last().map_or(self.after, |last| last.id);
        self.over = page.is_empty();
        Ok(page)
    }
}

impl Slice {
    /// `None` when none of the documents is there any more.
    fn new(jobs: Vec<Held>, works: Vec<Work>) -> Option<Slice> {
        let first = works.first()?;
        let dimensions = u32::try_from(first.dimensions).unwrap_or(0);
        Some(Slice {
            jobs,
            who: payer(first),
            class: class(first),
            space: Space::new(&first.model, dimensions as usize),
            dimensions,
            model: first.model.clone(),
            analyser: passage::analyser(&first.language),
            collection: first.collection,
            organization: first.organization,
            metadata: works.iter().map(|work| (work.document, passage::object(&work.metadata))).collect(),
            works: works.into_iter().map(|work| (work.document, work)).collect(),
            stopped: AtomicBool::new(false),
        })
    }

    /// Whether a document was there at the beginning of the turn.
    pub fn knows(&self, document: i64) -> bool {
        self.works.contains_key(&document)
    }

    /// Ends the turn with the batch under way.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Embeds until there is nothing left, or others have their turn, or something is in the way: of what.
    async fn run(self: &Arc<Slice>, crew: &Crew, to: &mpsc::Sender<Message>) -> (Served, Setbacks) {
        let batch = crew.settings.batch.max(1);
        let most = i64::try_from(batch.saturating_mul(PAGE)).unwrap_or(i64::MAX);
        let documents = self.works.keys().copied().collect();
        let mut chunks = Chunks { documents, most, after: 0, over: false };
        let mut served = Served::default();
        let mut page: VecDeque<Pending> = VecDeque::new();
        let (started, mut looked) = (Instant::now(), Instant::now());
        loop {
            if page.is_empty() {
                match chunks.read(crew).await {
                    Ok(more) => page.extend(more),
                    Err(error) => return (served, self.all(&error.into())),
                }
            }
            let next: Vec<Pending> = page.drain(..batch.min(page.len())).collect();
            if next.is_empty() {
                return (served, Setbacks::new());
            }
            let ahead = async { if page.len() < batch { chunks.read(crew).await } else { Ok(Vec::new()) } };
            let ((embedded, tokens, failed), more) = tokio::join!(self.embed(crew, next), ahead);
            served.tokens += tokens;
            served.chunks += i64::try_from(embedded.len()).unwrap_or(i64::MAX);
            let gone = !embedded.is_empty() && to.send(Message::Batch(self.clone(), embedded)).await.is_err();
            if let Some(setbacks) = failed {
                return (served, setbacks);
            }
            match more {
                Ok(more) => page.extend(more),
                Err(error) => return (served, self.all(&error.into())),
            }
            if gone || self.stopped.load(Ordering::Relaxed) || started.elapsed() > LONGEST {
                return (served, Setbacks::new());
            }
            if looked.elapsed() > SLICE {
                // A database that does not answer ends the turn as well.
                if crew.store.others_wait(Lane::Embedding, self.organization).await.unwrap_or(true) {
                    return (served, Setbacks::new());
                }
                looked = Instant::now();
            }
        }
    }

    /// One setback for all that was to be done: nobody is at fault.
    fn all(&self, setback: &Setback) -> Setbacks {
        self.works.keys().map(|document| (*document, setback.clone())).collect()
    }

    /// Vectors of a batch, as far as they come; and what is in the way of the rest.
    async fn embed(&self, crew: &Crew, batch: Vec<Pending>) -> (Vec<Embedded>, u64, Option<Setbacks>) {
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
            match crew.embedder.embed(&order, &texts).await {
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
                    let setbacks = of_all(&Setback::from(error), rest.iter().map(|chunk| chunk.document));
                    return (embedded, tokens, Some(setbacks));
                }
            }
        }
        (embedded, tokens, None)
    }

    /// What the index is to hold of these chunks.
    pub fn points(&self, batch: &[Embedded]) -> Vec<Point> {
        let none = Map::new();
        batch
            .iter()
            .map(|(chunk, vector)| {
                let own = passage::object(&chunk.metadata);
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
            .collect()
    }
}
