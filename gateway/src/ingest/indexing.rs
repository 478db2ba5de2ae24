//! From vectors to what is searched: the end of the second lane. Each embedder has one of these beside it, which puts
//! what it embeds into the index and, some turns together, writes the index down and only then says in the database
//! that it is there. So the engine waits neither for the one nor for the other; how far this may be behind is bounded.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rag::index::Space;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::crew::{Crew, Hold};
use super::embedding::{Embedded, Slice};
use super::setback::{Setback, Setbacks, of_all};
use crate::store::jobs::{Held, Stage};

/// Batches that may be embedded and not yet in the index.
pub const BEHIND: usize = 8;
/// How long what is in the index waits for more before it is written down, while more is coming.
const GATHER: Duration = Duration::from_millis(500);

/// What an embedder says.
pub enum Message {
    /// Some chunks of its turn.
    Batch(Arc<Slice>, Vec<Embedded>),
    /// The end of its turn, with what is in the way of some documents.
    End(Arc<Slice>, Setbacks, Hold),
    /// Nothing more for now.
    Rest,
}

/// Indexes what comes until nothing more will.
pub async fn run(crew: Arc<Crew>, mut from: mpsc::Receiver<Message>) {
    let mut shelf = Shelf { crew, parts: Vec::new(), due: None };
    loop {
        let message = match shelf.due {
            None => from.recv().await,
            Some(due) => tokio::select! {
                biased;
                () = tokio::time::sleep_until(due) => Some(Message::Rest),
                message = from.recv() => message,
            },
        };
        match message {
            Some(Message::Batch(slice, chunks)) => shelf.put(slice, chunks).await,
            Some(Message::End(slice, setbacks, hold)) => shelf.end(slice, setbacks, hold),
            Some(Message::Rest) => shelf.close().await,
            None => return shelf.close().await,
        }
    }
}

/// A turn, or what is left of it to be written down.
struct Part {
    slice: Arc<Slice>,
    /// Chunks in the index that are not written down, by their documents.
    indexed: BTreeMap<i64, Vec<i64>>,
    setbacks: Setbacks,
    /// Documents that are out of our hands.
    left: HashSet<i64>,
    /// Its jobs, once its turn is over.
    ended: Option<Hold>,
}

/// What is in the index and not yet said to be.
struct Shelf {
    crew: Arc<Crew>,
    parts: Vec<Part>,
    due: Option<Instant>,
}

impl Shelf {
    fn part(&mut self, slice: Arc<Slice>) -> &mut Part {
        self.due.get_or_insert_with(|| Instant::now() + GATHER);
        let at = self.parts.iter().position(|part| Arc::ptr_eq(&part.slice, &slice)).unwrap_or_else(|| {
            self.parts.push(Part {
                slice,
                indexed: BTreeMap::new(),
                setbacks: Setbacks::new(),
                left: HashSet::new(),
                ended: None,
            });
            self.parts.len() - 1
        });
        &mut self.parts[at]
    }

    async fn put(&mut self, slice: Arc<Slice>, mut chunks: Vec<Embedded>) {
        let index = self.crew.index.clone();
        let part = self.part(slice);
        chunks.retain(|(chunk, _)| !part.left.contains(&chunk.document));
        let done = match chunks.is_empty() {
            true => Ok(()),
            false => index.upsert(&part.slice.space, &part.slice.points(&chunks)).await,
        };
        let chunks = chunks.into_iter().map(|(chunk, _)| (chunk.document, chunk.id));
        match done {
            Ok(()) => chunks.for_each(|(document, id)| part.indexed.entry(document).or_default().push(id)),
            Err(error) => {
                part.slice.stop();
                part.setbacks.extend(of_all(&error.into(), chunks.map(|(document, _)| document)));
            }
        }
    }

    fn end(&mut self, slice: Arc<Slice>, setbacks: Setbacks, hold: Hold) {
        let part = self.part(slice);
        part.setbacks.extend(setbacks);
        part.ended = Some(hold);
    }

    /// Writes the index down, says in the database what is there, and gives back what is over.
    async fn close(&mut self) {
        self.due = None;
        let spaces: BTreeSet<Space> = self.parts.iter().map(|part| part.slice.space.clone()).collect();
        for space in spaces {
            self.write_down(&space).await;
        }
        let mut indexed: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for part in &mut self.parts {
            indexed.append(&mut part.indexed);
        }
        let over: BTreeSet<i64> = self.parts.iter().flat_map(Part::over).collect();
        let concerned: BTreeSet<i64> = indexed.keys().chain(&over).copied().collect();
        let marked = match concerned.is_empty() {
            true => Ok(BTreeMap::new()),
            false => self.crew.store.mark_indexed(&self.crew.owner, &indexed, &over).await.map_err(Setback::from),
        };
        for part in &mut self.parts {
            for job in part.slice.jobs.clone() {
                let stage = match &marked {
                    _ if part.left.contains(&job.document) => continue,
                    _ if !concerned.contains(&job.document) => Ok(None),
                    Ok(marked) => marked.get(&job.document).map(|stage| Some(*stage)).ok_or(Setback::Gone),
                    Err(setback) => Err(setback.clone()),
                };
                settle(&self.crew, part, &job, stage).await;
            }
        }
        // One whose turn was cut short by a fault comes back when its leases end: it is not waited for.
        let last = self.parts.last().map(|part| part.slice.clone());
        self.parts.retain(|part| part.ended.is_none() && last.as_ref().is_some_and(|it| Arc::ptr_eq(it, &part.slice)));
        if !over.is_empty() {
            self.crew.wake();
        }
    }

    async fn write_down(&mut self, space: &Space) {
        let crew = self.crew.clone();
        let here = || self.parts.iter().filter(|part| part.slice.space == *space);
        let documents: Vec<i64> = here().flat_map(|part| part.indexed.keys().copied()).collect();
        if documents.is_empty() {
            return;
        }
        let written = async {
            crew.store.advance_jobs(&documents, &crew.owner, Stage::Indexing).await?;
            documents.iter().for_each(|document| crew.moved(*document));
            Ok::<(), Setback>(crew.index.keep(space).await?)
        };
        if let Err(setback) = written.await {
            for part in self.parts.iter_mut().filter(|part| part.slice.space == *space) {
                part.slice.stop();
                let lost = std::mem::take(&mut part.indexed);
                part.setbacks.extend(of_all(&setback, lost.into_keys()));
            }
        }
    }
}

impl Part {
    /// Documents whose turn is over, and that nothing is in the way of.
    fn over(&self) -> impl Iterator<Item = i64> + '_ {
        let jobs = if self.ended.is_some() { self.slice.jobs.as_slice() } else { &[] };
        jobs.iter().map(|job| job.document).filter(|document| {
            !self.left.contains(document) && !self.setbacks.contains_key(document) && self.slice.knows(*document)
        })
    }
}

/// What becomes of a document after its chunks were marked: to which stage they brought it.
async fn settle(crew: &Crew, part: &mut Part, job: &Held, marked: Result<Option<Stage>, Setback>) {
    let setback = match (marked, part.setbacks.remove(&job.document)) {
        (Err(setback), _) | (Ok(_), Some(setback)) => Some(setback),
        // Gone before its turn began.
        (Ok(_), None) if !part.slice.knows(job.document) => Some(Setback::Gone),
        (Ok(None), None) => return,
        (Ok(Some(stage)), None) => {
            if stage == Stage::Done {
                part.left.insert(job.document);
            }
            None
        }
    };
    match setback {
        Some(setback) => {
            part.left.insert(job.document);
            crew.set_back(job, Some(&part.slice.space), &setback).await;
        }
        None => crew.moved(job.document),
    }
}
