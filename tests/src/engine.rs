//! A scripted, counted inference engine: what stands behind the gateway in every HTTP test.
//!
//! It speaks HTTP/1.1 from bare sockets, so that a test can have any byte on the wire (a reset in the middle of a chunk,
//! headers without end) and can read back exactly what it was sent. What it answers is decided, in this order, by:
//! replies queued with [`FakeEngine::next`], a script for the path, a script for the model named in the body, a script for
//! everything, and last the model's own name (`fake/tools`, `fake/cut`…: see [`faults::named`]).
//!
//! ```ignore
//! let engine = FakeEngine::start().await;            // engine.url() goes into the deployment's `url`
//! engine.next(Chat::text("Bonjour").delay(ms(5)));   // one answer, then back to the script
//! …
//! assert!(engine.until(|c| c.streams.aborted == 1).await, "{:?}", engine.counts());
//! assert_eq!(engine.last().json()["model"], "fake/plain");
//! ```

mod calls;
mod chat;
pub mod faults;
mod play;
mod reply;
mod rest;
mod schema;
mod serve;
mod sse;
mod vectors;
mod wire;

pub use calls::{Call, Counts, State, Tally};
pub use chat::{Chat, Ending, Reasoning, Split, Usage};
pub use play::{Gate, Step};
pub use reply::Reply;
pub use sse::Sse;
pub use vectors::{Embeddings, Rerank, RerankStyle, vector};

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serve::Shared;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long [`FakeEngine::until`] waits before it gives up.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Milliseconds, for scripts that read well.
pub const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// One running engine. Dropping it closes its port and every connection.
pub struct FakeEngine {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    running: Mutex<CancellationToken>,
}

impl FakeEngine {
    /// Starts on a free port of 127.0.0.1. Panics when the machine gives none: no test means anything without it.
    #[expect(clippy::panic, reason = "only tests call it, and none can go on")]
    pub async fn start() -> Self {
        match Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await {
            Ok(engine) => engine,
            Err(error) => panic!("the fake engine found no port: {error}"),
        }
    }

    /// Starts on a given address.
    pub async fn start_at(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let engine = Self {
            address: listener.local_addr()?,
            shared: Arc::new(Shared::default()),
            tasks: TaskTracker::new(),
            running: Mutex::new(CancellationToken::new()),
        };
        engine.serve(listener);
        Ok(engine)
    }

    fn serve(&self, listener: TcpListener) {
        let running = self.token().clone();
        self.tasks.spawn(serve::accept(listener, self.shared.clone(), self.tasks.clone(), running));
    }

    fn token(&self) -> MutexGuard<'_, CancellationToken> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `http://127.0.0.1:PORT/v1`: the `url` of a deployment.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// `http://127.0.0.1:PORT`: the server's root.
    pub fn root(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    // What it answers.

    /// Answers every POST so, from now on, whatever the model.
    pub fn script(&self, reply: impl Into<Reply>) {
        self.shared.scripts().all = Some(reply.into());
    }

    /// Answers the next POST so, once. Calls queue up, first in, first out.
    pub fn next(&self, reply: impl Into<Reply>) {
        self.shared.scripts().queue.push_back(reply.into());
    }

    /// Answers every POST that names this model so.
    pub fn script_model(&self, model: &str, reply: impl Into<Reply>) {
        self.shared.scripts().models.insert(model.to_owned(), reply.into());
    }

    /// Answers every request, GET too, to this path so (`/health`, `/v1/models`).
    pub fn script_path(&self, path: &str, reply: impl Into<Reply>) {
        self.shared.scripts().paths.insert(path.to_owned(), reply.into());
    }

    /// Forgets every script and queued reply: back to behaving by model name.
    pub fn unscript(&self) {
        *self.shared.scripts() = serve::Scripts::default();
    }

    /// Health probes (`/health`, `/v1/health`, `/v1/models`, `/api/version`) answer 200, or 503 from now on.
    /// The other calls are not touched: script them.
    pub fn set_healthy(&self, healthy: bool) {
        self.shared.settings().healthy = healthy;
    }

    /// The models that `/v1/models` lists.
    pub fn set_models(&self, ids: &[&str]) {
        self.shared.settings().models = ids.iter().map(|id| (*id).to_owned()).collect();
    }

    /// Refuses with 401, as vLLM does, what does not carry this bearer key. Probes of `/health` stay open.
    pub fn require_key(&self, key: &str) {
        self.shared.settings().key = Some(key.to_owned());
    }

    /// Closes the port and cuts every connection, streams included: what a killed engine looks like.
    pub async fn stop(&self) {
        self.token().cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Opens the same port again after [`FakeEngine::stop`]. Counts and scripts are kept.
    pub async fn restart(&self) -> std::io::Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        *self.token() = CancellationToken::new();
        self.tasks.reopen();
        self.serve(listener);
        Ok(())
    }

    // What it saw.

    /// All counts, as of now.
    pub fn counts(&self) -> Counts {
        self.shared.ledger.counts()
    }

    /// Requests received so far on this path (`/v1/chat/completions`), any method.
    pub fn requests_to(&self, path: &str) -> u64 {
        self.counts().paths.get(path).copied().unwrap_or(0)
    }

    /// POST requests received so far: the calls that cost something; probes are not among them.
    pub fn posts(&self) -> u64 {
        self.counts().posts
    }

    /// The last POST requests (at most [`calls::KEPT`]), oldest first.
    pub fn calls(&self) -> Vec<Arc<Call>> {
        self.shared.ledger.calls()
    }

    /// The last POST request. Panics when there was none.
    #[expect(clippy::panic, reason = "only tests call it, to look at a call they made")]
    pub fn last(&self) -> Arc<Call> {
        match self.shared.ledger.last() {
            Some(call) => call,
            None => panic!("the engine was not called"),
        }
    }

    /// Waits until the counts are as wanted; false after [`PATIENCE`].
    pub async fn until(&self, wanted: impl FnMut(&Counts) -> bool) -> bool {
        self.until_within(PATIENCE, wanted).await
    }

    /// Waits until the counts are as wanted; false after `patience`.
    pub async fn until_within(&self, patience: Duration, wanted: impl FnMut(&Counts) -> bool) -> bool {
        let mut watch = self.shared.ledger.watch();
        tokio::time::timeout(patience, watch.wait_for(wanted)).await.is_ok_and(|seen| seen.is_ok())
    }

    /// Counts and kept calls start over from zero; what is open now stays open.
    pub fn forget(&self) {
        self.shared.ledger.forget();
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.token().cancel();
        self.tasks.close();
    }
}

#[cfg(test)]
mod tests;
