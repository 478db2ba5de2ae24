//! What a test can have the engine answer.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::calls::Call;
use super::chat::Chat;
use super::play::{Gate, Play, Step};
use super::sse::Sse;
use super::vectors::{Embeddings, Rerank};
use super::wire;

/// One answer.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A well-formed chat (or legacy completion), streamed or not as the request asks.
    Chat(Box<Chat>),
    /// Vectors for the request's `input`.
    Embeddings(Embeddings),
    /// Scores for the request's documents.
    Rerank(Rerank),
    /// An event stream event by event, whatever the request asks.
    Stream(Sse),
    /// A whole answer with any status and body.
    Whole { status: u16, headers: Vec<(String, String)>, body: Bytes },
    /// Bytes on the socket; the connection is closed at their end.
    Raw(Vec<Step>),
    /// The same, later: a slow first byte.
    After(Step, Box<Reply>),
}

impl Reply {
    /// A JSON answer.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::whole(status, "application/json", body.to_string())
    }

    /// An answer of any kind.
    pub fn whole(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self::Whole { status, headers: vec![("content-type".into(), content_type.into())], body: body.into() }
    }

    /// Adds a header to an answer made by [`Reply::json`] or [`Reply::whole`].
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Whole { headers, .. } = &mut self {
            headers.push((name.into(), value.into()));
        }
        self
    }

    /// The same answer, its first byte after a pause.
    #[must_use]
    pub fn after(self, pause: Duration) -> Self {
        Self::After(Step::Wait(pause), Box::new(self))
    }

    /// The same answer, once the gate is open.
    #[must_use]
    pub fn behind(self, gate: &Gate) -> Self {
        Self::After(Step::Gate(gate.clone()), Box::new(self))
    }

    pub(super) fn play(&self, call: &Call) -> Play {
        match self {
            Self::Chat(chat) => chat.play(call),
            Self::Embeddings(embeddings) => embeddings.reply(call).play(call),
            Self::Rerank(rerank) => rerank.reply(call).play(call),
            Self::Stream(sse) => sse.play(),
            Self::Raw(steps) => {
                let ends = steps.iter().any(|step| matches!(step, Step::Reset | Step::Close | Step::Hang));
                let close = (!ends).then_some(Step::Close);
                Play { steps: steps.iter().cloned().chain(close).collect(), reusable: false }
            }
            Self::Whole { status, headers, body } => {
                let length = body.len().to_string();
                let headers: Vec<(&str, &str)> = headers
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .chain([("content-length", length.as_str())])
                    .collect();
                Play { steps: vec![Step::Send(join(&wire::head(*status, &headers), body))], reusable: true }
            }
            Self::After(step, reply) => {
                let mut play = reply.play(call);
                play.steps.insert(0, step.clone());
                play
            }
        }
    }
}

fn join(head: &[u8], body: &[u8]) -> Bytes {
    [head, body].concat().into()
}

impl From<Chat> for Reply {
    fn from(chat: Chat) -> Self {
        Self::Chat(Box::new(chat))
    }
}

impl From<Embeddings> for Reply {
    fn from(embeddings: Embeddings) -> Self {
        Self::Embeddings(embeddings)
    }
}

impl From<Rerank> for Reply {
    fn from(rerank: Rerank) -> Self {
        Self::Rerank(rerank)
    }
}

impl From<Sse> for Reply {
    fn from(stream: Sse) -> Self {
        Self::Stream(stream)
    }
}
