//! Many streams at once: are they whole, how late is each chunk, what does a chunk cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{BUFFER, Failures, Pace, Target, read, refused, text};
use crate::events::Events;
use crate::process::Tree;
use crate::stats::{Sample, Spread};
use crate::wire::Connection;

/// Starts are spread over this time, so that engine timers are not all due at once.
const RAMP: Duration = Duration::from_secs(1);

/// What one run showed.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Stream {
    pub streams: usize,
    /// Streams that arrived complete and in order.
    pub whole: usize,
    pub failures: Failures,
    pub chunks: usize,
    /// Microseconds from sending to the first chunk with text; the engine's own gap included.
    pub first_chunk_us: Spread,
    /// Microseconds from the engine's stamp to the arrival of each chunk.
    pub lag_us: Spread,
    pub cpu_us_per_chunk: f64,
}

/// Runs `streams` at once, each paced as told, for at most the streams' own length and 30 s more.
pub async fn run(target: &Target, streams: usize, pace: Pace) -> Stream {
    let start = Arc::new(Barrier::new(streams + 1));
    let mut tasks = JoinSet::new();
    for index in 0..streams {
        let wait = RAMP.mul_f64(index as f64 / streams as f64);
        tasks.spawn(client(target.clone(), pace, Arc::clone(&start), wait));
    }
    start.wait().await;
    let tree = Tree::of(target.pid);
    let cpu = tree.cpu_seconds();
    let patience = RAMP + Duration::from_millis(pace.chunks * pace.gap_ms) + Duration::from_secs(30);
    let patience = tokio::time::sleep(patience);
    tokio::pin!(patience);

    let (mut first, mut lag, mut failures) = (Sample::default(), Sample::default(), Failures::default());
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(Ok(seen)) => {
                    first.merge(seen.first_chunk);
                    lag.merge(seen.lag);
                    if let Err(reason) = seen.outcome { failures.add(reason) }
                }
                Some(Err(error)) => failures.add(error),
                None => break,
            },
            () = &mut patience => {
                failures.count += tasks.len() as u64;
                failures.first.get_or_insert_with(|| "a stream without end".to_owned());
                break;
            }
        }
    }
    let cpu = tree.cpu_seconds() - cpu;
    let lag_us = lag.spread();
    Stream {
        streams,
        whole: streams.saturating_sub(failures.count as usize),
        failures,
        chunks: lag_us.count,
        first_chunk_us: first.spread(),
        lag_us,
        cpu_us_per_chunk: cpu * 1e6 / lag_us.count as f64,
    }
}

/// What one client saw of its stream.
struct Seen {
    first_chunk: Sample,
    lag: Sample,
    outcome: Result<(), String>,
}

async fn client(target: Target, pace: Pace, start: Arc<Barrier>, wait: Duration) -> Seen {
    let connection = Connection::open(&target.address, BUFFER).await;
    start.wait().await;
    tokio::time::sleep(wait).await;
    let mut seen = Seen { first_chunk: Sample::default(), lag: Sample::default(), outcome: Ok(()) };
    seen.outcome = match connection {
        Ok(connection) => follow(connection, &target, pace, &mut seen).await,
        Err(error) => Err(text(error)),
    };
    seen
}

async fn follow(mut connection: Connection, target: &Target, pace: Pace, seen: &mut Seen) -> Result<(), String> {
    let request = target.chat(Some(pace));
    let sent = Instant::now();
    let head = connection.exchange(&request).await.map_err(text)?;
    if head.status != 200 || !head.event_stream {
        let body = read(&mut connection).await?;
        refused(head, &body)?;
        return Err("not an event stream".to_owned());
    }
    let mut events = Events::default();
    while let Some(piece) = connection.piece().await.map_err(text)? {
        let waiting = events.chunks == 0;
        events.feed(piece, |lag| seen.lag.push(lag));
        if waiting && events.chunks > 0 {
            seen.first_chunk.push(sent.elapsed().as_nanos() as u64);
        }
    }
    events.flaw(pace.chunks).map_or(Ok(()), Err)
}
