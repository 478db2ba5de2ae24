//! How far the database has stored the journal: a small file, rewritten in place.
//!
//! A mark that lags or is lost only makes records come again. One that was cut short fails its
//! checksum and counts as lost; so a rewrite in place is enough, at a tenth of the cost of a rename.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::segment::Position;

const SIZE: usize = 20;

pub(super) struct Mark(File);

/// Where the mark of a journal lives.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("stored.mark")
}

impl Mark {
    /// Opens the mark, with the position it tells if it tells one.
    pub fn open(dir: &Path) -> io::Result<(Self, Option<Position>)> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path(dir))?;
        let mut bytes = [0; SIZE];
        let position = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => decode(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        Ok((Self(file), position))
    }

    pub fn write(&mut self, position: Position) -> io::Result<()> {
        self.0.write_all_at(&encode(position), 0)
    }
}

fn encode(position: Position) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    let (fields, crc) = bytes.split_at_mut(16);
    let (segment, offset) = fields.split_at_mut(8);
    segment.copy_from_slice(&position.segment.to_le_bytes());
    offset.copy_from_slice(&position.offset.to_le_bytes());
    crc.copy_from_slice(&crc32fast::hash(fields).to_le_bytes());
    bytes
}

fn decode(bytes: [u8; SIZE]) -> Option<Position> {
    let (segment, rest) = bytes.split_first_chunk()?;
    let (offset, _) = rest.split_first_chunk()?;
    let position = Position { segment: u64::from_le_bytes(*segment), offset: u64::from_le_bytes(*offset) };
    (encode(position) == bytes && position.segment > 0).then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_and_a_damaged_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (mut mark, position) = Mark::open(dir.path()).unwrap();
        assert_eq!(position, None);
        let place = Position { segment: 3, offset: 99 };
        mark.write(Position { segment: 2, offset: 5 }).unwrap();
        mark.write(place).unwrap();
        assert_eq!(Mark::open(dir.path()).unwrap().1, Some(place));
        let mut bytes = std::fs::read(path(dir.path())).unwrap();
        bytes[3] ^= 1;
        std::fs::write(path(dir.path()), &bytes).unwrap();
        assert_eq!(Mark::open(dir.path()).unwrap().1, None);
        std::fs::write(path(dir.path()), &bytes[..7]).unwrap();
        assert_eq!(Mark::open(dir.path()).unwrap().1, None);
        std::fs::write(path(dir.path()), [0; 40]).unwrap();
        assert_eq!(Mark::open(dir.path()).unwrap().1, None);
    }
}
