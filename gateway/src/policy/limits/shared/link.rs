//! The connection to Redis: known to be there or not, so that no request waits to find out.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, RedisResult, Script, ServerErrorKind,
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::call::{Calls, Frame};

/// How often a replica tells the others that it lives, and for how long they believe it.
const BEAT: Duration = Duration::from_secs(1);
const BELIEVED: Duration = Duration::from_secs(10);
/// What connecting and work behind the scenes may take.
const PATIENCE: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(100);

/// The server's clock, days and months, for a call made now.
pub type Framer = Box<dyn Fn(i64) -> Frame + Send + Sync>;

pub struct Link {
    client: Client,
    script: Script,
    pub calls: Calls,
    connection: ArcSwapOption<MultiplexedConnection>,
    up: watch::Sender<bool>,
    doubt: Notify,
    /// By how much the server's clock is ahead of ours, in milliseconds.
    ahead: AtomicI64,
    replicas: AtomicU32,
    /// What one request may wait for an answer.
    timeout: Duration,
    replica: u64,
    frame: Framer,
}

/// Why a call has no answer.
#[derive(Debug)]
pub enum Failure {
    /// Redis is known to be gone: nothing was sent.
    Away,
    /// No answer. It may have done as asked.
    Gone,
    /// Redis answers, and refused.
    Refused(RedisError),
}

impl Link {
    pub fn new(url: &str, timeout: Duration, replica: u64, frame: Framer) -> RedisResult<Link> {
        let script = Script::new(include_str!("script.lua"));
        Ok(Link {
            client: Client::open(url)?,
            calls: Calls::new(&script),
            script,
            connection: ArcSwapOption::empty(),
            up: watch::Sender::new(false),
            doubt: Notify::new(),
            ahead: AtomicI64::new(0),
            replicas: AtomicU32::new(1),
            timeout,
            replica,
            frame,
        })
    }

    pub fn frame(&self) -> Frame {
        (self.frame)(self.ahead.load(Ordering::Relaxed))
    }

    pub fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    pub fn watch(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }

    /// Replicas that lived when Redis last answered, this one among them.
    pub fn replicas(&self) -> u32 {
        self.replicas.load(Ordering::Relaxed).max(1)
    }

    /// One round trip, for a request that waits. `build` is called again if our calendar and the server's clock differ.
    pub async fn call(&self, build: impl Fn(&Frame) -> Cmd) -> Result<Vec<i64>, Failure> {
        let answer = self.ask(&build(&self.frame()), self.timeout).await?;
        match answer.first() {
            Some(-1) => self.ask(&build(&self.frame()), self.timeout).await,
            _ => Ok(answer),
        }
    }

    /// Calls that nobody waits for, in one round trip.
    pub async fn send(&self, calls: &[Cmd]) -> Result<Vec<Vec<i64>>, Failure> {
        let mut pipeline = Pipeline::with_capacity(calls.len());
        for call in calls {
            pipeline.add_command(call.clone());
        }
        let connection = self.connection.load_full().ok_or(Failure::Away)?;
        let mut own = MultiplexedConnection::clone(&connection);
        own.set_response_timeout(PATIENCE);
        let answer: RedisResult<Vec<Vec<i64>>> = pipeline.query_async(&mut own).await;
        let answers = self.judge(&connection, answer)?;
        answers.iter().for_each(|answer| self.learn(answer));
        Ok(answers)
    }

    /// One call that nobody waits for.
    pub async fn send_one(&self, call: &Cmd) -> Result<Vec<i64>, Failure> {
        self.ask(call, PATIENCE).await
    }

    async fn ask(&self, call: &Cmd, patience: Duration) -> Result<Vec<i64>, Failure> {
        let connection = self.connection.load_full().ok_or(Failure::Away)?;
        let mut own = MultiplexedConnection::clone(&connection);
        own.set_response_timeout(patience);
        let asked = async {
            match call.query_async(&mut own).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    self.script.load_async(&mut own).await?;
                    call.query_async(&mut own).await
                }
                answer => answer,
            }
        };
        let Ok(answer) = tokio::time::timeout(patience, asked).await else {
            self.doubt.notify_one();
            return Err(Failure::Gone);
        };
        let answer: Vec<i64> = self.judge(&connection, answer)?;
        self.learn(&answer);
        Ok(answer)
    }

    fn judge<T>(&self, connection: &Arc<MultiplexedConnection>, answer: RedisResult<T>) -> Result<T, Failure> {
        answer.map_err(|error| {
            // One slow answer is no outage: the next beat tells.
            if error.is_timeout() {
                self.doubt.notify_one();
                Failure::Gone
            } else if error.is_io_error() || error.is_unrecoverable_error() {
                self.lost(connection, &error.to_string());
                Failure::Gone
            } else {
                self.doubt.notify_one();
                Failure::Refused(error)
            }
        })
    }

    fn learn(&self, answer: &[i64]) {
        if let [_, now, ..] = answer {
            let frame = self.frame();
            if frame.time == 0 {
                self.ahead.store(now.saturating_sub(jiff::Timestamp::now().as_millisecond()), Ordering::Relaxed);
            }
        }
    }

    fn lost(&self, connection: &Arc<MultiplexedConnection>, error: &str) {
        let present = self.connection.load();
        if present.as_ref().is_some_and(|present| Arc::ptr_eq(present, connection)) {
            self.connection.store(None);
            if self.up.send_replace(false) {
                tracing::warn!(error, "the store of limits is gone");
            }
            self.doubt.notify_one();
        }
    }

    /// Connects, and connects again, for as long as the gateway runs.
    pub async fn keep(&self, stop: CancellationToken) {
        let mut wait = RETRY;
        loop {
            if self.is_up() {
                wait = RETRY;
                tokio::select! {
                    () = tokio::time::sleep(BEAT) => {}
                    () = self.doubt.notified() => {}
                    () = stop.cancelled() => return,
                }
                if self.is_up() {
                    self.beat().await;
                }
            } else if !self.connect().await {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = stop.cancelled() => return,
                }
                wait = (wait * 2).min(PATIENCE);
            }
        }
    }

    /// Tries once. Tells whether Redis is there, with the script in it.
    pub async fn connect(&self) -> bool {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
        let connected = async {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            self.script.load_async(&mut connection).await?;
            let beat = self.calls.beat(&self.beating(), self.replica);
            let answer: Vec<i64> = beat.query_async(&mut connection).await?;
            RedisResult::Ok((connection, answer))
        };
        match tokio::time::timeout(2 * PATIENCE, connected).await {
            Ok(Ok((connection, answer))) => {
                self.learn(&answer);
                self.count(&answer);
                self.connection.store(Some(Arc::new(connection)));
                self.up.send_replace(true);
                tracing::info!("the store of limits answers");
                true
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "the store of limits does not answer");
                false
            }
            Err(_) => false,
        }
    }

    fn beating(&self) -> Frame {
        Frame { time: 0, lease: BELIEVED, ..self.frame() }
    }

    async fn beat(&self) {
        let Some(connection) = self.connection.load_full() else { return };
        match self.ask(&self.calls.beat(&self.beating(), self.replica), 2 * self.timeout).await {
            Ok(answer) => self.count(&answer),
            Err(Failure::Refused(error)) => self.lost(&connection, &error.to_string()),
            Err(Failure::Gone | Failure::Away) => self.lost(&connection, "no answer in time"),
        }
    }

    fn count(&self, answer: &[i64]) {
        if let [replicas, ..] = answer {
            self.replicas.store(u32::try_from(*replicas).unwrap_or(1), Ordering::Relaxed);
        }
    }
}
