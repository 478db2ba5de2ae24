//! Event streams, event by event, and cut into pieces on the wire as a test likes.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde_json::Value;

use super::play::{Gate, Play, Step};
use super::wire;

/// A 200 answer of `text/event-stream`, in HTTP chunks. Without [`Sse::truncate`], [`Sse::reset`] or [`Sse::hang`] it ends
/// as a clean HTTP message; `data: [DONE]` is sent only by [`Sse::done`].
#[derive(Clone, Debug, Default)]
pub struct Sse {
    parts: Vec<Part>,
    torn: Option<usize>,
    glued: bool,
    crlf: bool,
}

#[derive(Clone, Debug)]
enum Part {
    Bytes(Bytes),
    Forever(Bytes, Duration, u64),
    Other(Step),
}

impl Sse {
    pub fn new() -> Self {
        Self::default()
    }

    fn push(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// `data: {…}` and the empty line.
    #[must_use]
    pub fn event(self, event: &Value) -> Self {
        self.data(&event.to_string())
    }

    /// `data: …` and the empty line; one `data:` line for each line of the text.
    #[must_use]
    pub fn data(self, data: &str) -> Self {
        let lines: String = data.split('\n').map(|line| format!("data: {line}\n")).collect();
        self.raw(lines + "\n")
    }

    /// `event: …` with its data.
    #[must_use]
    pub fn named(self, name: &str, data: &str) -> Self {
        self.raw(format!("event: {name}\ndata: {data}\n\n"))
    }

    /// `: …`, as engines send to keep connections alive.
    #[must_use]
    pub fn comment(self, text: &str) -> Self {
        self.raw(format!(": {text}\n\n"))
    }

    /// Any bytes.
    #[must_use]
    pub fn raw(self, bytes: impl Into<Bytes>) -> Self {
        self.push(Part::Bytes(bytes.into()))
    }

    /// `data: [DONE]`.
    #[must_use]
    pub fn done(self) -> Self {
        self.data("[DONE]")
    }

    /// Silence.
    #[must_use]
    pub fn wait(self, pause: Duration) -> Self {
        self.push(Part::Other(Step::Wait(pause)))
    }

    /// Silence until the test opens the gate.
    #[must_use]
    pub fn gate(self, gate: &Gate) -> Self {
        self.push(Part::Other(Step::Gate(gate.clone())))
    }

    /// The same event again and again, until the peer leaves.
    #[must_use]
    pub fn forever(self, event: &Value, every: Duration) -> Self {
        self.times(event, every, u64::MAX)
    }

    /// The same event this many times.
    #[must_use]
    pub fn times(self, event: &Value, every: Duration, times: u64) -> Self {
        self.push(Part::Forever(format!("data: {event}\n\n").into(), every, times))
    }

    /// Closes the connection in the middle of the HTTP message.
    #[must_use]
    pub fn truncate(self) -> Self {
        self.push(Part::Other(Step::Close))
    }

    /// Resets the connection.
    #[must_use]
    pub fn reset(self) -> Self {
        self.push(Part::Other(Step::Reset))
    }

    /// Says nothing more and keeps the connection.
    #[must_use]
    pub fn hang(self) -> Self {
        self.push(Part::Other(Step::Hang))
    }

    /// Cuts everything into HTTP chunks of so many bytes, each written by itself: through events, lines and characters.
    #[must_use]
    pub fn torn(mut self, bytes: usize) -> Self {
        self.torn = Some(bytes.max(1));
        self
    }

    /// Sends neighbouring events in one HTTP chunk.
    #[must_use]
    pub fn glued(mut self) -> Self {
        self.glued = true;
        self
    }

    /// Ends lines with CR LF.
    #[must_use]
    pub fn crlf(mut self) -> Self {
        self.crlf = true;
        self
    }

    pub(super) fn play(&self) -> Play {
        let head = wire::head(
            200,
            &[
                ("content-type", "text/event-stream; charset=utf-8"),
                ("cache-control", "no-cache"),
                ("transfer-encoding", "chunked"),
            ],
        );
        let mut steps = vec![Step::Send(head)];
        let mut held = BytesMut::new();
        for part in &self.parts {
            match part {
                Part::Bytes(bytes) => {
                    held.extend_from_slice(&self.lines(bytes));
                    if self.torn.is_none() && !self.glued {
                        self.flush(&mut held, &mut steps);
                    }
                }
                Part::Forever(event, every, times) => {
                    self.flush(&mut held, &mut steps);
                    steps.push(Step::Repeat { bytes: wire::chunk(&self.lines(event)), every: *every, times: *times });
                }
                Part::Other(step) => {
                    self.flush(&mut held, &mut steps);
                    steps.push(step.clone());
                }
            }
        }
        self.flush(&mut held, &mut steps);
        steps.push(Step::Send(wire::LAST_CHUNK));
        Play { steps, reusable: true }
    }

    fn lines(&self, bytes: &Bytes) -> Bytes {
        if !self.crlf {
            return bytes.clone();
        }
        let mut lines = Vec::with_capacity(bytes.len() + 8);
        for byte in bytes {
            if *byte == b'\n' {
                lines.push(b'\r');
            }
            lines.push(*byte);
        }
        lines.into()
    }

    fn flush(&self, held: &mut BytesMut, steps: &mut Vec<Step>) {
        if held.is_empty() {
            return;
        }
        let bytes = held.split();
        match self.torn {
            Some(size) => steps.extend(bytes.chunks(size).map(|piece| Step::Send(wire::chunk(piece)))),
            None => steps.push(Step::Send(wire::chunk(&bytes))),
        }
    }
}
