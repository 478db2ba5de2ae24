//! Closed loop: each client sends its next request once its last answer is whole, and after a rest if it has one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{Failures, Target, ask};
use crate::process::Tree;
use crate::stats::{Sample, Spread};

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

/// Time before figures are taken.
const WARM_UP: Duration = Duration::from_millis(400);

/// What one run showed.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Unary {
    pub clients: usize,
    pub requests: usize,
    pub failures: Failures,
    /// Microseconds from sending to the end of the answer.
    pub latency_us: Spread,
    pub requests_per_second: f64,
    pub cpu_us_per_request: f64,
    /// Of the threads that serve requests, where they are told apart.
    pub serving_us_per_request: f64,
}

/// Runs `clients` for `seconds` after a warm-up, each resting so long between its requests.
pub async fn run(target: &Target, clients: usize, seconds: f64, rest: Duration) -> Unary {
    let phase = Arc::new(AtomicU8::new(WARMING));
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        tasks.spawn(client(target.clone(), Arc::clone(&phase), rest));
    }
    tokio::time::sleep(WARM_UP).await;
    let tree = Tree::of(target.pid);
    let (started, cpu, serving) = (Instant::now(), tree.cpu_seconds(), tree.serving_seconds());
    phase.store(MEASURING, Relaxed);
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    phase.store(OVER, Relaxed);
    let (elapsed, cpu) = (started.elapsed().as_secs_f64(), tree.cpu_seconds() - cpu);
    let serving = tree.serving_seconds() - serving;

    let (mut latency, mut failures) = (Sample::default(), Failures::default());
    let patience = tokio::time::sleep(Duration::from_secs(10));
    tokio::pin!(patience);
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(Ok((sample, failed))) => { latency.merge(sample); failures.merge(failed); }
                Some(Err(error)) => failures.add(error),
                None => break,
            },
            () = &mut patience => {
                failures.count += tasks.len() as u64;
                failures.first.get_or_insert_with(|| "no answer in 10 s".to_owned());
                break;
            }
        }
    }
    let latency_us = latency.spread();
    let requests = latency_us.count;
    Unary {
        clients,
        requests,
        failures,
        latency_us,
        requests_per_second: requests as f64 / elapsed,
        cpu_us_per_request: cpu * 1e6 / requests as f64,
        serving_us_per_request: serving * 1e6 / requests as f64,
    }
}

async fn client(target: Target, phase: Arc<AtomicU8>, rest: Duration) -> (Sample, Failures) {
    let request = target.chat(None);
    let (mut latency, mut failures) = (Sample::default(), Failures::default());
    let (mut connection, mut checked) = (None, true);
    while phase.load(Relaxed) != OVER {
        let sent = Instant::now();
        match ask(&mut connection, &target, &request, checked).await {
            Ok(()) if phase.load(Relaxed) == MEASURING => latency.push(sent.elapsed().as_nanos() as u64),
            Ok(()) => {}
            Err(reason) => {
                failures.add(reason);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        checked = false;
        if !rest.is_zero() {
            tokio::time::sleep(rest).await;
        }
    }
    (latency, failures)
}
