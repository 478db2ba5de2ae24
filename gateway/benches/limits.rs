//! What counting costs: `cargo bench -p gateway --bench limits`. A request's check against five limits of its chain, in
//! process, with 10,000 organizations × 20 models; and what memory comes back once they rest.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use guichet::policy::limits::calendar::Calendar;
use guichet::policy::limits::clock::Clock;
use guichet::policy::limits::rule::{Ask, Chain, CounterId, Kind, Limit, Meter, Scope, Used, Window};
use guichet::policy::limits::store::{Store, Time};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ORGANIZATIONS: i64 = 10_000;
const MODELS: usize = 20;
const CHECKS: usize = 400_000;
const ASK: Ask = Ask { input: 400, output: 600 };
const USED: Used = Used { input: 410, output: 300 };

/// Five limits, as a plan has them: on the organization, its project, and the model.
fn chain(organization: i64, model: &Arc<str>, all: &Arc<str>) -> Chain {
    let limit = |scope, models: &Arc<str>, meter, window| Limit {
        id: CounterId { scope, models: models.clone(), kind: Kind::Rate { meter, window } },
        max: 1_000_000_000,
        guarantees: None,
    };
    let whole = Scope::Organization(organization);
    let limits = [
        limit(whole, all, Meter::Requests, Window::Minute),
        limit(whole, all, Meter::Tokens, Window::Month),
        limit(whole, model, Meter::Tokens, Window::Minute),
        limit(whole, model, Meter::Tokens, Window::Day),
        limit(Scope::Project(organization), all, Meter::Tokens, Window::Day),
    ];
    Chain { organization, project: organization, limits: limits.into() }
}

/// Resident memory, in MiB.
fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).map_or(0, |pages| pages / 256)
}

/// Once the allocator, which waits a while and acts as it is used, has given back what it holds free.
fn settled_memory() -> u64 {
    let mut least = memory();
    for _ in 0..30 {
        std::thread::sleep(Duration::from_millis(100));
        drop((0..20).map(|size| vec![1_u8; 16 << size]).collect::<Vec<_>>());
        least = least.min(memory());
    }
    least
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() - 1) * share / 100).copied().unwrap_or_default().as_nanos();
    format!("p50 {} ns, p99 {} ns", at(50), at(99))
}

async fn measure(out: &mut impl Write) -> Result<(), Box<dyn std::error::Error>> {
    let calendar = Arc::new(Calendar::new("Europe/Paris")?);
    let models: Vec<Arc<str>> = (0..MODELS).map(|model| format!("openweight-{model}").into()).collect();
    let all: Arc<str> = "*".into();
    let refused = |_| "a limit refuses";

    let clock = Clock::manual(1_782_900_000_000);
    let store = Store::local(Time { clock: clock.clone(), calendar: calendar.clone() });
    let before = memory();
    for organization in 0..ORGANIZATIONS {
        for model in &models {
            let (ticket, _) = store.reserve(&chain(organization, model, &all), ASK).await.map_err(refused)?;
            store.settle(&ticket, USED);
        }
    }
    let full = memory();
    clock.advance(Duration::from_secs(61));
    store.tidy();
    let minute = settled_memory();
    clock.advance(Duration::from_secs(32 * 86_400));
    store.tidy();
    writeln!(
        out,
        "memory: {} MiB with all counters in use, {} a minute later, {} the month after",
        full.saturating_sub(before),
        minute.saturating_sub(before),
        settled_memory().saturating_sub(before)
    )?;
    drop(store);

    let store = Store::local(Time { clock: Clock::system(), calendar });
    for organization in 0..ORGANIZATIONS {
        for model in &models {
            let (ticket, _) = store.reserve(&chain(organization, model, &all), ASK).await.map_err(refused)?;
            store.settle(&ticket, USED);
        }
    }
    let mut random = fastrand::Rng::with_seed(7);
    let (mut checks, mut ends) = (Vec::with_capacity(CHECKS), Vec::with_capacity(CHECKS));
    for _ in 0..CHECKS {
        let chain = chain(random.i64(0..ORGANIZATIONS), &models[random.usize(0..MODELS)], &all);
        let start = Instant::now();
        let (ticket, _) = store.reserve(&chain, ASK).await.map_err(refused)?;
        checks.push(start.elapsed());
        let start = Instant::now();
        store.settle(&ticket, USED);
        ends.push(start.elapsed());
    }
    writeln!(out, "check of 5 limits:  {}", percentiles(checks))?;
    writeln!(out, "settlement of them: {}", percentiles(ends))?;
    Ok(())
}

fn main() -> ExitCode {
    let mut out = std::io::stdout();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let outcome = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(measure(&mut out)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "limits: {error}");
            ExitCode::FAILURE
        }
    }
}
