//! The threads behind [`Capture`]: some redact, one stores. When the database is away, content waits in memory within the
//! queue's bound, then is dropped and counted: it never waits on a disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::content;
use crate::config::Config;
use crate::recorder::capture::Capture;
use crate::store::Database;
use crate::store::evaluation::Kept;

/// Contents stored at once, and redacted ones that wait for it.
const BATCH: usize = 100;
/// How long those that go together are awaited: stored one by one, they took the CPU of several requests each.
const GATHER: Duration = Duration::from_millis(100);
/// Pause while the database does not answer, and time given to the last batch when the process stops.
const PAUSE: Duration = Duration::from_millis(500);
const LAST: Duration = Duration::from_secs(3);

/// The threads at work.
pub struct Desk {
    capture: Arc<Capture>,
    threads: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Desk {
    pub fn start(capture: &Arc<Capture>, config: &Arc<Config>, threads: usize) -> std::io::Result<Desk> {
        let (sender, receiver) = mpsc::channel(BATCH);
        let stop = CancellationToken::new();
        let mut desk = Desk { capture: capture.clone(), threads: Vec::new(), stop: stop.clone() };
        for _ in 0..threads {
            let (capture, sender) = (capture.clone(), sender.clone());
            let thread = std::thread::Builder::new().name("redaction".to_owned());
            desk.threads.push(thread.spawn(move || redact(&capture, &sender))?);
        }
        let (capture, config) = (capture.clone(), config.clone());
        let thread = std::thread::Builder::new().name("evaluation".to_owned());
        desk.threads.push(thread.spawn(
            move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(store(&capture, &config, receiver, &stop)),
                Err(error) => tracing::error!(%error, "content for evaluation cannot be stored"),
            },
        )?);
        Ok(desk)
    }

    /// Redacts and stores what is there, and ends. Blocks.
    pub fn stop(self) {
        self.capture.close();
        self.stop.cancel();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of evaluation ended badly; its last content is lost");
            }
        }
    }
}

/// Where cores are short, requests go before it: rather than make them wait, the queue overflows. What stores has no
/// lower priority: it holds the database's lock.
fn step_back() {
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10) {
        tracing::debug!(%error, "redaction keeps the priority of requests");
    }
}

fn redact(capture: &Capture, sender: &mpsc::Sender<Kept>) {
    step_back();
    while let Some(job) = capture.next() {
        // A text that breaks the redaction is lost, and nothing else.
        match catch_unwind(AssertUnwindSafe(|| content::keep(job))) {
            Ok(Some(kept)) => {
                if sender.blocking_send(kept).is_err() {
                    return;
                }
            }
            Ok(None) => capture.count("unreadable", 1),
            Err(_) => capture.count("failed", 1),
        }
    }
}

async fn store(capture: &Capture, config: &Config, mut receiver: mpsc::Receiver<Kept>, stop: &CancellationToken) {
    let mut database: Option<Database> = None;
    let mut batch = Vec::with_capacity(BATCH);
    let mut last: Option<Instant> = None;
    while gather(&mut receiver, &mut batch).await {
        loop {
            let opened = match database.take() {
                Some(database) => Ok(database),
                None => Database::open(config).await,
            };
            let stored = match &opened {
                Ok(database) => database.insert_kept(&batch).await,
                Err(error) => Err(error.clone()),
            };
            database = opened.ok();
            match stored {
                Ok(()) => capture.count("kept", batch.len()),
                Err(error) if error.is_unavailable() && last.is_none_or(|end| Instant::now() < end) => {
                    tracing::warn!(%error, "content for evaluation waits: the database does not take it");
                    if stop.is_cancelled() && last.is_none() {
                        last = Some(Instant::now() + LAST);
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(error) => {
                    tracing::error!(%error, contents = batch.len(), "content for evaluation is lost");
                    capture.count("failed", batch.len());
                }
            }
            break;
        }
        batch.clear();
    }
}

/// Takes contents that are stored together; false at the end.
async fn gather(receiver: &mut mpsc::Receiver<Kept>, batch: &mut Vec<Kept>) -> bool {
    if receiver.recv_many(batch, BATCH).await == 0 {
        return false;
    }
    let end = tokio::time::Instant::now() + GATHER;
    while batch.len() < BATCH {
        match tokio::time::timeout_at(end, receiver.recv_many(batch, BATCH - batch.len())).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    true
}
