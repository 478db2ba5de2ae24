//! A fixed number of requests, with the memory of what is under test along the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{Failures, Target, ask};
use crate::process::Tree;

const CLIENTS: usize = 64;

/// What one run showed.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Soak {
    pub requests: u64,
    pub failures: Failures,
    pub seconds: f64,
    /// Resident MiB after each twentieth of the requests, in order.
    pub memory_mib: Vec<f64>,
}

impl Soak {
    /// MiB between the first tenth, when pools and caches are warm, and the end.
    pub fn growth_mib(&self) -> f64 {
        match (self.memory_mib.get(1), self.memory_mib.last()) {
            (Some(warm), Some(end)) => end - warm,
            _ => f64::NAN,
        }
    }
}

/// Sends `requests` plain chats from 64 clients, as fast as they are answered, for at most `patience`.
pub async fn run(target: &Target, requests: u64, patience: Duration) -> Soak {
    let begun = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..CLIENTS {
        tasks.spawn(client(target.clone(), Arc::clone(&begun), requests));
    }
    let tree = Tree::of(target.pid);
    let started = Instant::now();
    let (mut memory_mib, mut failures) = (Vec::new(), Failures::default());
    while started.elapsed() < patience && !tasks.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        while let Some(ended) = tasks.try_join_next() {
            failures.merge(ended.unwrap_or_default());
        }
        let twentieths = (begun.load(Relaxed).min(requests) * 20 / requests.max(1)) as usize;
        if memory_mib.len() < twentieths {
            // Twentieths that went by between two looks share one reading.
            memory_mib.resize(twentieths, tree.memory_mib());
        }
    }
    if !tasks.is_empty() {
        failures.add(format!("{} of {requests} requests begun in {patience:?}", begun.load(Relaxed)));
    }
    Soak { requests, failures, seconds: started.elapsed().as_secs_f64(), memory_mib }
}

async fn client(target: Target, begun: Arc<AtomicU64>, requests: u64) -> Failures {
    let request = target.chat(None);
    let (mut connection, mut failures) = (None, Failures::default());
    while begun.fetch_add(1, Relaxed) < requests {
        if let Err(reason) = ask(&mut connection, &target, &request, false).await {
            failures.add(reason);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    failures
}
