//! The workers of this process: what they share, how they take turns, how they give work back.

mod desk;
mod hold;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rag::index::{Space, VectorIndex};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fair::Fair;
use super::reader::Reader;
use super::setback::{self, Setback, Words, pause};
use super::{Ingestion, embedding, indexing, reading};
use crate::config::{DataClass, ingestion as config};
use crate::embed::Embedder;
use crate::policy::identity::{Principal, ProjectKey};
use crate::prompts::Cleaning;
use crate::store::jobs::{Held, Lane, Portion};
use crate::store::work::Work;
use crate::store::{Database, StoreError};
use desk::{Desk, Shelf};
pub use hold::Hold;

/// A job whose holder says nothing for so long is anybody's.
const LEASE: Duration = Duration::from_secs(30);
/// How often idle workers look for work that other processes put there, or that has come due.
const LOOK: Duration = Duration::from_millis(500);
/// After so long, others have their turn.
pub const SLICE: Duration = Duration::from_millis(500);
/// What is read at once: small documents of one collection, and bytes of them.
const READ_TOGETHER: Portion = Portion { documents: 64, weight: 512 << 10 };
/// Batches of chunks that are taken to be embedded, at most.
const BATCHES: i64 = 32;
/// What a turn is taken to cost before it is known: tokens, pages.
const EXPECTED: f64 = 1_000.0;

/// What the workers of one process share.
pub struct Crew {
    pub store: Database,
    pub index: Arc<dyn VectorIndex>,
    pub embedder: Embedder,
    pub reader: Arc<Reader>,
    pub settings: config::Ingestion,
    /// Where uploaded files are.
    pub folder: PathBuf,
    /// The name under which jobs are held: the same after a restart, so that what was held at a crash goes on at once.
    pub owner: String,
    ingestion: Ingestion,
    held: Mutex<HashSet<i64>>,
    /// Workers of the reading lane at work for each organization.
    reading: Mutex<HashMap<i64, usize>>,
    /// Chunks that the last turn of an embedder came to.
    pace: AtomicI64,
    turns: [Fair; 2],
    stop: CancellationToken,
}

/// What a crew is made of.
pub struct Makings {
    pub store: Database,
    pub index: Arc<dyn VectorIndex>,
    pub embedder: Embedder,
    pub reader: Arc<Reader>,
    pub settings: config::Ingestion,
    /// The data folder of the gateway.
    pub data: PathBuf,
    pub ingestion: Ingestion,
}

/// The name of this process, kept in its data folder.
fn name(data: &Path) -> std::io::Result<String> {
    let file = data.join("replica");
    match std::fs::read_to_string(&file) {
        Ok(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
        _ => {
            let name: String = std::iter::repeat_with(fastrand::alphanumeric).take(16).collect();
            std::fs::write(&file, &name)?;
            Ok(name)
        }
    }
}

impl Crew {
    /// # Errors
    /// When the data folder cannot be written.
    pub fn new(makings: Makings, stop: CancellationToken) -> std::io::Result<Arc<Crew>> {
        let Makings { store, index, embedder, reader, settings, data, ingestion } = makings;
        Ok(Arc::new(Crew {
            owner: name(&data)?,
            folder: data.join("documents"),
            store,
            index,
            embedder,
            reader,
            settings,
            ingestion,
            held: Mutex::default(),
            reading: Mutex::default(),
            pace: AtomicI64::new(0),
            turns: [Fair::default(), Fair::default()],
            stop,
        }))
    }

    /// Starts to work, first on what a crash left half done.
    pub fn start(self: Arc<Crew>, tasks: &TaskTracker) {
        let inner = tasks.clone();
        tasks.spawn(async move {
            if self.recover().await {
                for _ in 0..self.settings.readers.max(1) {
                    inner.spawn(self.clone().serve(Desk::reader(), inner.clone()));
                }
                for _ in 0..self.settings.embedders.max(1) {
                    inner.spawn(self.clone().serve(Desk::embedder(), inner.clone()));
                }
                self.keep().await;
            }
            if let Err(error) = self.store.release_all(&self.owner).await {
                tracing::debug!(%error, "documents are given back when their leases end");
            }
        });
    }

    /// False when the gateway stops before the database answers.
    async fn recover(&self) -> bool {
        loop {
            match self.store.recover_jobs(&self.owner).await {
                Ok(0) => return true,
                Ok(waiting) => {
                    tracing::info!(documents = waiting, "ingestion resumes");
                    return true;
                }
                Err(error) => tracing::warn!(%error, "ingestion waits for the database"),
            }
            if !self.rest(LOOK).await {
                return false;
            }
        }
    }

    /// Holds what is under work, until the gateway stops.
    async fn keep(&self) {
        while self.rest(LEASE / 3).await {
            let held: Vec<i64> = self.held().iter().copied().collect();
            if let Err(error) = self.store.renew_leases(&self.owner, &held, millis(LEASE)).await {
                tracing::warn!(%error, "leases could not be renewed");
            }
        }
    }

    /// Sleeps; false when the gateway stops.
    async fn rest(&self, time: Duration) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashSet<i64>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turns(&self, lane: Lane) -> &Fair {
        match lane {
            Lane::Reading => &self.turns[0],
            Lane::Embedding => &self.turns[1],
        }
    }

    /// One worker of a lane.
    async fn serve(self: Arc<Crew>, mut desk: Desk, tasks: TaskTracker) {
        while !self.stop.is_cancelled() {
            let work = self.ingestion.work.clone();
            let woken = work.notified();
            let shelf = desk.shelf(&self, &tasks);
            let turn = tasks.spawn(self.clone().turn(desk.lane, shelf.clone()));
            let busy = match turn.await {
                Ok(Ok(busy)) => busy,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "ingestion waits for the database");
                    false
                }
                // A bug: the job comes back when its lease ends.
                Err(error) => {
                    tracing::error!(%error, "a document could not be worked on");
                    false
                }
            };
            if !busy {
                if let Some(shelf) = shelf {
                    // Nobody is there any more: so be it.
                    drop(shelf.send(indexing::Message::Rest).await);
                }
                tokio::select! {
                    () = woken => {}
                    () = tokio::time::sleep(LOOK) => {}
                    () = self.stop.cancelled() => {}
                }
            }
        }
    }

    /// Takes what is next and works on it. False when there was nothing.
    async fn turn(self: Arc<Crew>, lane: Lane, shelf: Option<Shelf>) -> Result<bool, StoreError> {
        let mut waiting = self.store.organizations_waiting(lane).await?;
        if lane == Lane::Reading {
            // A thousand scans of one organization leave a place for the others.
            let most = (self.settings.readers.max(1) - 1).max(1);
            let reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.retain(|organization| reading.get(organization).is_none_or(|busy| *busy < most));
        }
        let Some(organization) = self.turns(lane).next(&waiting, EXPECTED) else { return Ok(false) };
        let jobs = self.store.take_jobs(lane, organization, self.portion(lane), &self.owner, millis(LEASE)).await;
        let jobs = match jobs {
            Ok(jobs) if !jobs.is_empty() => jobs,
            // Another worker was faster.
            other => {
                self.turns(lane).settle(organization, EXPECTED, 0.0);
                return other.map(|_| true);
            }
        };
        let hold = Hold::new(self.clone(), lane, organization, &jobs);
        let work = async {
            match shelf {
                None => {
                    let cost = reading::read(&self, &jobs).await;
                    drop(hold);
                    cost
                }
                Some(shelf) => {
                    let served = embedding::embed(&self, hold, jobs, &shelf).await;
                    self.pace.store(served.chunks, Ordering::Relaxed);
                    served.tokens
                }
            }
        };
        let cost = tokio::select! {
            cost = work => cost,
            () = self.stop.cancelled() => 0,
        };
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        self.turns(lane).settle(organization, EXPECTED, cost as f64);
        if lane == Lane::Reading {
            // Chunks wait for the other lane.
            self.wake();
        }
        Ok(true)
    }

    /// What a worker takes at once: to be embedded, about twice what the last turn came to, so that neither a fast engine
    /// runs out nor a slow one is given what it will not begin.
    fn portion(&self, lane: Lane) -> Portion {
        match lane {
            Lane::Reading => READ_TOGETHER,
            Lane::Embedding => {
                let batch = i64::try_from(self.settings.batch.max(1)).unwrap_or(i64::MAX);
                let pace = self.pace.load(Ordering::Relaxed).saturating_mul(2);
                let chunks = pace.clamp(batch.saturating_mul(2), batch.saturating_mul(BATCHES));
                Portion { documents: chunks, weight: chunks }
            }
        }
    }

    /// There is work for others.
    pub fn wake(&self) {
        self.ingestion.wake();
    }

    /// A document has moved: tells those who watch.
    pub fn moved(&self, document: i64) {
        self.ingestion.tell(document);
    }

    /// Gives a job back with what is in its way. `space` is where its chunks may be, to be taken out when it ends.
    pub async fn set_back(&self, job: &Held, space: Option<&Space>, setback: &Setback) {
        let done = match setback {
            Setback::Later { words, after } => self.postpone(job, words, *after).await,
            Setback::Failed(words) => self.fail(job, space, words).await,
            Setback::Gone => self.forget(job, space).await,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "a document is given back when its lease ends");
        }
        self.moved(job.document);
    }

    async fn postpone(&self, job: &Held, words: &Words, after: Option<Duration>) -> Result<(), StoreError> {
        let wait = millis(pause(job.attempts, after));
        self.store.postpone_job(job.document, &self.owner, wait, (&words.french, &words.english)).await
    }

    /// First out of the index, then said to have failed: what can be found has a document.
    async fn fail(&self, job: &Held, space: Option<&Space>, words: &Words) -> Result<(), StoreError> {
        if !self.store.keep_job(job.document, &self.owner, millis(LEASE)).await? {
            return self.forget(job, space).await;
        }
        if !self.take_out(job, space).await {
            return self.postpone(job, &setback::index_is_away(), None).await;
        }
        let words = (words.french.as_str(), words.english.as_str());
        self.store.fail_document(job.collection, job.document, &self.owner, words).await.map(drop)
    }

    /// Another worker may have it: then it is theirs. If it was deleted, what was indexed of it meanwhile goes.
    async fn forget(&self, job: &Held, space: Option<&Space>) -> Result<(), StoreError> {
        if self.store.progress(job.document).await?.is_none() {
            self.take_out(job, space).await;
        }
        Ok(())
    }

    /// Takes a document out of the index. False when the index does not answer.
    async fn take_out(&self, job: &Held, space: Option<&Space>) -> bool {
        let Some(space) = space else { return true };
        let (collection, document) = (job.collection.unsigned_abs(), job.document.unsigned_abs());
        let out = async {
            self.index.delete_document(space, collection, document).await?;
            self.index.flush(space).await
        };
        match out.await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "a document could not be taken out of the index");
                false
            }
        }
    }
}

/// The highest class among the project and the collection. One that is not understood is taken for the strictest.
pub fn class(work: &Work) -> DataClass {
    let read = |word: &String| word.parse().unwrap_or(DataClass::Sensitive);
    work.classes.iter().map(read).max().unwrap_or(DataClass::Sensitive)
}

/// Who pays for a document: its project, under a name that records know it by.
pub fn payer(work: &Work) -> Principal {
    let project = ProjectKey {
        organization_id: work.organization,
        organization: work.organization_name.clone(),
        project_id: work.project,
        project: work.project_name.clone(),
        data_class: class(work),
        cleaning: Cleaning::default(),
        made_by: None,
        // Texts of documents are not requests of anybody.
        notice: None,
    };
    Principal::of_task("ingest", project)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
