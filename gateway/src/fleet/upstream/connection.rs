//! One connection to an engine: a request goes out, the head of an answer comes in, then the pieces of its body.

use std::future::poll_fn;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until};

use super::framing::Malformed;
use super::head::Head;
use crate::pieces;

/// What a connector makes.
pub type Made = MaybeHttpsStream<TokioIo<TcpStream>>;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

enum Stream {
    Plain(TcpStream),
    /// A kilobyte of state.
    Tls(Box<TokioIo<Made>>),
}

/// Largest head of an answer.
const HEAD: usize = 64 << 10;
/// Most that is read at once.
const PIECE: usize = 16 << 10;

/// An open connection.
pub struct Connection {
    stream: Stream,
    /// Since when it carries nothing.
    pub idle_since: Instant,
    /// Of the wait for the head of an answer, which is put off from one request to the next: setting a new one takes the
    /// lock of the runtime's timers, and dropping it too.
    timer: Option<Pin<Box<Sleep>>>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    pub fn new(made: Made) -> Connection {
        let stream = match made {
            MaybeHttpsStream::Http(plain) => Stream::Plain(plain.into_inner()),
            tls => Stream::Tls(Box::new(TokioIo::new(tls))),
        };
        Connection { stream, idle_since: Instant::now(), timer: None }
    }

    fn io(&mut self) -> Pin<&mut dyn Io> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream),
            Stream::Tls(stream) => Pin::new(&mut **stream),
        }
    }

    /// Whether the engine still holds its end, as far as is known without asking.
    pub fn stands(&mut self) -> bool {
        // Bytes that nobody asked for are as bad as the end.
        self.poll_piece(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// What came, empty at the end. Copied out of a buffer on the stack: a connection that waits for its next piece holds
    /// no memory for it.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes>> {
        let mut space = [const { MaybeUninit::<u8>::uninit() }; PIECE];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(self.io().poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled())))
    }

    /// What comes is waited for without a deadline, and for long: the timer takes room that ten thousand streams share.
    pub fn drop_timer(&mut self) {
        self.timer = None;
    }

    /// Sends a request and waits for the head of its answer, at most until `deadline`: `None` then. Gives it with what
    /// came of the body.
    pub async fn send_until(&mut self, deadline: Instant, head: &[u8], body: &[u8]) -> Result<Option<(Head, Bytes)>> {
        let mut timer = match self.timer.take() {
            Some(mut timer) => {
                timer.as_mut().reset(deadline.into());
                timer
            }
            None => Box::pin(sleep_until(deadline.into())),
        };
        let sent = tokio::select! {
            biased;
            sent = self.send(head, body) => sent?,
            () = timer.as_mut() => return Ok(None),
        };
        self.timer = Some(timer);
        Ok(Some(sent))
    }

    async fn send(&mut self, head: &[u8], body: &[u8]) -> Result<(Head, Bytes)> {
        let mut parts = [IoSlice::new(head), IoSlice::new(body)];
        let mut unsent = &mut parts[..];
        IoSlice::advance_slices(&mut unsent, 0);
        let first = poll_fn(|cx| self.poll_send(&mut unsent, cx)).await?;
        let cut_short = !unsent.is_empty();
        let mut seen = first;
        loop {
            if seen.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if let Some(mut head) = Head::read(&seen).map_err(invalid)? {
                // An engine that answers before it has read all may read the rest as the next request.
                head.keep &= !cut_short;
                let rest = seen.split_off(head.size);
                return Ok((head, rest));
            }
            if seen.len() > HEAD {
                return Err(invalid(Malformed("a head goes on")));
            }
            let more = poll_fn(|cx| self.poll_piece(cx)).await?;
            if more.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let mut both = BytesMut::with_capacity(seen.len() + more.len());
            both.extend_from_slice(&seen);
            both.extend_from_slice(&more);
            seen = both.freeze();
        }
    }

    /// Writes what is left to write; gives the first bytes of the answer, which may come before all was taken.
    fn poll_send(&mut self, unsent: &mut &mut [IoSlice<'_>], cx: &mut Context<'_>) -> Poll<Result<Bytes>> {
        while !unsent.is_empty() {
            match pieces::poll_write(self.io(), cx, unsent) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => IoSlice::advance_slices(unsent, written),
                // It closed its ear; it may have said why before.
                Poll::Ready(Err(error)) => match self.poll_piece(cx) {
                    Poll::Ready(Ok(said)) if !said.is_empty() => return Poll::Ready(Ok(said)),
                    _ => return Poll::Ready(Err(error)),
                },
                Poll::Pending => return self.poll_piece(cx),
            }
        }
        ready!(self.io().poll_flush(cx))?;
        self.poll_piece(cx)
    }
}

pub fn invalid(Malformed(what): Malformed) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}
