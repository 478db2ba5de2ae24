//! The threads that carry requests. Each has a runtime of its own and keeps its connections, from the client's socket to
//! the engine's: nothing of a request changes hands between threads, which would cost as much as serving it.

use std::cell::Cell;
use std::io::Result;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// Which worker this thread is, from 0. A thread that is none counts as the first.
pub fn number() -> usize {
    NUMBER.get()
}

/// How many threads a setting means: 0 is one for each core.
pub fn threads(setting: usize) -> usize {
    match setting {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
}

/// The runtimes, the caller's first. Dropping it ends the others, with what they still carry.
#[derive(Debug)]
pub struct Workers {
    runtimes: Vec<Handle>,
    next: AtomicUsize,
    _stop: DropGuard,
}

impl Workers {
    /// Starts all but the first, which is the runtime of the caller.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(threads: usize) -> Result<Workers> {
        let stop = CancellationToken::new();
        let mut runtimes = vec![Handle::current()];
        for number in 1..threads {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtimes.push(runtime.handle().clone());
            let stop = stop.clone();
            std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                NUMBER.set(number);
                runtime.block_on(stop.cancelled());
            })?;
        }
        Ok(Workers { runtimes, next: AtomicUsize::new(0), _stop: stop.drop_guard() })
    }

    /// Where the next connection lives: each in turn.
    pub fn next(&self) -> &Handle {
        // There is at least the caller's.
        &self.runtimes[self.next.fetch_add(1, Ordering::Relaxed) % self.runtimes.len()]
    }
}
