//! The engine's connections: one task each, one request after the other.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::calls::{Call, Ledger};
use super::play::Play;
use super::reply::Reply;
use super::{faults, play, rest, wire};

/// What the test told the engine to answer.
#[derive(Default)]
pub(super) struct Scripts {
    pub(super) queue: VecDeque<Reply>,
    pub(super) paths: HashMap<String, Reply>,
    pub(super) models: HashMap<String, Reply>,
    pub(super) all: Option<Reply>,
}

/// What the engine is.
pub(super) struct Settings {
    pub(super) healthy: bool,
    pub(super) models: Vec<String>,
    pub(super) key: Option<String>,
}

#[derive(Default)]
pub(super) struct Shared {
    pub(super) ledger: Ledger,
    scripts: Mutex<Scripts>,
    settings: Mutex<Settings>,
    connections: AtomicU64,
    requests: AtomicU64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { healthy: true, models: faults::MODELS.map(str::to_owned).to_vec(), key: None }
    }
}

impl Shared {
    pub(super) fn scripts(&self) -> MutexGuard<'_, Scripts> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, call: &Call) -> Play {
        if let Some(refusal) = rest::unauthorized(call, &self.settings()) {
            return refusal.play(call);
        }
        let mut scripts = self.scripts();
        let post = call.method == "POST";
        let queued = if post { scripts.queue.pop_front() } else { None };
        let model = call.model.as_deref().unwrap_or_default();
        let scripted = queued
            .or_else(|| scripts.paths.get(&call.path).cloned())
            .or_else(|| scripts.models.get(model).filter(|_| post).cloned())
            .or_else(|| scripts.all.clone().filter(|_| post));
        drop(scripts);
        match scripted {
            Some(reply) => reply.play(call),
            None if post => faults::by_request(call).play(call),
            None => rest::get(call, &self.settings()).play(call),
        }
    }
}

/// Accepts until the token is cancelled.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>, tasks: TaskTracker, running: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = running.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, _)) = accepted else { continue };
        let shared = shared.clone();
        let running = running.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = running.cancelled() => {}
                () = converse(socket, &shared) => {}
            }
        });
    }
}

async fn converse(mut socket: TcpStream, shared: &Shared) {
    let connection = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
    let _open = Open::new(&shared.ledger);
    let _ = socket.set_nodelay(true);
    let mut heard = BytesMut::new();
    loop {
        let request = match wire::read(&mut socket, &mut heard).await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(_) => return shared.ledger.broken(),
        };
        let id = shared.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let mut answering = shared.ledger.received(Call::new(id, connection, request));
        let play = shared.answer(&answering.call);
        let (state, again) = play::perform(&mut socket, &mut heard, play, || answering.last()).await;
        answering.state = state;
        drop(answering);
        if !again {
            return;
        }
    }
}

/// Counts a connection while it is open.
struct Open<'a>(&'a Ledger);

impl<'a> Open<'a> {
    fn new(ledger: &'a Ledger) -> Self {
        ledger.connected();
        Self(ledger)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}
