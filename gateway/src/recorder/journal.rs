//! The durable journal of usage records: write-ahead log and queue in one.
//!
//! A request is noted when it is admitted and when it ends. Both go to a buffer in memory, and from
//! there, within [`Settings::flush`], to append-only segments on disk. The database writer reads
//! from the segments only, so that memory is the same whether the database answers or not. What was
//! admitted and never ended, because the process died, comes back as interrupted at the next
//! [`Journal::open`].
//!
//! ```text
//! admit, end ──► intake (memory, bounded) ──flusher──► segments ──next_batch──► database
//!                                                         ▲                        │
//!                                                         └──── stored (mark) ◄────┘
//! ```
//!
//! A record reaches the database at least once: its insert must be idempotent by id.
//!
//! Segments leave the disk in order, once all they hold is stored and no request admitted in them
//! is open. In order, because an admission must never outlive the end that answers it: it would come
//! back as interrupted.

mod flusher;
mod intake;
mod mark;
mod recovery;
mod segment;
mod shelf;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use self::{
    intake::Intake,
    mark::Mark,
    segment::{Kind, Position, Walk},
    shelf::Shelf,
};
use super::record::{Admission, Record};

/// Longest time between a call and the write of what it said.
pub const FLUSH_MAX: Duration = Duration::from_millis(100);

/// Bytes that a request usually takes in a segment.
const RECORD_BYTES: u64 = 256;

/// How the journal uses time, memory and disk. Values outside their range are brought to its edge.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Time between an append and its write, 1 to 100 ms.
    pub flush: Duration,
    /// Size at which a segment is closed, in bytes; at most an eighth of `max_bytes`. A segment may
    /// exceed it by one buffer.
    pub segment_bytes: u64,
    /// Bytes on disk, ends of the requests in flight included, beyond which nothing more is
    /// admitted. At least 64 KiB.
    pub max_bytes: u64,
    /// Bytes in memory not yet written, beyond which nothing more is admitted. At least 16 KiB.
    pub buffer_bytes: usize,
    /// Whether each write also waits for the device (`fdatasync`). Without it the journal survives
    /// the death of the process, not a power cut; with it, a slow device lengthens `flush`.
    pub fsync: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flush: Duration::from_millis(50),
            segment_bytes: 8 << 20,
            max_bytes: 1 << 30,
            buffer_bytes: 8 << 20,
            fsync: false,
        }
    }
}

impl Settings {
    fn bounded(mut self) -> Self {
        self.flush = self.flush.clamp(Duration::from_millis(1), FLUSH_MAX);
        self.max_bytes = self.max_bytes.max(64 << 10);
        self.segment_bytes = self.segment_bytes.clamp(1, self.max_bytes / 8);
        self.buffer_bytes = self.buffer_bytes.max(16 << 10);
        self
    }
}

/// What was found on disk at opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Segments left by the previous process.
    pub segments: u64,
    /// Ended records queued again, those possibly stored since the last mark included.
    pub waiting: u64,
    /// Requests admitted and never ended, now queued as interrupted.
    pub interrupted: u64,
    /// Bytes of half-written frames cut from the ends of segments.
    pub torn_bytes: u64,
    /// Bytes stepped over inside segments.
    pub corrupt_bytes: u64,
}

/// Why the journal could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process holds the directory.
    Locked(PathBuf),
    /// A segment has a format this version does not read.
    Version {
        /// The segment.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The directory or a file in it cannot be used.
    Io {
        /// What was being used.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl OpenError {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(path) => write!(
                f,
                "the journal {} is used by another process: stop it, or give this one its own data \
                 folder",
                path.display()
            ),
            Self::Version { path, found } => write!(
                f,
                "{} has format {found}, which this version does not read: start the version that \
                 wrote it until its records are stored, or move the file away",
                path.display()
            ),
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Locked(_) | Self::Version { .. } => None,
        }
    }
}

/// Why the journal took nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The bound on memory or disk is reached: the caller refuses the request (503).
    Full,
    /// The journal is closed.
    Closed,
    /// The value has no encoding.
    Unencodable,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the journal of usage records is full",
            Self::Closed => "the journal of usage records is closed",
            Self::Unencodable => "the record cannot be encoded",
        })
    }
}

impl std::error::Error for Refused {}

/// Records to store, oldest first.
#[derive(Debug)]
#[must_use = "the records come again until the batch is given to `stored`"]
pub struct Batch {
    /// Ended requests; never empty.
    pub records: Vec<Record>,
    /// What each is written as, one after another.
    encoded: Vec<u8>,
    /// Where each ends there.
    ends: Vec<usize>,
    from: Position,
    until: Position,
    /// Whole frames that hold no record this version reads.
    undecoded: u64,
    /// Bytes stepped over.
    corrupt: u64,
}

impl Batch {
    /// What each record is written as: its postcard.
    pub fn encodings(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.encoded[start..*end])
    }
}

/// The journal at one instant, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of the segments.
    pub disk_bytes: u64,
    /// Number of segments.
    pub segments: usize,
    /// Bytes in memory, not yet written.
    pub buffered_bytes: usize,
    /// Records ended and not yet stored.
    pub waiting: u64,
    /// Requests admitted and not yet ended.
    pub open: usize,
    /// Time since the end of the first written record not yet stored; zero when none waits.
    pub oldest_waiting: Duration,
    /// Calls refused since opening, admissions and ends without admission alike.
    pub refused: u64,
    /// Writes that failed since opening; each was tried again.
    pub write_errors: u64,
    /// Whether the last write failed.
    pub failing: bool,
    /// Bytes the reader stepped over since opening: the disk or someone changed them.
    pub corrupt_bytes: u64,
    /// Records read whole that this version cannot decode.
    pub undecoded: u64,
}

type Hook = Box<dyn Fn() + Send + Sync>;

/// What the callers, the flusher and the reader share.
struct Shared {
    dir: PathBuf,
    settings: Settings,
    intake: Mutex<Intake>,
    /// Wakes the flusher: something to write, much to write, or the end.
    work: Condvar,
    /// Tells `flush` that a generation is on disk.
    written: Condvar,
    shelf: Mutex<Shelf>,
    /// Tells `wait` that records arrived on the shelf.
    arrived: Condvar,
    hook: OnceLock<Hook>,
    /// Bytes of the segments, kept beside the shelf so that a call need not lock it.
    disk: AtomicU64,
    refused: AtomicU64,
    write_errors: AtomicU64,
}

impl Shared {
    fn intake(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes what no one needs any more.
    fn reap(&self, shelf: &mut Shelf) {
        self.disk.fetch_sub(shelf.reap(&self.dir), Relaxed);
    }
}

/// The journal. All calls may be made from any thread; those that touch the disk say so.
pub struct Journal {
    shared: Arc<Shared>,
    /// Held while reading or marking, so that readers take turns.
    mark: Mutex<Mark>,
    flusher: Mutex<Option<JoinHandle<io::Result<()>>>>,
    corrupt: AtomicU64,
    undecoded: AtomicU64,
    /// Released by the system when this process ends, however it ends.
    _lock: File,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("dir", &self.shared.dir).finish_non_exhaustive()
    }
}

impl Journal {
    /// Opens the journal in `dir`, creating it if needed, and replays what a previous process left.
    /// Reads the whole backlog once, in bounded memory.
    ///
    /// # Errors
    /// When another process holds the directory, a segment has an unknown format, or the disk fails.
    /// Damage inside segments is no error: it is stepped over and counted.
    pub fn open(dir: &Path, settings: Settings) -> Result<(Arc<Self>, Recovered), OpenError> {
        recovery::open(dir, settings.bounded())
    }

    /// Notes that a request is let in, and reserves room for its end. Touches no disk.
    ///
    /// # Errors
    /// [`Refused::Full`] when memory or disk is at its bound, [`Refused::Closed`] after `close`.
    pub fn admit(&self, admission: &Admission) -> Result<(), Refused> {
        let admission = admission.tidied();
        let frame = segment::frame(Kind::Admission, admission.as_ref()).map_err(|_| Refused::Unencodable)?;
        let shared = &*self.shared;
        let mut intake = shared.intake();
        let wake = match intake.room(&shared.settings, shared.disk.load(Relaxed), &frame, true) {
            Ok(()) => intake.admit(admission.id.as_str(), &frame, &shared.settings),
            Err(refused) => {
                drop(intake);
                shared.refused.fetch_add(1, Relaxed);
                return Err(refused);
            }
        };
        drop(intake);
        if wake {
            shared.work.notify_one();
        }
        Ok(())
    }

    /// Notes how a request ended. Touches no disk. For an admitted request there is always room; a
    /// record without admission, of a request refused at the door, is taken if there is room.
    ///
    /// # Errors
    /// [`Refused::Full`] for a record without admission, [`Refused::Closed`] after `close`.
    pub fn end(&self, record: &Record) -> Result<(), Refused> {
        let record = record.tidied();
        let frame = segment::frame(Kind::Record, record.as_ref()).map_err(|_| Refused::Unencodable)?;
        let shared = &*self.shared;
        let mut intake = shared.intake();
        let room = if intake.is_open(&record.id) && !intake.closed {
            Ok(())
        } else {
            intake.room(&shared.settings, shared.disk.load(Relaxed), &frame, false)
        };
        if let Err(refused) = room {
            drop(intake);
            shared.refused.fetch_add(1, Relaxed);
            return Err(refused);
        }
        let wake = intake.end(&record.id, &frame, &shared.settings);
        drop(intake);
        if wake {
            shared.work.notify_one();
        }
        Ok(())
    }

    /// Waits until all that was said before this call is written, at most `timeout`. Returns
    /// whether it is.
    pub fn flush(&self, timeout: Duration) -> bool {
        let mut intake = self.shared.intake();
        let goal = intake.last_generation();
        if intake.written < goal {
            intake.urgent = true;
            self.shared.work.notify_one();
        }
        let (intake, _) = self
            .shared
            .written
            .wait_timeout_while(intake, timeout, |intake| intake.written < goal)
            .unwrap_or_else(PoisonError::into_inner);
        intake.written >= goal
    }

    /// Waits until written records are there to read, at most `timeout`. Returns whether some are.
    /// Returns at once as long as any is not stored: a caller whose database fails needs its own
    /// pause.
    pub fn wait(&self, timeout: Duration) -> bool {
        let shelf = self.shared.shelf();
        let (shelf, _) = self
            .shared
            .arrived
            .wait_timeout_while(shelf, timeout, |shelf| shelf.queued == 0)
            .unwrap_or_else(PoisonError::into_inner);
        shelf.queued > 0
    }

    /// Calls `hook` from the flusher's thread each time records were written, for instance to
    /// notify an asynchronous task. It must not block. Returns false if there is one already.
    pub fn on_flush(&self, hook: impl Fn() + Send + Sync + 'static) -> bool {
        self.shared.hook.set(Box::new(hook)).is_ok()
    }

    /// The first records not yet stored, at most `max` (at least 1), oldest first; `None` when none
    /// is written. The same ones come again until given to [`stored`](Self::stored). Reads the disk.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn next_batch(&self, max: usize) -> io::Result<Option<Batch>> {
        let _turn = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        self.peek(max)
    }

    fn peek(&self, max: usize) -> io::Result<Option<Batch>> {
        let shared = &*self.shared;
        loop {
            let unread = shared.shelf().unread();
            let Some((from, limit)) = unread else {
                return Ok(None);
            };
            let file = File::open(segment::path(&shared.dir, from.segment))?;
            let mut walk = Walk::new(&file, from.offset, limit);
            let likely = usize::try_from((limit - from.offset) / RECORD_BYTES).unwrap_or(max).min(max);
            let (mut records, mut undecoded) = (Vec::with_capacity(likely), 0);
            let (mut encoded, mut ends) = (Vec::new(), Vec::with_capacity(likely));
            let mut to_the_end = true;
            while let Some(frame) = walk.next()? {
                if frame.kind == Kind::Record {
                    match postcard::from_bytes::<Record>(frame.body) {
                        Ok(record) => {
                            records.push(record);
                            encoded.extend_from_slice(frame.body);
                            ends.push(encoded.len());
                        }
                        Err(_) => undecoded += 1,
                    }
                }
                if records.len() >= max.max(1) {
                    to_the_end = false;
                    break;
                }
            }
            let offset = if to_the_end { limit } else { walk.sound() };
            let until = Position { segment: from.segment, offset };
            let corrupt = walk.corrupt() + (offset - walk.sound());
            let batch = Batch { records, encoded, ends, from, until, undecoded, corrupt };
            if !batch.records.is_empty() {
                return Ok(Some(batch));
            }
            self.advance(&mut shared.shelf(), &batch);
        }
    }

    fn advance(&self, shelf: &mut Shelf, batch: &Batch) {
        self.corrupt.fetch_add(batch.corrupt, Relaxed);
        self.undecoded.fetch_add(batch.undecoded, Relaxed);
        shelf.advance(batch.until, batch.records.len() as u64 + batch.undecoded);
        self.shared.reap(shelf);
    }

    /// Notes that the database has committed the batch, and frees the disk it held. A batch that is
    /// not the oldest is ignored: its records come again. Touches the disk.
    ///
    /// # Errors
    /// When the mark cannot be written; the batch counts as stored all the same, until a restart.
    pub fn stored(&self, batch: Batch) -> io::Result<()> {
        let mut mark = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shelf = self.shared.shelf();
        if shelf.stored != batch.from {
            return Ok(());
        }
        self.advance(&mut shelf, &batch);
        let position = shelf.stored;
        drop(shelf);
        mark.write(position)
    }

    /// Whether a request would be admitted now and the last write succeeded. Cheap; touches no disk.
    pub fn has_room(&self) -> bool {
        let shared = &*self.shared;
        let intake = shared.intake();
        !intake.failing && intake.room(&shared.settings, shared.disk.load(Relaxed), &[], true).is_ok()
    }

    /// The journal now. Reads the disk, one record of it.
    pub fn stats(&self) -> Stats {
        let oldest = {
            let _turn = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
            self.peek(1).ok().flatten().and_then(|batch| batch.records.into_iter().next())
        };
        let shared = &*self.shared;
        let (segments, queued) = {
            let shelf = shared.shelf();
            (shelf.len(), shelf.queued)
        };
        let intake = shared.intake();
        Stats {
            disk_bytes: shared.disk.load(Relaxed),
            segments,
            buffered_bytes: intake.buffered(),
            waiting: queued + intake.ends(),
            open: intake.open(),
            oldest_waiting: oldest.map_or(Duration::ZERO, |record| age(&record)),
            refused: shared.refused.load(Relaxed),
            write_errors: shared.write_errors.load(Relaxed),
            failing: intake.failing,
            corrupt_bytes: self.corrupt.load(Relaxed),
            undecoded: self.undecoded.load(Relaxed),
        }
    }

    /// Writes all that was said and stops the flusher; later calls to `admit` and `end` are refused,
    /// reading goes on. Requests still open come back as interrupted at the next opening. Blocks
    /// for the time of a write; a failing disk is tried again for two seconds.
    ///
    /// # Errors
    /// When the last write failed: what it held is lost.
    pub fn close(&self) -> io::Result<()> {
        self.shared.intake().closed = true;
        self.shared.work.notify_one();
        let flusher = self.flusher.lock().unwrap_or_else(PoisonError::into_inner).take();
        match flusher.map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the journal's flusher panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Nobody is left to be told; whoever cares about the result calls `close`.
        let _ = self.close();
    }
}

/// Time since the request ended, zero if its clock was ahead of ours.
fn age(record: &Record) -> Duration {
    let ended = record.started_at.saturating_add(record.duration_ms);
    let ended = Duration::from_millis(u64::try_from(ended).unwrap_or_default());
    SystemTime::now().duration_since(UNIX_EPOCH + ended).unwrap_or_default()
}
