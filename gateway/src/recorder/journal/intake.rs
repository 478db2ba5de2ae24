//! What was said and is not yet written, and which requests are open.

use std::{
    collections::HashMap,
    mem,
    time::{Duration, Instant},
};

use quick_cache::DefaultHashBuilder;

use super::{Refused, Settings, segment};

/// Room reserved on disk for each open request: its end, and one copy of its admission when the
/// segment that holds it is given up. A test checks that the largest ones fit.
pub(super) const RESERVE: u64 = 8 << 10;

/// Where the latest copy of an open request's admission is.
struct Open {
    /// The generation that carried it.
    generation: u64,
    /// The segment that generation goes to.
    segment: u64,
    /// Its offset in the buffer of that generation.
    at: usize,
}

/// One buffer of frames, written in one go.
pub(super) struct Pending {
    pub generation: u64,
    /// The segment it goes to.
    pub segment: u64,
    pub bytes: Vec<u8>,
    /// Admissions in `bytes` that are not dead.
    pub admissions: u64,
    /// Bytes of dead frames.
    pub dead: usize,
    /// Records in `bytes`.
    pub ends: u64,
    /// Segments that hold fewer open admissions once this is written, and how many fewer.
    pub released: Vec<(u64, u64)>,
    /// Time of the first append.
    since: Instant,
}

impl Pending {
    pub fn new(generation: u64, segment: u64, bytes: Vec<u8>) -> Self {
        Self {
            generation,
            segment,
            bytes,
            admissions: 0,
            dead: 0,
            ends: 0,
            released: Vec::new(),
            since: Instant::now(),
        }
    }

    fn push(&mut self, frame: &[u8]) {
        if self.bytes.is_empty() {
            self.since = Instant::now();
        }
        self.bytes.extend_from_slice(frame);
    }

    /// Notes that an admission in `segment` counts no more, once this is written.
    pub fn release(&mut self, segment: u64) {
        // The last ones are the likely ones; there are as many entries as segments at most.
        match self.released.iter_mut().rev().find(|(number, _)| *number == segment) {
            Some((_, count)) => *count += 1,
            None => self.released.push((segment, 1)),
        }
    }
}

pub(super) struct Intake {
    pending: Pending,
    open: HashMap<Box<str>, Open, DefaultHashBuilder>,
    /// Bytes and records of the buffer being written.
    writing: (usize, u64),
    /// Last generation on disk.
    pub written: u64,
    /// Someone waits for the next write.
    pub urgent: bool,
    pub closed: bool,
    pub failing: bool,
}

impl Intake {
    /// `pending` may already hold what a recovery found.
    pub fn new(pending: Pending) -> Self {
        Self {
            written: pending.generation - 1,
            pending,
            open: HashMap::default(),
            writing: (0, 0),
            urgent: false,
            closed: false,
            failing: false,
        }
    }

    /// Whether `frame` may be taken, with the end it will need if it is an admission. The bound on
    /// memory leaves out the ends of admitted requests, which are as many as the requests in flight.
    pub fn room(&self, settings: &Settings, disk: u64, frame: &[u8], admission: bool) -> Result<(), Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        let buffered = self.buffered() + frame.len();
        let reserved = (self.open.len() as u64 + u64::from(admission)) * RESERVE;
        if buffered > settings.buffer_bytes || disk + buffered as u64 + reserved > settings.max_bytes {
            return Err(Refused::Full);
        }
        Ok(())
    }

    /// Takes an admission. Returns whether the flusher is to be woken.
    pub fn admit(&mut self, id: &str, frame: &[u8], settings: &Settings) -> bool {
        self.close_request(id);
        let open = self.place();
        self.open.insert(id.into(), open);
        self.pending.admissions += 1;
        self.append(frame, settings)
    }

    /// Takes an end. Returns whether the flusher is to be woken.
    pub fn end(&mut self, id: &str, frame: &[u8], settings: &Settings) -> bool {
        self.close_request(id);
        self.pending.ends += 1;
        self.append(frame, settings)
    }

    /// Copies forward an admission of an old segment, if its request is still open and that copy is
    /// its latest.
    pub fn carry(&mut self, id: &str, from: u64, frame: &[u8]) {
        let place = self.place();
        let Some(open) = self.open.get_mut(id) else {
            return;
        };
        if open.segment != from || open.generation == place.generation {
            return;
        }
        *open = place;
        self.pending.release(from);
        self.pending.admissions += 1;
        self.pending.push(frame);
    }

    fn place(&self) -> Open {
        Open { generation: self.pending.generation, segment: self.pending.segment, at: self.pending.bytes.len() }
    }

    /// Forgets an open request: an admission not yet written need not be, and one that is holds its
    /// segment until the write of what comes next.
    fn close_request(&mut self, id: &str) {
        let Some(open) = self.open.remove(id) else {
            return;
        };
        if open.generation == self.pending.generation {
            self.pending.dead += segment::kill(&mut self.pending.bytes, open.at);
            self.pending.admissions -= 1;
        } else {
            self.pending.release(open.segment);
        }
    }

    fn append(&mut self, frame: &[u8], settings: &Settings) -> bool {
        let before = self.pending.bytes.len();
        self.pending.push(frame);
        let much = early(settings);
        before == 0 || (before < much && self.pending.bytes.len() >= much)
    }

    /// Time left before the pending buffer is due; `None` when there is none.
    pub fn due(&self, settings: &Settings) -> Option<Duration> {
        if self.pending.bytes.is_empty() {
            None
        } else if self.urgent || self.closed || self.pending.bytes.len() >= early(settings) {
            Some(Duration::ZERO)
        } else {
            Some(settings.flush.saturating_sub(self.pending.since.elapsed()))
        }
    }

    /// Hands the pending buffer over for writing and starts the next with `spare`, for the segment
    /// that `next` names given the size of the first.
    pub fn take(&mut self, spare: Vec<u8>, next: impl FnOnce(usize) -> u64) -> Pending {
        self.urgent = false;
        self.writing = (self.pending.bytes.len(), self.pending.ends);
        let segment = next(self.pending.bytes.len());
        let next = Pending::new(self.pending.generation + 1, segment, spare);
        mem::replace(&mut self.pending, next)
    }

    /// Notes that the buffer handed over is on disk.
    pub fn wrote(&mut self, generation: u64) {
        self.written = generation;
        self.writing = (0, 0);
        self.failing = false;
    }

    /// The segment that the pending buffer goes to.
    pub fn target(&self) -> u64 {
        self.pending.segment
    }

    pub fn is_open(&self, id: &str) -> bool {
        self.open.contains_key(id)
    }

    /// Number of open requests.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Bytes in memory, not yet on disk.
    pub fn buffered(&self) -> usize {
        self.pending.bytes.len() + self.writing.0
    }

    /// Records in memory, not yet on disk.
    pub fn ends(&self) -> u64 {
        self.pending.ends + self.writing.1
    }

    /// The generation that holds all that was said.
    pub fn last_generation(&self) -> u64 {
        if self.pending.bytes.is_empty() { self.pending.generation - 1 } else { self.pending.generation }
    }
}

/// Size of a buffer that does not wait for its time.
fn early(settings: &Settings) -> usize {
    settings.buffer_bytes / 4
}
