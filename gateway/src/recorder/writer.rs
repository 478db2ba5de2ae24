//! From the journal to the database: batches, on a thread of its own, until the process stops.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Recorder;
use crate::config::Config;
use crate::store::Database;
use crate::store::chain::encoded_hash;

/// Records stored at once.
const BATCH: usize = 1_000;
/// Longest sleep between looks at the journal.
const LOOK: Duration = Duration::from_millis(200);
/// First and longest pause while the database does not answer.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Time given to the last batches when the process stops; the rest waits on disk for the next start.
const LAST: Duration = Duration::from_secs(5);

/// Starts the thread. It opens the database for itself, so that no connection is shared with the threads that carry
/// requests.
pub fn start(
    recorder: Arc<Recorder>,
    config: Arc<Config>,
    stop: CancellationToken,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("recorder".to_owned()).spawn(move || {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(run(&recorder, &config, &stop)),
            Err(error) => tracing::error!(%error, "the recorder cannot start; records wait on disk"),
        }
    })
}

async fn run(recorder: &Recorder, config: &Config, stop: &CancellationToken) {
    let mut pause = PAUSE.0;
    let mut database: Option<Database> = None;
    let mut last_day: Option<Instant> = None;
    loop {
        if stop.is_cancelled() && last_day.is_none() {
            last_day = Some(Instant::now() + LAST);
        }
        if last_day.is_some_and(|end| Instant::now() > end) {
            return;
        }
        let opened = match database.take() {
            Some(database) => Ok(database),
            None => Database::open(config).await,
        };
        let stored = match &opened {
            Ok(database) => store(recorder, database).await,
            Err(error) => Err(error.to_string()),
        };
        database = opened.ok();
        match stored {
            Ok(0) if last_day.is_some() => return,
            Ok(0) => {
                recorder.telemetry.database_up.set(1);
                // This thread does nothing else: waiting without its runtime is fine.
                recorder.journal.wait(LOOK);
            }
            Ok(_) => {
                recorder.telemetry.database_up.set(1);
                pause = PAUSE.0;
            }
            Err(error) => {
                recorder.telemetry.database_up.set(0);
                tracing::warn!(%error, "records wait on disk: the database does not take them");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}

/// Stores one batch; how many records it held.
async fn store(recorder: &Recorder, database: &Database) -> Result<usize, String> {
    let Some(batch) = recorder.journal.next_batch(BATCH).map_err(|error| error.to_string())? else { return Ok(0) };
    let count = batch.records.len();
    let hashes: Vec<_> = batch.encodings().map(encoded_hash).collect();
    database.insert_records(&batch.records, &hashes).await.map_err(|error| error.to_string())?;
    recorder.journal.stored(batch).map_err(|error| error.to_string())?;
    Ok(count)
}
