//! Where the body of an HTTP/1.1 answer ends, and what of each piece belongs to it (RFC 9112, sections 6 and 7).

use bytes::{Buf, Bytes};

/// Longest line of a chunk's size with its extensions, and longest trailers, in bytes.
const LINE: usize = 4 << 10;
const TRAILERS: usize = 16 << 10;

/// The peer does not speak HTTP.
#[derive(Debug)]
pub struct Malformed(pub &'static str);

/// How the end of a body is told.
#[derive(Debug)]
pub enum Framing {
    /// So many bytes are left.
    Length(u64),
    Chunked(Chunked),
    /// With the connection.
    Close,
}

impl Framing {
    pub fn chunked() -> Framing {
        Framing::Chunked(Chunked { at: At::Size { digits: 0 }, left: 0, line: 0 })
    }

    /// Whether the whole body was given.
    pub fn is_over(&self) -> bool {
        match self {
            Framing::Length(left) => *left == 0,
            Framing::Chunked(chunked) => matches!(chunked.at, At::Over),
            Framing::Close => false,
        }
    }

    /// Bytes left, when that is known.
    pub fn left(&self) -> Option<u64> {
        match self {
            Framing::Length(left) => Some(*left),
            Framing::Chunked(_) | Framing::Close => None,
        }
    }

    /// Takes from `piece` the next bytes of the body; `None` once it holds no more.
    pub fn take(&mut self, piece: &mut Bytes) -> Result<Option<Bytes>, Malformed> {
        if piece.is_empty() {
            return Ok(None);
        }
        match self {
            Framing::Close => Ok(Some(std::mem::take(piece))),
            Framing::Length(0) => Ok(None),
            Framing::Length(left) => Ok(Some(split(piece, left))),
            Framing::Chunked(chunked) => chunked.take(piece),
        }
    }
}

/// At most `left` bytes of `piece`, counted.
fn split(piece: &mut Bytes, left: &mut u64) -> Bytes {
    let size = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
    *left -= size as u64;
    piece.split_to(size)
}

/// Where the reader of chunks stands.
#[derive(Debug)]
pub struct Chunked {
    at: At,
    /// Of the chunk being read.
    left: u64,
    /// Bytes of the present line, or of the trailers.
    line: usize,
}

#[derive(Debug)]
enum At {
    Size {
        digits: u8,
    },
    /// After the size: extensions, which mean nothing to us.
    Extension,
    SizeEnd,
    Data,
    DataReturn,
    DataEnd,
    /// At the start of a line of the trailers.
    Trailer,
    TrailerLine,
    LastEnd,
    Over,
}

impl Chunked {
    fn take(&mut self, piece: &mut Bytes) -> Result<Option<Bytes>, Malformed> {
        loop {
            if matches!(self.at, At::Data) && !piece.is_empty() {
                let data = split(piece, &mut self.left);
                if self.left == 0 {
                    self.at = At::DataReturn;
                }
                return Ok(Some(data));
            }
            if matches!(self.at, At::Over) || piece.is_empty() {
                return Ok(None);
            }
            let byte = piece.get_u8();
            self.step(byte)?;
        }
    }

    fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        self.line += 1;
        self.at = match (&self.at, byte) {
            (At::Size { digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if *digits < 16 => {
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                self.left = self.left << 4 | u64::from(digit);
                At::Size { digits: digits + 1 }
            }
            (At::Size { digits: 1.. }, b'\r') | (At::Extension, b'\r') => At::SizeEnd,
            (At::Size { digits: 1.. }, b';' | b' ' | b'\t') => At::Extension,
            (At::Extension, b'\n') | (At::Size { .. }, _) => return Err(Malformed("no size of a chunk")),
            (At::Extension, _) if self.line > LINE => return Err(Malformed("a chunk's size goes on")),
            (At::Extension, _) => At::Extension,
            (At::SizeEnd, b'\n') => {
                self.line = 0;
                if self.left == 0 { At::Trailer } else { At::Data }
            }
            (At::DataReturn, b'\r') => At::DataEnd,
            (At::DataEnd, b'\n') => {
                self.line = 0;
                At::Size { digits: 0 }
            }
            (At::Trailer, b'\r') => At::LastEnd,
            (At::LastEnd, b'\n') => At::Over,
            (At::Trailer | At::TrailerLine, _) if self.line > TRAILERS => return Err(Malformed("trailers go on")),
            (At::TrailerLine, b'\n') => At::Trailer,
            (At::Trailer | At::TrailerLine, _) => At::TrailerLine,
            (At::SizeEnd | At::DataReturn | At::DataEnd | At::LastEnd | At::Data | At::Over, _) => {
                return Err(Malformed("a chunk ends where none does"));
            }
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a framing reads of `text` cut into pieces of `size` bytes: the body, whether it is over, what is left.
    fn read(mut framing: Framing, text: &[u8], size: usize) -> Result<(Vec<u8>, bool, usize), Malformed> {
        let (mut body, mut left) = (Vec::new(), 0);
        for piece in text.chunks(size) {
            let mut piece = Bytes::copy_from_slice(piece);
            while let Some(data) = framing.take(&mut piece)? {
                assert!(!data.is_empty());
                body.extend_from_slice(&data);
            }
            left += piece.len();
        }
        Ok((body, framing.is_over(), left))
    }

    #[test]
    fn chunks_of_every_spelling() {
        let text = b"3\r\nabc\r\n00a;name=\"v\" \r\n0123456789\r\n1 \r\nx\r\n0\r\nx-a: b\r\nx-c: d\r\n\r\nmore";
        for size in 1..text.len() {
            let (body, over, left) = read(Framing::chunked(), text, size).unwrap();
            assert_eq!((body.as_slice(), over, left), (&b"abc0123456789x"[..], true, 4), "{size}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        let long = format!("1;{}\r\na\r\n", "x".repeat(LINE));
        let trailers = format!("0\r\n{}", "a: b\r\n".repeat(TRAILERS));
        for text in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "3\nabc\r\n",
            "3\r\nabcd\r\n",
            "3\r\nabc\n",
            "11111111111111111\r\n",
            "3\rabc",
            "0\r\n\rx",
            &long,
            &trailers,
        ] {
            assert!(read(Framing::chunked(), text.as_bytes(), 7).is_err(), "{text:.40}");
        }
    }

    #[test]
    fn a_length_ends_where_it_says() {
        assert_eq!(read(Framing::Length(3), b"abcde", 2).unwrap(), (b"abc".to_vec(), true, 2));
        assert_eq!(read(Framing::Length(3), b"ab", 5).unwrap(), (b"ab".to_vec(), false, 0));
        assert_eq!(read(Framing::Close, b"ab", 1).unwrap(), (b"ab".to_vec(), false, 0));
    }

    proptest! {
        #[test]
        fn any_body_in_any_chunks(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8), size in 1usize..64) {
            let mut text = Vec::new();
            for body in &bodies {
                text.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
                text.extend_from_slice(body);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            let (body, over, left) = read(Framing::chunked(), &text, size).unwrap();
            prop_assert_eq!((body, over, left), (bodies.concat(), true, 0));
        }

        #[test]
        fn no_bytes_do_harm(text in prop::collection::vec(any::<u8>(), 0..400), size in 1usize..64) {
            if let Ok((body, _, left)) = read(Framing::chunked(), &text, size) {
                prop_assert!(body.len() + left <= text.len());
            }
        }
    }
}
