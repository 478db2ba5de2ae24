//! Scripts as steps on a socket, played until they end or the peer goes away.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::calls::State;

/// What a script does on the socket.
#[derive(Clone, Debug)]
pub enum Step {
    /// Writes these bytes at once.
    Send(Bytes),
    /// Says nothing for a while.
    Wait(Duration),
    /// Says nothing until the test opens the gate.
    Gate(Gate),
    /// Writes the same bytes again and again; `u64::MAX` times is for ever, until the peer leaves.
    Repeat { bytes: Bytes, every: Duration, times: u64 },
    /// Breaks the connection with a TCP reset.
    Reset,
    /// Closes the connection in order, whatever was promised.
    Close,
    /// Holds the connection open and says nothing more.
    Hang,
}

/// Holds scripts until a test says go: no test needs to guess a delay.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets all waiting scripts, and all that come later, go on.
    pub fn open(&self) {
        self.0.close();
    }

    /// Lets this many scripts go on, the rest still wait.
    pub fn admit(&self, count: usize) {
        self.0.add_permits(count);
    }

    async fn pass(&self) {
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}

/// A script made ready for one request.
pub(super) struct Play {
    pub(super) steps: Vec<Step>,
    /// The answer says where it ends, so the connection can serve another request.
    pub(super) reusable: bool,
}

/// How a play ended, and whether the connection lives on. `last` is called before the last piece is written.
pub(super) async fn perform(
    socket: &mut TcpStream,
    heard: &mut BytesMut,
    play: Play,
    last: impl Fn(),
) -> (State, bool) {
    let (mut from, mut to) = socket.split();
    let outcome = tokio::select! {
        outcome = run(&mut to, &play.steps, last) => outcome,
        () = super::wire::gone(&mut from, heard) => Outcome::Left,
    };
    match outcome {
        Outcome::Played => (State::Finished, play.reusable),
        Outcome::Left => (State::Aborted, false),
        Outcome::Closed => (State::Died, false),
        Outcome::Reset => {
            let _ = socket.set_zero_linger();
            (State::Died, false)
        }
    }
}

enum Outcome {
    Played,
    Left,
    Closed,
    Reset,
}

async fn run(socket: &mut (impl AsyncWrite + Unpin), steps: &[Step], last: impl Fn()) -> Outcome {
    for (place, step) in steps.iter().enumerate() {
        if place + 1 == steps.len() && matches!(step, Step::Send(_)) {
            last();
        }
        match step {
            Step::Send(bytes) => {
                if socket.write_all(bytes).await.is_err() {
                    return Outcome::Left;
                }
            }
            Step::Wait(pause) => tokio::time::sleep(*pause).await,
            Step::Gate(gate) => gate.pass().await,
            Step::Repeat { bytes, every, times } => {
                let mut left = *times;
                while left > 0 {
                    if socket.write_all(bytes).await.is_err() {
                        return Outcome::Left;
                    }
                    if !every.is_zero() {
                        tokio::time::sleep(*every).await;
                    }
                    left -= 1;
                }
            }
            Step::Reset => return Outcome::Reset,
            Step::Close => return Outcome::Closed,
            Step::Hang => std::future::pending().await,
        }
    }
    Outcome::Played
}
