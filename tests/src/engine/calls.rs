//! What the engine received, and how each answer ended.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

/// Calls kept for inspection.
pub const KEPT: usize = 1000;

/// How an answer stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Still being answered.
    Open,
    /// Every byte was handed to the network.
    Finished,
    /// The caller went away first.
    Aborted,
    /// The script (or [`super::FakeEngine::stop`]) broke it off.
    Died,
}

/// One POST request, as received.
#[derive(Debug)]
pub struct Call {
    /// 1 for the first request of this engine.
    pub id: u64,
    /// 1 for the first connection of this engine.
    pub connection: u64,
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: Option<String>,
    /// Request line and headers, byte for byte, up to and with the empty line.
    pub head: Bytes,
    /// In order, names as they were spelled.
    pub headers: Vec<(String, String)>,
    /// Byte for byte, after removal of a chunked framing.
    pub body: Bytes,
    /// `model` of a JSON body.
    pub model: Option<String>,
    /// `stream: true` in a JSON body.
    pub streamed: bool,
    pub received: Instant,
    ended: OnceLock<(State, Instant)>,
}

impl Call {
    pub(super) fn new(id: u64, connection: u64, request: super::wire::Request) -> Self {
        let json: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        Self {
            id,
            connection,
            method: request.method,
            path: request.path,
            query: request.query,
            head: request.head,
            headers: request.headers,
            body: request.body,
            model: json["model"].as_str().map(str::to_owned),
            streamed: json["stream"] == true,
            received: Instant::now(),
            ended: OnceLock::new(),
        }
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text, for comparison byte for byte.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first header of that name, any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn state(&self) -> State {
        self.ended.get().map_or(State::Open, |(state, _)| *state)
    }

    /// From the request's last byte to the answer's end; none while open.
    pub fn lasted(&self) -> Option<Duration> {
        self.ended.get().map(|(_, at)| at.duration_since(self.received))
    }

    /// When the answer ended; none while open.
    pub fn ended(&self) -> Option<Instant> {
        self.ended.get().map(|(_, at)| *at)
    }
}

/// Answers of one kind, by how they stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    pub open: u64,
    pub finished: u64,
    pub aborted: u64,
    pub died: u64,
}

impl Tally {
    fn end(&mut self, state: State) {
        self.open = self.open.saturating_sub(1);
        match state {
            State::Open => self.open += 1,
            State::Finished => self.finished += 1,
            State::Aborted => self.aborted += 1,
            State::Died => self.died += 1,
        }
    }
}

/// All the engine counts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Accepted so far.
    pub connections: u64,
    pub connections_open: u64,
    /// Every complete request, probes included.
    pub requests: u64,
    /// Complete POST requests: the calls that cost something.
    pub posts: u64,
    /// Requests per path, query left out.
    pub paths: BTreeMap<String, u64>,
    /// Requests that broke off or were no HTTP.
    pub broken: u64,
    /// POST requests at work: none once its last piece is being written, for its caller may call again before the
    /// engine knows that it was.
    pub busy: u64,
    /// Most POST requests ever at work at once.
    pub peak: u64,
    /// Answers to POST requests with `stream: true`.
    pub streams: Tally,
    /// Answers to the other POST requests.
    pub answers: Tally,
}

pub(super) struct Ledger {
    counts: watch::Sender<Counts>,
    calls: Mutex<VecDeque<Arc<Call>>>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { counts: watch::Sender::new(Counts::default()), calls: Mutex::default() }
    }
}

impl Ledger {
    pub(super) fn counts(&self) -> Counts {
        self.counts.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Counts> {
        self.counts.subscribe()
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Arc<Call>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn calls(&self) -> Vec<Arc<Call>> {
        self.kept().iter().cloned().collect()
    }

    pub(super) fn last(&self) -> Option<Arc<Call>> {
        self.kept().back().cloned()
    }

    pub(super) fn forget(&self) {
        self.kept().clear();
        self.counts.send_modify(|counts| {
            let open = |tally: Tally| Tally { open: tally.open, ..Tally::default() };
            *counts = Counts {
                connections_open: counts.connections_open,
                streams: open(counts.streams),
                answers: open(counts.answers),
                ..Counts::default()
            };
        });
    }

    pub(super) fn connected(&self) {
        self.counts.send_modify(|counts| {
            counts.connections += 1;
            counts.connections_open += 1;
        });
    }

    pub(super) fn disconnected(&self) {
        self.counts.send_modify(|counts| counts.connections_open = counts.connections_open.saturating_sub(1));
    }

    pub(super) fn broken(&self) {
        self.counts.send_modify(|counts| counts.broken += 1);
    }

    pub(super) fn received(&self, call: Call) -> Answering<'_> {
        let call = Arc::new(call);
        let post = call.method == "POST";
        if post {
            let mut kept = self.kept();
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back(call.clone());
        }
        self.counts.send_modify(|counts| {
            counts.requests += 1;
            *counts.paths.entry(call.path.clone()).or_default() += 1;
            if post {
                counts.posts += 1;
                let tally = if call.streamed { &mut counts.streams } else { &mut counts.answers };
                tally.open += 1;
                counts.busy += 1;
                counts.peak = counts.peak.max(counts.busy);
            }
        });
        Answering { ledger: self, call, state: State::Died, last: AtomicBool::new(false) }
    }
}

/// An answer in the making; tallied when dropped, so a stopped engine's answers count as died.
pub(super) struct Answering<'a> {
    ledger: &'a Ledger,
    pub(super) call: Arc<Call>,
    pub(super) state: State,
    /// Its last piece is being written.
    last: AtomicBool,
}

impl Answering<'_> {
    /// To be called before the last piece is written.
    pub(super) fn last(&self) {
        if !self.last.swap(true, Ordering::Relaxed) && self.call.method == "POST" {
            self.ledger.counts.send_modify(|counts| counts.busy = counts.busy.saturating_sub(1));
        }
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.last();
        let _ = self.call.ended.set((self.state, Instant::now()));
        if self.call.method == "POST" {
            let streamed = self.call.streamed;
            let state = self.state;
            self.ledger
                .counts
                .send_modify(|counts| if streamed { counts.streams.end(state) } else { counts.answers.end(state) });
        }
    }
}
