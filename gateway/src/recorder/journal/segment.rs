//! The file format: a header, then frames one after the other.
//!
//! ```text
//! header  "GUICHETJ" | version u32 | crc32 of both
//! frame   0xFE 0xFF | length u16 | crc32 of length and body | body
//! body    kind u8 | postcard of an Admission or a Record
//! ```
//!
//! Integers are little-endian. The two mark bytes never occur in UTF-8 text, so that after damage
//! the next whole frame is found quickly.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::Serialize;

/// Bytes of a segment's header, where its first frame starts.
pub(super) const HEADER: u64 = 16;

const MAGIC: [u8; 8] = *b"GUICHETJ";
const VERSION: u32 = 1;
const MARK: [u8; 2] = [0xFE, 0xFF];
const EXTENSION: &str = "journal";

/// Bytes of a frame before its body.
const PREFIX: usize = 8;

/// Bytes read at a time; more than the longest frame.
const CHUNK: usize = 128 * 1024;

/// What a frame holds. A changed struct gets a new kind, so that older journals stay readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Admission = 1,
    Record = 2,
}

impl Kind {
    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Admission),
            2 => Some(Self::Record),
            _ => None,
        }
    }
}

/// A place in the journal: segment number, then byte offset in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub segment: u64,
    pub offset: u64,
}

/// Encodes one whole frame.
pub(super) fn frame(kind: Kind, value: &impl Serialize) -> Result<Vec<u8>, postcard::Error> {
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(&[0; PREFIX]);
    bytes.push(kind as u8);
    let mut bytes = postcard::to_extend(value, bytes)?;
    let (prefix, body) = bytes.split_at_mut(PREFIX);
    let length = u16::try_from(body.len()).map_err(|_| postcard::Error::SerializeBufferFull)?.to_le_bytes();
    let [m0, m1] = MARK;
    let [l0, l1] = length;
    let [c0, c1, c2, c3] = checksum(length, body).to_le_bytes();
    prefix.copy_from_slice(&[m0, m1, l0, l1, c0, c1, c2, c3]);
    Ok(bytes)
}

/// Marks as dead the frame that starts at `at` in an unwritten buffer, and returns its size.
pub(super) fn kill(buffer: &mut [u8], at: usize) -> usize {
    let Some([m0, m1, l0, l1, ..]) = buffer.get_mut(at..) else {
        return 0;
    };
    (*m0, *m1) = (0, 0);
    PREFIX + usize::from(u16::from_le_bytes([*l0, *l1]))
}

/// Removes the dead frames of an unwritten buffer, keeping the order of the others.
pub(super) fn compact(buffer: &mut Vec<u8>) {
    let (mut read, mut write) = (0, 0);
    while let Some(&[m0, m1, l0, l1, ..]) = buffer.get(read..) {
        let size = PREFIX + usize::from(u16::from_le_bytes([l0, l1]));
        if [m0, m1] == MARK {
            buffer.copy_within(read..read + size, write);
            write += size;
        }
        read += size;
    }
    buffer.truncate(write);
}

/// The id an encoded admission or record begins with.
pub(super) fn id_of(body: &[u8]) -> Option<&str> {
    postcard::take_from_bytes::<&str>(body).ok().map(|(id, _)| id)
}

fn checksum(length: [u8; 2], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(body);
    hasher.finalize()
}

enum Parsed {
    Whole {
        kind: Kind,
        size: usize,
    },
    /// Could be whole with more bytes.
    Short,
    Bad,
}

fn parse(bytes: &[u8]) -> Parsed {
    let Some((&[m0, m1, l0, l1, c0, c1, c2, c3], rest)) = bytes.split_first_chunk::<PREFIX>() else {
        return if bytes.iter().zip(MARK).all(|(byte, mark)| *byte == mark) { Parsed::Short } else { Parsed::Bad };
    };
    if [m0, m1] != MARK {
        return Parsed::Bad;
    }
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    let Some(checked) = rest.get(..length) else {
        return Parsed::Short;
    };
    if checksum([l0, l1], checked) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Parsed::Bad;
    }
    match checked.first().and_then(|byte| Kind::from_byte(*byte)) {
        Some(kind) => Parsed::Whole { kind, size: PREFIX + length },
        None => Parsed::Bad,
    }
}

/// Walks the whole frames of a segment, stepping over damage.
pub(super) struct Walk<'f> {
    file: &'f File,
    /// Offset in the file of the next byte to look at.
    at: u64,
    limit: u64,
    chunk: Vec<u8>,
    /// Offset in the file of the first byte of `chunk`.
    chunk_at: u64,
    sound: u64,
    corrupt: u64,
}

/// One whole frame. `body` is without its kind byte.
pub(super) struct Frame<'w> {
    pub kind: Kind,
    pub body: &'w [u8],
    /// Prefix, kind and body: what to append elsewhere to copy it.
    pub whole: &'w [u8],
    /// Offset of its first byte.
    pub at: u64,
}

impl<'f> Walk<'f> {
    /// Walks from `at`, a frame boundary, to `limit`.
    pub fn new(file: &'f File, at: u64, limit: u64) -> Self {
        Self { file, at, limit, chunk: Vec::new(), chunk_at: at, sound: at, corrupt: 0 }
    }

    /// End of the last whole frame seen.
    pub const fn sound(&self) -> u64 {
        self.sound
    }

    /// Bytes stepped over between whole frames.
    pub const fn corrupt(&self) -> u64 {
        self.corrupt
    }

    /// The next whole frame, or `None` when no more is found before the limit.
    pub fn next(&mut self) -> io::Result<Option<Frame<'_>>> {
        // Two steps, because the borrow checker does not let a loop return what it borrowed.
        let Some((kind, at, size)) = self.find()? else {
            return Ok(None);
        };
        let from = usize::try_from(at - self.chunk_at).unwrap_or(usize::MAX);
        let whole = self.chunk.get(from..from + size).unwrap_or_default();
        let body = whole.get(PREFIX + 1..).unwrap_or_default();
        Ok(Some(Frame { kind, body, whole, at }))
    }

    fn find(&mut self) -> io::Result<Option<(Kind, u64, usize)>> {
        loop {
            let from = usize::try_from(self.at - self.chunk_at).unwrap_or(usize::MAX);
            let rest = self.chunk.get(from..).unwrap_or_default();
            let at_end = self.chunk_at + self.chunk.len() as u64 >= self.limit;
            match parse(rest) {
                Parsed::Whole { kind, size } => {
                    let at = self.at;
                    self.corrupt += at - self.sound;
                    self.at += size as u64;
                    self.sound = self.at;
                    return Ok(Some((kind, at, size)));
                }
                Parsed::Short if !at_end => self.fill()?,
                Parsed::Short | Parsed::Bad => {
                    if rest.is_empty() && at_end {
                        return Ok(None);
                    }
                    let step = rest
                        .iter()
                        .skip(1)
                        .position(|byte| *byte == MARK[0])
                        .map_or(rest.len().max(1), |distance| distance + 1);
                    self.at += step as u64;
                }
            }
        }
    }

    /// Makes `chunk` start at `at`. A file shorter than it should be lowers the limit: what is
    /// gone must not stop the reader for ever.
    fn fill(&mut self) -> io::Result<()> {
        let left = usize::try_from(self.limit.saturating_sub(self.at)).unwrap_or(usize::MAX);
        self.chunk.resize(left.min(CHUNK), 0);
        self.chunk_at = self.at;
        let mut filled = 0;
        while let Some(room) = self.chunk.get_mut(filled..)
            && !room.is_empty()
        {
            match self.file.read_at(room, self.at + filled as u64) {
                Ok(0) => {
                    self.chunk.truncate(filled);
                    self.limit = self.at + filled as u64;
                }
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What the first bytes of a file say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    Good,
    /// Too short: the process died while creating the file.
    Torn,
    Corrupt,
    /// Written by a version of the gateway with another format.
    Other(u32),
}

/// Reads the header of a segment.
pub(super) fn read_header(file: &File, length: u64) -> io::Result<Header> {
    if length < HEADER {
        return Ok(Header::Torn);
    }
    let mut bytes = [0; HEADER as usize];
    file.read_exact_at(&mut bytes, 0)?;
    let [.., v0, v1, v2, v3, _, _, _, _] = bytes;
    let version = u32::from_le_bytes([v0, v1, v2, v3]);
    Ok(if header(version) != bytes {
        Header::Corrupt
    } else if version != VERSION {
        Header::Other(version)
    } else {
        Header::Good
    })
}

fn header(version: u32) -> [u8; HEADER as usize] {
    let mut bytes = [0; HEADER as usize];
    let (fields, crc) = bytes.split_at_mut(12);
    let (magic, number) = fields.split_at_mut(8);
    magic.copy_from_slice(&MAGIC);
    number.copy_from_slice(&version.to_le_bytes());
    crc.copy_from_slice(&crc32fast::hash(fields).to_le_bytes());
    bytes
}

/// Creates an empty segment, readable by its owner only.
pub(super) fn create(dir: &Path, number: u64) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path(dir, number))?;
    file.write_all_at(&header(VERSION), 0)?;
    Ok(file)
}

/// Where a segment lives. Names sort like their numbers.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.{EXTENSION}"))
}

/// Numbers of the segments in a directory, in order.
pub(super) fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in dir.read_dir()? {
        let name = PathBuf::from(entry?.file_name());
        let stem = name.file_stem().and_then(|stem| stem.to_str());
        if name.extension().is_some_and(|extension| extension == EXTENSION)
            && let Some(stem) = stem
            && stem.len() == 16
            && let Ok(number) = u64::from_str_radix(stem, 16)
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn walk(bytes: &[u8]) -> (Vec<(Kind, String)>, u64, u64) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let mut walk = Walk::new(&file, 0, bytes.len() as u64);
        let mut seen = Vec::new();
        while let Some(frame) = walk.next().unwrap() {
            seen.push((frame.kind, id_of(frame.body).unwrap().to_owned()));
        }
        (seen, walk.sound(), walk.corrupt())
    }

    #[test]
    fn dead_frames_disappear_and_order_stays() {
        let mut buffer = Vec::new();
        let mut starts = Vec::new();
        for id in ["a", "bb", "ccc", "dddd"] {
            starts.push(buffer.len());
            buffer.extend(frame(Kind::Admission, &id).unwrap());
        }
        kill(&mut buffer, starts[0]);
        kill(&mut buffer, starts[2]);
        compact(&mut buffer);
        let (seen, sound, corrupt) = walk(&buffer);
        assert_eq!(seen, [(Kind::Admission, "bb".into()), (Kind::Admission, "dddd".into())]);
        assert_eq!((sound, corrupt), (buffer.len() as u64, 0));
    }

    #[test]
    fn headers_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let file = create(dir.path(), 7).unwrap();
        drop(file);
        assert_eq!(list(dir.path()).unwrap(), [7]);
        let check = |bytes: &[u8]| {
            std::fs::write(path(dir.path(), 7), bytes).unwrap();
            let file = File::open(path(dir.path(), 7)).unwrap();
            read_header(&file, bytes.len() as u64).unwrap()
        };
        assert_eq!(check(&header(VERSION)), Header::Good);
        assert_eq!(check(&header(9)), Header::Other(9));
        assert_eq!(check(&header(VERSION)[..15]), Header::Torn);
        assert_eq!(check(&[0; 16]), Header::Corrupt);
    }

    proptest! {
        /// Whatever happens to a stretch of bytes, every frame outside it is found, and the walk
        /// never fails nor invents a frame.
        #[test]
        fn damage_costs_only_what_it_touches(
            ids in prop::collection::vec("[a-z]{1,40}", 1..60),
            from in 0.0..1.0f64,
            garbage in prop::collection::vec(any::<u8>(), 0..200),
            removed in 0usize..200,
        ) {
            let mut bytes = Vec::new();
            let mut spans = Vec::new();
            for id in &ids {
                let start = bytes.len();
                bytes.extend(frame(Kind::Record, id).unwrap());
                spans.push((start, bytes.len()));
            }
            let from = (bytes.len() as f64 * from) as usize;
            let to = (from + removed).min(bytes.len());
            bytes.splice(from..to, garbage);
            let (seen, sound, _) = walk(&bytes);
            let seen: Vec<_> = seen.into_iter().map(|(_, id)| id).collect();
            let spared: Vec<_> = ids.iter().zip(&spans)
                .filter(|(_, (start, end))| *end <= from || *start >= to)
                .map(|(id, _)| id.clone())
                .collect();
            prop_assert!(sound <= bytes.len() as u64);
            // Garbage may by chance leave a touched frame as it was; it cannot cost a spared one.
            let mut found = seen.iter();
            for id in &spared {
                prop_assert!(found.any(|other| other == id), "lost {}", id);
            }
            prop_assert!(seen.iter().all(|id| ids.contains(id)));
        }
    }
}
