//! One client's socket, closed so that the last answer arrives.
//!
//! A request may be refused before its body was read. Closing at once what a client is still writing to resets the
//! connection, and the refusal is lost on its way; so what still comes is taken and thrown away for a while first.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::pieces;

/// Longest time in which what a client still sends is thrown away.
const LINGER: Duration = Duration::from_secs(5);

/// A [`TcpStream`] that lingers while its client is still sending.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    closed: bool,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub fn new(stream: TcpStream) -> Socket {
        Socket { stream, closed: false, lingering: None }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        pieces::poll_write(Pin::new(&mut self.stream), cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if !self.closed {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.closed = true;
        }
        let mut scrap = [0; 8 << 10];
        loop {
            let mut buffer = ReadBuf::new(&mut scrap);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.lingering.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
                }
                // The client has closed too, or reset: nothing is left to lose.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                // A client that is sending nothing is not waited for.
                Poll::Pending => {
                    return self.lingering.as_mut().map_or(Poll::Ready(Ok(())), |end| end.as_mut().poll(cx).map(Ok));
                }
            }
            if self.lingering.as_ref().is_some_and(|end| end.is_elapsed()) {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
