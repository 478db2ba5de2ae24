//! Opening: what a previous process left is read once, repaired and queued again.

use std::{
    collections::{HashMap, VecDeque},
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    sync::{
        Arc, Condvar, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use super::{
    Journal, OpenError, Recovered, Settings, Shared,
    flusher::Flusher,
    intake::{Intake, Pending},
    mark::{self, Mark},
    segment::{self, HEADER, Header, Kind, Position, Walk},
    shelf::{Segment, Shelf},
};
use crate::recorder::record::{Admission, Record};

pub(super) fn open(dir: &Path, settings: Settings) -> Result<(Arc<Journal>, Recovered), OpenError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(OpenError::io(dir))?;
    let lock = lock(dir)?;
    let (mark, stored) = Mark::open(dir).map_err(OpenError::io(mark::path(dir)))?;
    let numbers = segment::list(dir).map_err(OpenError::io(dir))?;

    let mut replay = Replay::new(stored.unwrap_or(Position { segment: 0, offset: HEADER }));
    // All formats are known before anything is changed.
    for number in &numbers {
        Leftover::open(dir, *number)?;
    }
    for number in &numbers {
        let leftover = Leftover::open(dir, *number)?;
        replay.segment(dir, leftover).map_err(OpenError::io(segment::path(dir, *number)))?;
    }

    // A number is never used twice: the mark would take the new segment for one already stored.
    let last = numbers.last().copied().unwrap_or_default();
    let next = last.max(stored.map_or(0, |position| position.segment)) + 1;
    let pending = replay.interrupt(next);
    let recovered = replay.recovered;
    let mut shelf = replay.shelf;
    let disk = shelf.segments.iter().map(|segment| segment.bytes).sum();
    let disk = AtomicU64::new(disk);
    disk.fetch_sub(shelf.reap(dir), Relaxed);

    let shared = Arc::new(Shared {
        dir: dir.to_owned(),
        settings,
        intake: Mutex::new(Intake::new(pending)),
        work: Condvar::new(),
        written: Condvar::new(),
        shelf: Mutex::new(shelf),
        arrived: Condvar::new(),
        hook: OnceLock::new(),
        disk,
        refused: AtomicU64::new(0),
        write_errors: AtomicU64::new(0),
    });
    let flusher = Flusher::new(Arc::clone(&shared), next);
    let flusher =
        thread::Builder::new().name("journal".to_owned()).spawn(move || flusher.run()).map_err(OpenError::io(dir))?;
    let journal = Journal {
        shared,
        mark: Mutex::new(mark),
        flusher: Mutex::new(Some(flusher)),
        corrupt: AtomicU64::new(0),
        undecoded: AtomicU64::new(0),
        _lock: lock,
    };
    Ok((Arc::new(journal), recovered))
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(OpenError::io(&path))?;
    // A process that was killed just as it started a child leaves it the lock, for the moment until that is a program.
    let mut tries = 0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if tries < 10 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked(dir.to_owned())),
            Err(TryLockError::Error(source)) => return Err(OpenError::Io { path, source }),
        }
    }
}

/// A segment of the previous process, known to be of our format.
struct Leftover {
    number: u64,
    file: File,
    length: u64,
    header: Header,
}

impl Leftover {
    fn open(dir: &Path, number: u64) -> Result<Self, OpenError> {
        let path = segment::path(dir, number);
        let read = || {
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            let length = file.metadata()?.len();
            let header = segment::read_header(&file, length)?;
            Ok(Self { number, file, length, header })
        };
        match read() {
            Ok(Self { header: Header::Other(found), .. }) => Err(OpenError::Version { path, found }),
            Ok(leftover) => Ok(leftover),
            Err(source) => Err(OpenError::Io { path, source }),
        }
    }
}

/// What is known after the segments read so far.
struct Replay {
    shelf: Shelf,
    /// Segment and encoded admission of each request not ended.
    open: HashMap<Box<str>, (u64, Vec<u8>)>,
    recovered: Recovered,
}

impl Replay {
    fn new(stored: Position) -> Self {
        Self {
            shelf: Shelf { segments: VecDeque::new(), stored, queued: 0 },
            open: HashMap::new(),
            recovered: Recovered::default(),
        }
    }

    fn segment(&mut self, dir: &Path, leftover: Leftover) -> io::Result<()> {
        let Leftover { number, file, length, header } = leftover;
        self.recovered.segments += 1;
        match header {
            Header::Torn => {
                self.recovered.torn_bytes += length;
                return fs::remove_file(segment::path(dir, number));
            }
            Header::Corrupt => self.recovered.corrupt_bytes += HEADER,
            Header::Good | Header::Other(_) => {}
        }
        let mut walk = Walk::new(&file, HEADER, length);
        while let Some(frame) = walk.next()? {
            let Some(id) = segment::id_of(frame.body) else {
                continue;
            };
            match frame.kind {
                Kind::Admission => {
                    self.open.insert(id.into(), (number, frame.body.to_vec()));
                }
                Kind::Record => {
                    self.open.remove(id);
                    let at = Position { segment: number, offset: frame.at };
                    self.shelf.queued += u64::from(at >= self.shelf.stored);
                }
            }
        }
        self.recovered.corrupt_bytes += walk.corrupt();
        let bytes = walk.sound();
        if bytes < length {
            self.recovered.torn_bytes += length - bytes;
            file.set_len(bytes)?;
        }
        self.shelf.segments.push_back(Segment { number, bytes, open: 0, sealed: true });
        self.recovered.waiting = self.shelf.queued;
        Ok(())
    }

    /// The first buffer of the new segment: an interrupted record for each request not ended. The
    /// old segments stay until it is written, so that dying before then changes nothing.
    fn interrupt(&mut self, next: u64) -> Pending {
        let mut pending = Pending::new(1, next, Vec::new());
        let mut open: Vec<_> = std::mem::take(&mut self.open).into_iter().collect();
        // Ids are in the order of admission.
        open.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (_, (number, body)) in open {
            let frame = postcard::from_bytes::<Admission>(&body)
                .and_then(|admission| segment::frame(Kind::Record, &Record::interrupted(admission)));
            let Ok(frame) = frame else {
                self.recovered.corrupt_bytes += body.len() as u64;
                continue;
            };
            if let Some(segment) = self.shelf.get_mut(number) {
                segment.open += 1;
            }
            pending.bytes.extend_from_slice(&frame);
            pending.ends += 1;
            pending.release(number);
            self.recovered.interrupted += 1;
        }
        pending
    }
}
