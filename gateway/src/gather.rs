//! A whole body out of its pieces, within a size and a silence: requests of clients and answers of engines alike.

use std::future::poll_fn;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;

/// Room made at once for a body that says its size: one that lies costs no more than this.
const TRUSTED: usize = 1 << 20;

/// Why there is no whole body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lacking {
    /// More than the limit, as announced or as it came.
    TooLarge,
    /// Nothing came for too long.
    Slow,
    /// The other side broke off.
    Broken,
}

/// Reads a body to its end. `silence` is the longest wait for the next piece.
pub async fn gather<B: Body<Data = Bytes> + Unpin>(body: B, limit: usize, silence: Duration) -> Result<Bytes, Lacking> {
    gather_at_pace(body, limit, silence, None).await
}

/// The same from a sender that must also keep, past one `silence`, a mean of `slowest` bytes a second: one that drips to
/// keep its place is as good as silent.
pub async fn gather_at_pace<B: Body<Data = Bytes> + Unpin>(
    mut body: B,
    limit: usize,
    silence: Duration,
    slowest: Option<NonZeroU32>,
) -> Result<Bytes, Lacking> {
    // Since the first wait.
    let mut started = None;
    let announced = body.size_hint().exact().map_or(0, |size| usize::try_from(size).unwrap_or(usize::MAX));
    if announced > limit {
        return Err(Lacking::TooLarge);
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let received = first.len() + rest.len();
        let patience = |started: Instant| {
            slowest.map_or(silence, |slowest| {
                let earned = Duration::from_secs_f64(received as f64 / f64::from(slowest.get()));
                silence.min((silence + earned).saturating_sub(started.elapsed()))
            })
        };
        let mut next = body.frame();
        // Most of the time it is there: no clock is read for it.
        let frame = match poll_fn(|cx| Poll::Ready(Pin::new(&mut next).poll(cx))).await {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let patience = patience(*started.get_or_insert_with(Instant::now));
                tokio::time::timeout(patience, next).await.map_err(|_| Lacking::Slow)?
            }
        };
        let piece = match frame {
            None => break,
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(_)) => return Err(Lacking::Broken),
        };
        if received + piece.len() > limit {
            return Err(Lacking::TooLarge);
        }
        if first.is_empty() && rest.is_empty() {
            // The common case: the body comes in one piece, and no byte is copied.
            first = piece;
        } else {
            if rest.is_empty() {
                rest.reserve(announced.min(TRUSTED).max(first.len() + piece.len()));
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&piece);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}
