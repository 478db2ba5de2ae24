//! Whole server-sent events out of frames cut anywhere.
//!
//! An event that lies inside one frame is a slice of it; one that spans frames is copied once.
//! Lines may end in LF, CRLF or CR, mixed.

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// The default bound on one event.
pub const MAX_EVENT: usize = 16 << 20;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// One event with the blank line that ends it, and any blank lines before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub bytes: Bytes,
    /// Where it begins in the last frame pushed; `None` when it was put together from several.
    pub offset: Option<usize>,
}

/// An event is longer than the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

/// Where the reading stands in the line structure; kept from frame to frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Between events: blank lines are skipped.
    Between,
    /// Inside a line of an event.
    InLine,
    /// After the CR that ended a line of an event: an LF belongs to it.
    AfterCr,
    /// At the start of a line of an event.
    LineStart,
}

/// Cuts a byte stream into events.
#[derive(Debug)]
pub struct Splitter {
    frame: Bytes,
    /// Start of the event being read, in `frame`.
    start: usize,
    /// Up to where `frame` has been read.
    read: usize,
    at: At,
    /// The beginning of an event whose end has not come.
    pending: BytesMut,
    /// No byte has been judged yet: a byte-order mark may come.
    fresh: bool,
    max: usize,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new(MAX_EVENT)
    }
}

impl Splitter {
    /// `max`: most bytes of one event.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { frame: Bytes::new(), start: 0, read: 0, at: At::Between, pending: BytesMut::new(), fresh: true, max }
    }

    /// Gives the next frame. What is left of the frame before it (nothing, once `next` has said
    /// `None`) is kept.
    pub fn push(&mut self, frame: Bytes) {
        if self.start < self.frame.len() {
            self.pending.extend_from_slice(self.frame.get(self.start..).unwrap_or_default());
        }
        self.frame = frame;
        (self.start, self.read) = (0, 0);
        if self.fresh {
            self.skip_mark();
        }
    }

    /// Lets go of a frame that was read to its end: it is a part of a buffer many times its size.
    pub fn let_go(&mut self) {
        if self.start >= self.frame.len() {
            self.frame = Bytes::new();
            (self.start, self.read) = (0, 0);
        }
    }

    /// The frame that offsets are about.
    #[must_use]
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }

    fn skip_mark(&mut self) {
        let have = self.pending.len();
        let wanted = BOM.get(have..).unwrap_or_default();
        if self.frame.starts_with(wanted) {
            self.pending.clear();
            (self.start, self.read, self.fresh) = (wanted.len(), wanted.len(), false);
        } else if wanted.starts_with(&self.frame) {
            // All of it may still be a mark: judge nothing before the rest is there.
            self.pending.extend_from_slice(&self.frame);
            self.frame = Bytes::new();
        } else {
            if have > 0 {
                self.at = At::InLine;
            }
            self.fresh = false;
        }
    }

    /// The next whole event, or `None` when another frame is needed.
    ///
    /// # Errors
    /// When the event being read is longer than the bound. The stream cannot go on then.
    #[expect(clippy::should_implement_trait, reason = "it may fail, and goes on after a push")]
    pub fn next(&mut self) -> Result<Option<Event>, TooLarge> {
        if self.fresh {
            return Ok(None);
        }
        let Some(end) = self.find_end() else {
            let rest = self.frame.get(self.start..).unwrap_or_default();
            if self.pending.len() + rest.len() > self.max {
                return Err(TooLarge);
            }
            if self.at == At::Between {
                self.pending.clear();
            } else {
                self.pending.extend_from_slice(rest);
            }
            self.start = self.frame.len();
            return Ok(None);
        };
        let piece = self.start..end;
        if self.pending.len() + piece.len() > self.max {
            return Err(TooLarge);
        }
        let event = if self.pending.is_empty() {
            Event { bytes: self.frame.slice(piece.clone()), offset: Some(piece.start) }
        } else {
            self.pending.extend_from_slice(self.frame.get(piece).unwrap_or_default());
            Event { bytes: std::mem::take(&mut self.pending).freeze(), offset: None }
        };
        self.start = end;
        Ok(Some(event))
    }

    /// Reads on to the end of the event; `None` at the end of the frame.
    fn find_end(&mut self) -> Option<usize> {
        loop {
            let rest = self.frame.get(self.read..)?;
            let byte = *rest.first()?;
            match (self.at, byte) {
                (At::AfterCr, b'\n') => {
                    self.at = At::LineStart;
                    self.read += 1;
                }
                (At::AfterCr | At::LineStart, b'\r' | b'\n') => {
                    // The blank line that ends the event, with the LF of its CRLF if it is there.
                    // When the cut falls between them, the LF is a blank line before the next.
                    let crlf = byte == b'\r' && rest.get(1) == Some(&b'\n');
                    self.read += if crlf { 2 } else { 1 };
                    self.at = At::Between;
                    return Some(self.read);
                }
                (At::Between, b'\r' | b'\n') => self.read += 1,
                _ => match memchr2(b'\n', b'\r', rest) {
                    Some(eol) => {
                        self.at = if rest.get(eol) == Some(&b'\r') { At::AfterCr } else { At::LineStart };
                        self.read += eol + 1;
                    }
                    None => {
                        self.at = At::InLine;
                        self.read = self.frame.len();
                        return None;
                    }
                },
            }
        }
    }

    /// At the end of the stream: the event that no blank line ended, if any.
    pub fn finish(&mut self) -> Option<Bytes> {
        let tail = std::mem::take(&mut self.pending);
        self.at = At::Between;
        (!tail.is_empty()).then(|| tail.freeze())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn eol(byte: u8) -> bool {
        byte == b'\n' || byte == b'\r'
    }

    fn trimmed(bytes: &[u8]) -> Vec<u8> {
        let start = bytes.iter().position(|b| !eol(*b)).unwrap_or(bytes.len());
        let end = bytes.iter().rposition(|b| !eol(*b)).map_or(start, |last| last + 1);
        bytes[start..end].to_vec()
    }

    /// The slow reference: decode all line ends at once, then cut at blank lines.
    fn reference(stream: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let stream = stream.strip_prefix(BOM).unwrap_or(stream);
        let mut lines: Vec<(Vec<u8>, Vec<u8>)> = vec![];
        let mut line = vec![];
        let mut at = 0;
        while at < stream.len() {
            let end: &[u8] = match stream[at] {
                b'\r' if stream.get(at + 1) == Some(&b'\n') => b"\r\n",
                b'\r' => b"\r",
                b'\n' => b"\n",
                byte => {
                    line.push(byte);
                    at += 1;
                    continue;
                }
            };
            lines.push((std::mem::take(&mut line), end.to_vec()));
            at += end.len();
        }
        let (mut events, mut event) = (vec![], vec![]);
        for (text, end) in lines {
            if text.is_empty() {
                if !event.is_empty() {
                    events.push(trimmed(&std::mem::take(&mut event)));
                }
            } else {
                event.extend(text);
                event.extend(end);
            }
        }
        event.extend(line);
        (events, trimmed(&event))
    }

    fn split(frames: &[&[u8]], max: usize) -> Result<(Vec<Vec<u8>>, Vec<u8>), TooLarge> {
        let mut splitter = Splitter::new(max);
        let mut events = vec![];
        for frame in frames {
            let frame = Bytes::copy_from_slice(frame);
            splitter.push(frame.clone());
            while let Some(event) = splitter.next()? {
                if let Some(offset) = event.offset {
                    assert_eq!(event.bytes.as_ptr(), frame[offset..].as_ptr(), "a slice, not a copy");
                }
                events.push(trimmed(&event.bytes));
            }
        }
        Ok((events, trimmed(&splitter.finish().unwrap_or_default())))
    }

    #[test]
    fn separators_of_all_kinds() {
        let stream =
            b"\xef\xbb\xbfdata: 1\n\ndata: 2\r\n\r\n\ndata: 3\r\rdata: 4\r\n\ndata: 5\n\r\nid: x\ndata: 6\n\rdata: 7";
        let (events, tail) = split(&[stream], 100).unwrap();
        let expected: Vec<&[u8]> = vec![b"data: 1", b"data: 2", b"data: 3", b"data: 4", b"data: 5", b"id: x\ndata: 6"];
        assert_eq!(events, expected);
        assert_eq!(tail, b"data: 7");
    }

    #[test]
    fn an_event_is_bounded_however_it_comes() {
        assert_eq!(split(&[b"data: 123456789\n\n"], 10), Err(TooLarge));
        let bytes: Vec<[u8; 1]> = b"data: 123456789".iter().map(|b| [*b]).collect();
        let frames: Vec<&[u8]> = bytes.iter().map(<[u8; 1]>::as_slice).collect();
        assert_eq!(split(&frames, 10), Err(TooLarge));
        let blank: Vec<&[u8]> = vec![b"\n\r\n\n\n\n"; 50];
        assert_eq!(split(&blank, 10), Ok((vec![], vec![])), "blank lines are not kept");
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => Just(&b"data: {\"a\":1}"[..]),
            1 => Just(&b": c"[..]),
            1 => Just(&b"\xc3\xa9"[..]),
            1 => Just(&b"\xef\xbb"[..]),
            3 => Just(&b"\n"[..]),
            3 => Just(&b"\r"[..]),
            3 => Just(&b"\r\n"[..]),
            2 => Just(&b"\n\n"[..]),
        ];
        (any::<bool>(), prop::collection::vec(piece, 0..24)).prop_map(|(mark, pieces)| {
            let mut all = if mark { BOM.to_vec() } else { vec![] };
            all.extend(pieces.concat());
            all
        })
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_events(stream in stream(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let frames: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            prop_assert_eq!(split(&frames, 10_000).unwrap(), reference(&stream));
        }
    }
}
