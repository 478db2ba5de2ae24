//! An HTTP/1.1 client connection cheap enough to share a core with what it measures.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// What is known once the head of an answer is read.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    pub status: u16,
    pub event_stream: bool,
}

/// Where the reader stands in the body of the present answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Body {
    Done,
    Length(usize),
    /// Before the line that gives the size of the next chunk.
    Size,
    /// In a chunk, that many bytes to go.
    Chunk(usize),
    /// After the last chunk: lines until an empty one.
    Trailers,
    /// Until the other side closes.
    Close,
}

/// One keep-alive connection; one request at a time.
pub struct Connection<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
    start: usize,
    body: Body,
    reusable: bool,
}

impl Connection<TcpStream> {
    /// Connects to `address` (`host:port`). `capacity` is the size of the read buffer, in bytes.
    pub async fn open(address: &str, capacity: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream, capacity))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Speaks over an already open stream.
    pub fn over(stream: S, capacity: usize) -> Self {
        let buffer = Vec::with_capacity(capacity);
        Self { stream, buffer, start: 0, body: Body::Done, reusable: true }
    }

    /// Whether the next request may use this connection: the last body was read whole and nobody asked to close.
    pub fn reusable(&self) -> bool {
        self.reusable && self.body == Body::Done
    }

    /// Sends one request as it stands and reads the head of its answer.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Head> {
        self.stream.write_all(request).await?;
        loop {
            if let Some(head) = self.head()? {
                return Ok(head);
            }
            self.fill().await?;
        }
    }

    /// Sends one request as it stands and reads its answer whole: its status and body.
    pub async fn whole(&mut self, request: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let head = self.exchange(request).await?;
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await? {
            body.extend_from_slice(piece);
        }
        Ok((head.status, body))
    }

    /// The next piece of the body as it arrived, without its framing; `None` at its end.
    /// An answer cut before its end is an `UnexpectedEof`.
    pub async fn piece(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            match self.body {
                Body::Done => return Ok(None),
                Body::Length(0) => self.body = Body::Done,
                Body::Length(left) | Body::Chunk(left) if left > 0 && self.available() > 0 => {
                    let taken = left.min(self.available());
                    self.body = match self.body {
                        Body::Length(_) => Body::Length(left - taken),
                        _ => Body::Chunk(left - taken),
                    };
                    return Ok(Some(self.take(taken)));
                }
                Body::Chunk(0) if self.available() >= 2 => {
                    if self.take(2) != b"\r\n" {
                        return Err(invalid("a chunk does not end where it said"));
                    }
                    self.body = Body::Size;
                }
                Body::Size => match self.line() {
                    Some(line) => self.body = chunk_size(line)?,
                    None => self.fill().await?,
                },
                Body::Trailers => match self.line() {
                    Some([]) => self.body = Body::Done,
                    Some(_) => {}
                    None => self.fill().await?,
                },
                Body::Close if self.available() > 0 => {
                    return Ok(Some(self.take(self.available())));
                }
                Body::Close => match self.fill().await {
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.body = Body::Done,
                    filled => filled?,
                },
                Body::Length(_) | Body::Chunk(_) => self.fill().await?,
            }
        }
    }

    fn available(&self) -> usize {
        self.buffer.len() - self.start
    }

    fn take(&mut self, count: usize) -> &[u8] {
        let from = self.start;
        self.start += count;
        &self.buffer[from..self.start]
    }

    /// The next line without its end, when it is there whole.
    fn line(&mut self) -> Option<&[u8]> {
        let length = self.buffer[self.start..].windows(2).position(|pair| pair == b"\r\n")?;
        let line = self.take(length + 2);
        Some(&line[..length])
    }

    async fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed before the end of the answer")),
            _ => Ok(()),
        }
    }

    fn head(&mut self) -> io::Result<Option<Head>> {
        let mut headers = [httparse::EMPTY_HEADER; 48];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&self.buffer[self.start..]).map_err(invalid)?;
        let httparse::Status::Complete(length) = parsed else {
            return Ok(None);
        };
        let status = response.code.unwrap_or_default();
        let mut head = Head { status, event_stream: false };
        let mut body = Body::Close;
        let mut reusable = response.version == Some(1);
        for header in response.headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            let has = |word: &[u8]| header.value.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
            if is("content-length") && body == Body::Close {
                let text = std::str::from_utf8(header.value).map_err(invalid)?;
                body = Body::Length(text.trim().parse().map_err(invalid)?);
            } else if is("transfer-encoding") && has(b"chunked") {
                body = Body::Size;
            } else if is("connection") && has(b"close") {
                reusable = false;
            } else if is("content-type") {
                head.event_stream = has(b"text/event-stream");
            }
        }
        self.start += length;
        self.reusable = reusable && body != Body::Close;
        self.body = body;
        Ok(Some(head))
    }
}

fn chunk_size(line: &[u8]) -> io::Result<Body> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let text = std::str::from_utf8(digits).map_err(invalid)?;
    match usize::from_str_radix(text.trim(), 16).map_err(invalid)? {
        0 => Ok(Body::Trailers),
        size => Ok(Body::Chunk(size)),
    }
}

fn invalid(why: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays `answer` to a connection, `step` bytes at a time, and returns the status and the body read.
    async fn read(answer: &'static [u8], step: usize) -> io::Result<(u16, Vec<u8>, bool)> {
        let (near, mut far) = tokio::io::duplex(step);
        let play = async move {
            let mut asked = [0; 4];
            far.read_exact(&mut asked).await.unwrap();
            far.write_all(answer).await.ok();
        };
        let listen = async move {
            let mut connection = Connection::over(near, 8);
            let head = connection.exchange(b"ask\n").await?;
            let mut body = vec![];
            while let Some(piece) = connection.piece().await? {
                body.extend_from_slice(piece);
            }
            Ok((head.status, body, connection.reusable()))
        };
        tokio::join!(play, listen).1
    }

    #[tokio::test]
    async fn bodies_are_read_whole_however_they_are_framed_and_cut() {
        let cases: [(&[u8], &[u8], bool); 4] = [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", true),
            (
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nT: 1\r\n\r\n",
                b"hello",
                true,
            ),
            (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", b"ok", false),
            (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end", false),
        ];
        for (answer, body, reusable) in cases {
            for step in 1..answer.len() {
                assert_eq!(read(answer, step).await.unwrap(), (200, body.to_vec(), reusable), "step {step}");
            }
        }
    }

    #[tokio::test]
    async fn a_cut_answer_is_an_error() {
        let cut: [&[u8]; 4] = [
            b"HTTP/1.1 200 OK\r\nContent-Le",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
        ];
        for answer in cut {
            assert!(read(answer, 64).await.is_err());
        }
    }
}
