//! Thousands of streams that say little: what does an open stream weigh, and does a hang-up reach the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{Failures, Pace, Target, read, refused, text};
use crate::process::Tree;
use crate::wire::Connection;

/// Starts a second: quick, yet no storm that would measure the accept queue.
const STARTS_PER_SECOND: f64 = 2_500.0;
/// Long enough that no stream ends by itself, and that each says something while it is watched.
const PACE: Pace = Pace { chunks: 1_000, gap_ms: 5_000 };
/// How long all streams stay open before the reading.
const HOLD: Duration = Duration::from_secs(6);
/// Small: ten thousand clients live in this process.
const BUFFER: usize = 512;

/// What one run showed.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Idle {
    pub streams: usize,
    pub failures: Failures,
    /// Resident MiB before the first stream.
    pub before_mib: f64,
    /// Resident MiB with all streams open and each having said something.
    pub open_mib: f64,
    /// The same a few seconds after all clients left.
    pub after_mib: f64,
    /// Seconds from the hang-up of all clients to the end of the engine's last stream; `None` after 10 s.
    pub released_s: Option<f64>,
}

/// Opens `streams`, reads the memory, hangs up. `engine` (`host:port`) is asked how many streams it still serves.
pub async fn run(target: &Target, engine: &str, streams: usize) -> Idle {
    let tree = Tree::of(target.pid);
    let before_mib = tree.memory_mib();
    let open = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for index in 0..streams {
        let wait = Duration::from_secs_f64(index as f64 / STARTS_PER_SECOND);
        tasks.spawn(client(target.clone(), Arc::clone(&open), wait));
    }
    let patience = Instant::now() + Duration::from_secs_f64(streams as f64 / STARTS_PER_SECOND + 30.0);
    let mut failures = Failures::default();
    while open.load(Relaxed) + (failures.count as usize) < streams && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(50)).await;
        gather(&mut tasks, &mut failures);
    }
    tokio::time::sleep(HOLD).await;
    gather(&mut tasks, &mut failures);
    let open_mib = tree.memory_mib();
    let silent = streams.saturating_sub(open.load(Relaxed) + failures.count as usize);
    for _ in 0..silent {
        failures.add("a stream that never began");
    }

    let left = Instant::now();
    tasks.shutdown().await;
    let mut released_s = None;
    while released_s.is_none() && left.elapsed() < Duration::from_secs(10) {
        if open_streams(engine).await == Ok(0) {
            released_s = Some(left.elapsed().as_secs_f64());
        } else {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    Idle { streams, failures, before_mib, open_mib, after_mib: tree.memory_mib(), released_s }
}

/// A client only ends when something went wrong.
fn gather(tasks: &mut JoinSet<String>, failures: &mut Failures) {
    while let Some(ended) = tasks.try_join_next() {
        failures.add(ended.unwrap_or_else(text));
    }
}

async fn client(target: Target, open: Arc<AtomicUsize>, wait: Duration) -> String {
    tokio::time::sleep(wait).await;
    let mut begun = false;
    let outcome = follow(&target, &open, &mut begun).await;
    if begun {
        open.fetch_sub(1, Relaxed);
    }
    outcome.err().unwrap_or_else(|| "a stream that ended by itself".to_owned())
}

async fn follow(target: &Target, open: &AtomicUsize, begun: &mut bool) -> Result<(), String> {
    let mut connection = Connection::open(&target.address, BUFFER).await.map_err(text)?;
    let head = connection.exchange(&target.chat(Some(PACE))).await.map_err(text)?;
    if head.status != 200 {
        let body = read(&mut connection).await?;
        return refused(head, &body);
    }
    while connection.piece().await.map_err(text)?.is_some() {
        if !*begun {
            *begun = true;
            open.fetch_add(1, Relaxed);
        }
    }
    Ok(())
}

async fn open_streams(engine: &str) -> Result<u64, String> {
    let mut connection = Connection::open(engine, BUFFER).await.map_err(text)?;
    let request = format!("GET /counters HTTP/1.1\r\nHost: {engine}\r\n\r\n");
    connection.exchange(request.as_bytes()).await.map_err(text)?;
    let body = read(&mut connection).await?;
    let counters: serde_json::Value = serde_json::from_slice(&body).map_err(text)?;
    counters["streams_open"].as_u64().ok_or_else(|| "no counters".to_owned())
}
