//! Several pieces written at once.

use std::io::{IoSlice, Result};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncWrite, ReadBuf};

/// Bytes that are copied rather than written from where they are.
const SMALL: usize = 4 << 10;

/// Writes pieces as [`AsyncWrite::poll_write_vectored`] does. Small ones are put together first: a socket sends one piece
/// by a shorter way through the system than several, which costs more than to copy them.
pub fn poll_write<W: AsyncWrite + ?Sized>(
    writer: Pin<&mut W>,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<Result<usize>> {
    if let [piece] = pieces {
        return writer.poll_write(cx, piece);
    }
    if pieces.iter().map(|piece| piece.len()).sum::<usize>() > SMALL {
        return writer.poll_write_vectored(cx, pieces);
    }
    let mut space = [const { MaybeUninit::<u8>::uninit() }; SMALL];
    let mut whole = ReadBuf::uninit(&mut space);
    for piece in pieces {
        whole.put_slice(piece);
    }
    writer.poll_write(cx, whole.filled())
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn all_arrives_in_order_small_or_not() {
        for size in [0, 1, 700, SMALL / 3, SMALL, 3 * SMALL] {
            let parts: Vec<Vec<u8>> = (1..4).map(|n| vec![n; size]).collect();
            let pieces: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
            for pieces in [&pieces[..], &pieces[..1], &[]] {
                let mut written = Vec::new();
                let done = poll_write(Pin::new(&mut written), &mut Context::from_waker(Waker::noop()), pieces);
                let wanted: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
                assert!(matches!(done, Poll::Ready(Ok(n)) if n == wanted.len()), "{done:?}");
                assert_eq!(written, wanted);
            }
        }
    }
}
