//! The body of an answer: forwards what the engine says, watches it, and settles the turn when it ends.
//!
//! The slot, the turn and the engine's stream live in the body. A client that hangs up drops it, which closes the
//! connection to the engine, gives the slot back and records the departure with what was relayed.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, header};
use http_body::Frame;
use tokio::time::Sleep;

use crate::config::server::Language;
use crate::error::ApiError;
use crate::fleet::upstream::Answer;
use crate::fleet::{Opening, Slot};
use crate::openai::annex::Annex;
use crate::openai::rules::{Observed, Rules};
use crate::openai::stream::{self, Transcript};
use crate::openai::usage::Estimate;
use crate::recorder::{End, Text, Turn};

const KEEPALIVE: Bytes = Bytes::from_static(b": keepalive\n\n");

/// Settles a whole answer.
pub fn whole(mut turn: Turn, body: &Bytes, observed: Observed, estimate: &Estimate) {
    if let Some(content) = &mut turn.content {
        content.whole(body);
    }
    let end = ending(&observed, estimate, 200);
    turn.succeed(end);
}

/// The response of a streamed answer. Nothing on the way may buffer or compress it.
pub fn stream_response(relay: Relay) -> Response {
    let mut response = Response::new(Body::new(relay));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn ending(observed: &Observed, estimate: &Estimate, status: u16) -> End {
    End {
        status,
        error_code: None,
        finish_reason: observed.finish_reason.as_deref().map(Text::from),
        usage: observed.usage,
        estimate: estimate.usage(observed.text_bytes),
        text_bytes: observed.text_bytes,
    }
}

/// A streamed answer on its way.
#[derive(Debug)]
pub struct Relay {
    transcript: Transcript,
    estimate: Estimate,
    /// What is ready for the client; empty but for a moment.
    ready: VecDeque<Bytes>,
    /// `None` once the engine has ended.
    engine: Option<Engine>,
    turn: Option<Turn>,
    /// What is to be put into the answer, for a chat that cites.
    annex: Option<Box<Annex>>,
    timer: Pin<Box<Sleep>>,
    last_heard: Instant,
    last_sent: Instant,
    /// Of the words for the client, should the engine die.
    language: Language,
    keepalive: Duration,
    silence: Duration,
}

/// The engine's side, given back as soon as it has said all.
#[derive(Debug)]
struct Engine {
    stream: Answer,
    slot: Slot,
}

impl Relay {
    pub fn new(
        turn: Turn,
        slot: Slot,
        opening: Opening,
        rules: Rules,
        keepalive: Duration,
        language: Language,
    ) -> Relay {
        let silence = slot.deployment.chunk_timeout;
        let now = Instant::now();
        let mut relay = Relay {
            estimate: rules.estimate,
            transcript: Transcript::new(rules),
            ready: VecDeque::new(),
            engine: Some(Engine { stream: opening.rest, slot }),
            turn: Some(turn),
            annex: None,
            timer: Box::pin(tokio::time::sleep(keepalive.min(silence))),
            last_heard: now,
            last_sent: now,
            language,
            keepalive,
            silence,
        };
        relay.heard(opening.first);
        relay
    }

    /// Puts something of ours into the answer.
    pub fn with(mut self, annex: Option<Box<Annex>>) -> Relay {
        self.annex = annex;
        self
    }

    /// Takes one piece of what the engine says.
    fn heard(&mut self, piece: Bytes) {
        self.last_heard = Instant::now();
        let before = self.ready.len();
        let flow = self.transcript.push(piece, &mut self.ready);
        self.note(before);
        if self.transcript.observed().saw_content
            && let Some(turn) = &mut self.turn
        {
            turn.first_token();
        }
        match flow {
            stream::Flow::Open => {
                if let Some(engine) = &mut self.engine {
                    engine.slot.relayed(self.estimate.usage(self.transcript.observed().text_bytes).output);
                }
            }
            stream::Flow::Done | stream::Flow::Cut(_) => self.close(stream::End::Eof),
        }
    }

    /// Notes what is new for the client, where its content is kept.
    fn note(&mut self, before: usize) {
        if let Some(content) = self.turn.as_mut().and_then(|turn| turn.content.as_mut()) {
            self.ready.range(before..).for_each(|piece| content.piece(piece));
        }
    }

    /// The engine has ended, well or not.
    fn close(&mut self, end: stream::End) {
        let before = self.ready.len();
        let outcome = self.transcript.finish(end, &mut self.ready);
        self.note(before);
        self.release();
        let Some(turn) = self.turn.take() else { return };
        let end = ending(self.transcript.observed(), &self.estimate, 200);
        match outcome {
            stream::Outcome::Complete => turn.succeed(end),
            stream::Outcome::Cut(_) => {
                if let Some(said) = &self.transcript.observed().engine_error {
                    tracing::warn!(id = turn.id(), %said, "the engine cut a stream with an error");
                }
                self.cut(turn, end, &ApiError::upstream());
            }
        }
    }

    /// Leaves the engine: its slot counts what it said, and goes to the next.
    fn release(&mut self) {
        if let Some(mut engine) = self.engine.take() {
            engine.slot.settle(&self.transcript.observed().usage_or(&self.estimate).0);
        }
    }

    /// Tells the client that the answer is not whole: an error event, and no `[DONE]`.
    fn cut(&mut self, turn: Turn, end: End, error: &ApiError) {
        let body = error.body(self.language);
        self.ready.push_back(Bytes::from(format!("data: {body}\n\n")));
        turn.cut(error.reason(), end);
    }

    /// The engine says nothing: keep the client's connection alive, or give up.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.timer.as_mut().poll(cx));
        let now = Instant::now();
        let silent = now.saturating_duration_since(self.last_heard);
        if silent >= self.silence {
            tracing::warn!(id = self.turn.as_ref().map_or("", Turn::id), "the engine went silent in a stream");
            let outcome = self.transcript.finish(stream::End::Failed, &mut self.ready);
            self.release();
            if let (Some(turn), stream::Outcome::Cut(_)) = (self.turn.take(), outcome) {
                let end = ending(self.transcript.observed(), &self.estimate, 200);
                self.cut(turn, end, &ApiError::upstream_timeout());
            }
        } else if now.saturating_duration_since(self.last_heard.max(self.last_sent)) >= self.keepalive {
            self.ready.push_back(KEEPALIVE);
            self.last_sent = now;
        }
        // The timer is set again only when it fires: pieces come thousands of times more often.
        let wait = self
            .keepalive
            .saturating_sub(now.saturating_duration_since(self.last_heard.max(self.last_sent)))
            .min(self.silence.saturating_sub(silent))
            .max(Duration::from_millis(1));
        self.timer.as_mut().reset(tokio::time::Instant::now() + wait);
        Poll::Ready(())
    }
}

impl http_body::Body for Relay {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let relay = &mut *self;
        loop {
            if let Some(piece) = relay.ready.pop_front() {
                let piece = match &mut relay.annex {
                    None => piece,
                    Some(annex) => annex.stream(piece),
                };
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            let Some(engine) = &mut relay.engine else { return Poll::Ready(None) };
            match Pin::new(&mut engine.stream).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data() {
                        relay.heard(piece);
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "the engine's stream broke");
                    relay.close(stream::End::Failed);
                }
                Poll::Ready(None) => relay.close(stream::End::Eof),
                Poll::Pending => ready!(relay.poll_silence(cx)),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.engine.is_none() && self.ready.is_empty()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The connection to the engine closes first, so that it stops writing for nobody.
        self.release();
        if let Some(turn) = self.turn.take() {
            let end = ending(self.transcript.observed(), &self.estimate, 200);
            turn.abandon(end);
        }
    }
}
