//! The durable record of requests: every one, however it ends.
//!
//! A request is admitted ([`Recorder::admit`]) before anything costly, and its [`Turn`] writes the end when it is
//! dropped at the latest. Both go to an append-only [`journal`], flushed within 100 ms; the [`writer`] reads the
//! journal, never memory, and stores batches in the database. With the database down the journal grows on disk within
//! its bound, and memory stays flat.

pub mod capture;
pub mod journal;
pub mod record;
pub mod turn;
pub mod writer;

use std::path::Path;
use std::sync::Arc;

use capture::Capture;
use journal::Journal;
pub use record::{Admission, Endpoint, Outcome, Record, Text};
pub use turn::{End, Turn};

use crate::config::Config;
use crate::config::server::WhenFull;
use crate::telemetry::Telemetry;

/// Where requests are recorded.
#[derive(Debug)]
pub struct Recorder {
    pub journal: Arc<Journal>,
    pub telemetry: Arc<Telemetry>,
    /// Where content goes; absent when evaluation is off.
    pub capture: Option<Arc<Capture>>,
    when_full: WhenFull,
}

impl Recorder {
    /// Opens the journal of the data folder and says what a previous process left in it.
    pub fn open(config: &Config, telemetry: Arc<Telemetry>) -> Result<Arc<Recorder>, String> {
        let folder = config.data.join("journal");
        let settings = journal::Settings {
            flush: config.records.flush.0,
            max_bytes: config.records.spool.0,
            fsync: config.records.sync,
            ..journal::Settings::default()
        };
        let (journal, found) = Journal::open(Path::new(&folder), settings).map_err(|error| error.to_string())?;
        if found.waiting + found.interrupted > 0 {
            tracing::info!(
                records = found.waiting,
                interrupted = found.interrupted,
                "records of a previous run go to the database"
            );
        }
        if found.torn_bytes + found.corrupt_bytes > 0 {
            tracing::warn!(
                torn_bytes = found.torn_bytes,
                corrupt_bytes = found.corrupt_bytes,
                "the journal was damaged; the damage was stepped over"
            );
        }
        let capture = config.evaluation.as_ref().map(|settings| Capture::new(settings, telemetry.clone()));
        Ok(Arc::new(Recorder { journal, telemetry, capture, when_full: config.records.when_full }))
    }

    fn serves_when_full(&self) -> bool {
        self.when_full == WhenFull::Serve
    }

    /// Whether a request can still be recorded, or may go without.
    pub fn has_room(&self) -> bool {
        self.serves_when_full() || self.journal.has_room()
    }
}
