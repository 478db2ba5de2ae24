//! The segments on disk, and how far they are stored.

use std::{collections::VecDeque, fs, io, path::Path};

use super::segment::{self, HEADER, Position};

/// One segment on disk.
#[derive(Debug)]
pub(super) struct Segment {
    pub number: u64,
    /// Bytes written whole; what lies beyond is not to be read.
    pub bytes: u64,
    /// Open requests whose admission is in it.
    pub open: u64,
    /// Whether nothing more will be written to it.
    pub sealed: bool,
}

/// All segments, oldest first.
pub(super) struct Shelf {
    pub segments: VecDeque<Segment>,
    /// All before it is stored.
    pub stored: Position,
    /// Records written and not stored.
    pub queued: u64,
}

impl Shelf {
    pub fn len(&self) -> usize {
        self.segments.len()
    }

    /// The segment with that number.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut Segment> {
        // Mostly the last one.
        self.segments.iter_mut().rev().find(|segment| segment.number == number)
    }

    /// Where to read next, and up to which offset; steps over segments read to their end.
    pub fn unread(&mut self) -> Option<(Position, u64)> {
        self.settle();
        let stored = self.stored;
        let segment = self.segments.iter().find(|segment| segment.number == stored.segment)?;
        (stored.offset < segment.bytes).then_some((stored, segment.bytes))
    }

    /// Notes that `records` more are stored, up to `until`.
    pub fn advance(&mut self, until: Position, records: u64) {
        self.stored = self.stored.max(until);
        self.queued = self.queued.saturating_sub(records);
        self.settle();
    }

    /// Moves the stored position past the end of segments that will not grow.
    fn settle(&mut self) {
        for segment in &self.segments {
            if segment.number < self.stored.segment {
                continue;
            }
            if segment.number > self.stored.segment {
                self.stored = Position { segment: segment.number, offset: HEADER };
            }
            if !segment.sealed || self.stored.offset < segment.bytes {
                break;
            }
            self.stored = Position { segment: segment.number + 1, offset: HEADER };
        }
    }

    /// Deletes the segments no one needs, oldest first, and returns the bytes they held. One that
    /// cannot be deleted is tried again later, and those after it wait.
    pub fn reap(&mut self, dir: &Path) -> u64 {
        self.settle();
        let mut freed = 0;
        while let Some(segment) = self.segments.front()
            && segment.sealed
            && segment.open == 0
            && segment.number < self.stored.segment
        {
            match fs::remove_file(segment::path(dir, segment.number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => break,
                _ => {}
            }
            freed += segment.bytes;
            self.segments.pop_front();
        }
        freed
    }
}
