//! The body of an engine's answer, which owns the connection it comes by.

use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::connection::{Connection, invalid};
use super::framing::Framing;
use crate::fleet::deployment::Deployment;

/// Read to its end, it keeps the connection for the next request. Dropped before, it closes it, which tells the engine to
/// stop; unless the end is already there to read.
#[derive(Debug)]
pub struct Answer {
    framing: Framing,
    /// Bytes read and not yet given.
    piece: Bytes,
    /// `None` once the end or a failure was told.
    connection: Option<Connection>,
    keep: bool,
    deployment: Arc<Deployment>,
}

impl Answer {
    pub fn new(
        framing: Framing,
        piece: Bytes,
        connection: Connection,
        keep: bool,
        deployment: Arc<Deployment>,
    ) -> Answer {
        Answer { framing, piece, connection: Some(connection), keep, deployment }
    }

    fn end(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // What comes after the end was not asked for: nothing more is believed of that connection.
        if self.keep && self.framing.is_over() && self.piece.is_empty() {
            self.deployment.idle().keep(connection);
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        loop {
            if let Some(data) = self.framing.take(&mut self.piece).map_err(invalid)? {
                return Poll::Ready(Ok(Some(data)));
            }
            if self.framing.is_over() {
                return Poll::Ready(Ok(None));
            }
            let Some(connection) = &mut self.connection else { return Poll::Ready(Ok(None)) };
            self.piece = match connection.poll_piece(cx) {
                Poll::Ready(piece) => piece?,
                Poll::Pending => {
                    connection.drop_timer();
                    return Poll::Pending;
                }
            };
            if self.piece.is_empty() {
                return Poll::Ready(match self.framing {
                    Framing::Close => Ok(None),
                    Framing::Length(_) | Framing::Chunked(_) => Err(ErrorKind::UnexpectedEof.into()),
                });
            }
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.connection.is_none() {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.poll_data(cx)) {
            Ok(Some(data)) => Some(Ok(Frame::data(data))),
            Ok(None) => {
                self.end();
                None
            }
            Err(error) => {
                self.connection = None;
                Some(Err(error))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.connection.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.framing.left().map_or(SizeHint::default(), SizeHint::with_exact)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // A stream is over at its last event, and its end comes right behind.
        if self.connection.is_some() {
            let _: Poll<_> = Pin::new(self).poll_frame(&mut Context::from_waker(Waker::noop()));
        }
    }
}
