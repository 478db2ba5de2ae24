//! The thread that writes.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{
    Shared,
    intake::Pending,
    segment::{self, HEADER, Kind, Walk},
    shelf::Segment,
};

/// Segments an open request may hold back before its admission is copied forward.
const HELD_MAX: usize = 4;

/// Pause after a failed write.
const RETRY: Duration = Duration::from_millis(100);

/// How long the last writes are tried again once the journal is closed.
const CLOSING: Duration = Duration::from_secs(2);

/// Most capacity kept by a buffer.
const BUSY_BYTES: usize = 1 << 20;

/// Capacity kept by a buffer, whatever it held.
const IDLE_BYTES: usize = 256 << 10;

pub(super) struct Flusher {
    shared: Arc<Shared>,
    /// The segment being written, once it exists.
    file: Option<File>,
    number: u64,
    length: u64,
}

impl Flusher {
    /// Will write to segment `number`, not yet created.
    pub fn new(shared: Arc<Shared>, number: u64) -> Self {
        Self { shared, file: None, number, length: HEADER }
    }

    /// Writes until the journal is closed and all is written.
    pub fn run(mut self) -> io::Result<()> {
        let mut spare = Vec::new();
        while let Some(mut pending) = self.take(spare) {
            if pending.dead > 0 {
                segment::compact(&mut pending.bytes);
            }
            self.insist(&pending)?;
            self.publish(&pending);
            // What it held now it will soon hold again, while many requests come.
            let kept = pending.bytes.len().clamp(IDLE_BYTES, BUSY_BYTES);
            spare = pending.bytes;
            spare.clear();
            spare.shrink_to(kept);
            self.relieve();
        }
        Ok(())
    }

    /// Waits for the next buffer that is due; `None` at the end.
    fn take(&self, spare: Vec<u8>) -> Option<Pending> {
        let settings = &self.shared.settings;
        let mut intake = self.shared.intake();
        loop {
            match intake.due(settings) {
                Some(Duration::ZERO) => break,
                Some(left) => {
                    (intake, _) = self.shared.work.wait_timeout(intake, left).unwrap_or_else(PoisonError::into_inner);
                }
                None if intake.closed => return None,
                None => {
                    intake = self.shared.work.wait(intake).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        Some(intake.take(spare, |bytes| {
            let full = self.length + bytes as u64 >= settings.segment_bytes;
            self.number + u64::from(full)
        }))
    }

    /// Writes, again and again if it must.
    fn insist(&mut self, pending: &Pending) -> io::Result<()> {
        let mut closing = None;
        while let Err(error) = self.write(&pending.bytes) {
            self.shared.write_errors.fetch_add(1, Relaxed);
            let mut intake = self.shared.intake();
            intake.failing = true;
            if intake.closed && closing.get_or_insert_with(Instant::now).elapsed() > CLOSING {
                return Err(error);
            }
            drop(intake);
            std::thread::sleep(RETRY);
        }
        Ok(())
    }

    /// Writes at the end of the segment; after a failure, the same bytes go to the same place.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let fsync = self.shared.settings.fsync;
        if self.file.is_none() {
            let file = segment::create(&self.shared.dir, self.number)?;
            if fsync {
                File::open(&self.shared.dir)?.sync_all()?;
            }
            self.file = Some(file);
        }
        let Some(file) = &self.file else {
            return Ok(());
        };
        file.write_all_at(bytes, self.length)?;
        if fsync {
            file.sync_data()?;
        }
        Ok(())
    }

    /// Tells everyone what is on disk, and closes the segment if what comes next goes elsewhere.
    fn publish(&mut self, pending: &Pending) {
        let shared = &*self.shared;
        let before = if self.length == HEADER { 0 } else { self.length };
        self.length += pending.bytes.len() as u64;
        shared.disk.fetch_add(self.length - before, Relaxed);
        let sealed = shared.intake().target() != self.number;
        let mut shelf = shared.shelf();
        if before == 0 {
            let number = self.number;
            shelf.segments.push_back(Segment { number, bytes: 0, open: 0, sealed: false });
        }
        if let Some(segment) = shelf.get_mut(self.number) {
            segment.bytes = self.length;
            segment.open += pending.admissions;
            segment.sealed = sealed;
        }
        for (number, count) in &pending.released {
            if let Some(segment) = shelf.get_mut(*number) {
                segment.open = segment.open.saturating_sub(*count);
            }
        }
        shelf.queued += pending.ends;
        shared.reap(&mut shelf);
        drop(shelf);
        if sealed {
            (self.file, self.number, self.length) = (None, self.number + 1, HEADER);
        }
        // Last, so that whoever waited for it finds it on the shelf.
        shared.intake().wrote(pending.generation);
        shared.written.notify_all();
        if pending.ends > 0 {
            shared.arrived.notify_all();
            if let Some(hook) = shared.hook.get() {
                hook();
            }
        }
    }

    /// Copies forward the few admissions for which alone the oldest segment is kept: a request of an
    /// hour must not hold an hour of records on disk.
    fn relieve(&self) {
        let shared = &*self.shared;
        let number = {
            let shelf = shared.shelf();
            let crowded = shelf.len() > HELD_MAX || shared.disk.load(Relaxed) > shared.settings.max_bytes / 2;
            match shelf.segments.front() {
                Some(oldest) if crowded && oldest.sealed && oldest.open > 0 && oldest.number < shelf.stored.segment => {
                    (oldest.number, oldest.bytes)
                }
                _ => return,
            }
        };
        // A segment that cannot be read is kept: its requests end one day.
        let _ = self.carry(number.0, number.1);
    }

    fn carry(&self, number: u64, bytes: u64) -> io::Result<()> {
        let file = File::open(segment::path(&self.shared.dir, number))?;
        let mut walk = Walk::new(&file, HEADER, bytes);
        while let Some(frame) = walk.next()? {
            if frame.kind == Kind::Admission
                && let Some(id) = segment::id_of(frame.body)
            {
                self.shared.intake().carry(id, number, frame.whole);
            }
        }
        Ok(())
    }
}
