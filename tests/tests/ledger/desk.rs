//! Where a test stands to ask: one store, its clock, and an organization nobody else has.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use guichet::policy::limits::calendar::Calendar;
use guichet::policy::limits::clock::Clock;
use guichet::policy::limits::rule::{Ask, Chain, CounterId, Guarantees, Kind, Limit, Meter, Scope, Used, Window};
use guichet::policy::limits::shared::Settings;
use guichet::policy::limits::store::{Store, Time};
use guichet::policy::limits::ticket::{Bite, Refused, Remaining, Standing, Ticket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ledger::server::shared_url;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept {
    InProcess,
    Redis,
}

/// Makes of one behaviour, a function over a desk, one test for each store.
macro_rules! on_each_store {
    ($($behaviour:ident),* $(,)?) => {
        mod local {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() { super::$behaviour(&$crate::ledger::desk::Desk::new($crate::ledger::desk::Kept::InProcess).await).await; })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() { super::$behaviour(&$crate::ledger::desk::Desk::new($crate::ledger::desk::Kept::Redis).await).await; })*
        }
    };
}
pub(crate) use on_each_store;

pub struct Desk {
    pub store: Store,
    pub clock: Clock,
    pub organization: i64,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

/// Noon in Paris, an ordinary day of summer.
pub const NOON: i64 = 1_782_900_000_000;

impl Desk {
    /// A store with a clock that only moves when told.
    pub async fn new(kept: Kept) -> Desk {
        Desk::at(kept, NOON).await
    }

    pub async fn at(kept: Kept, wall: i64) -> Desk {
        let clock = Clock::manual(wall);
        match kept {
            Kept::InProcess => {
                let store = Store::local(time(&clock));
                Desk { store, clock, organization: 1, tasks: TaskTracker::new(), stop: CancellationToken::new() }
            }
            Kept::Redis => Desk::on(&shared_url(), clock, patient(), fresh()).await,
        }
    }

    /// One replica on a Redis.
    pub async fn on(url: &str, clock: Clock, settings: Settings, organization: i64) -> Desk {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let store = Store::shared(url, settings, time(&clock), &tasks, &stop).await.unwrap();
        Desk { store, clock, organization, tasks, stop }
    }

    pub fn chain(&self, project: i64, limits: Vec<Limit>) -> Chain {
        Chain { organization: self.organization, project, limits: limits.into() }
    }

    pub fn advance(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }

    pub async fn ask(&self, chain: &Chain, tokens: u64) -> Result<(Ticket, Standing), Bite> {
        match self.store.reserve(chain, Ask { input: tokens, output: 0 }).await {
            Ok(taken) => Ok(taken),
            Err(Refused::Limit(bite)) => Err(bite),
            Err(Refused::Unavailable) => panic!("the store is there"),
        }
    }

    pub async fn take(&self, chain: &Chain, tokens: u64) -> Ticket {
        self.ask(chain, tokens).await.expect("there is room").0
    }

    pub async fn refused(&self, chain: &Chain, tokens: u64) -> Bite {
        self.ask(chain, tokens).await.expect_err("there is no room")
    }

    pub async fn settle(&self, ticket: &Ticket, tokens: u64) {
        self.store.settle(ticket, Used { input: tokens, output: 0 });
        self.told().await;
    }

    pub async fn release(&self, ticket: &Ticket) {
        self.store.release(ticket);
        self.told().await;
    }

    /// Until all settlements have been told.
    pub async fn told(&self) {
        until("settlements are told", || async { self.store.health().is_none_or(|health| health.waiting == 0) }).await;
    }

    pub async fn read(&self, chain: &Chain) -> Vec<Remaining> {
        self.store.read(chain).await.unwrap()
    }

    /// What is used of a chain's limits.
    pub async fn used(&self, chain: &Chain) -> Vec<u64> {
        self.read(chain).await.into_iter().map(|one| one.used).collect()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Patience for a server that shares two cores with all other tests, and leases that outlive a simulated year.
pub fn patient() -> Settings {
    Settings {
        timeout: Duration::from_secs(5),
        lease: Duration::from_secs(400 * 86_400),
        drain: Duration::ZERO,
        ..Settings::default()
    }
}

pub fn time(clock: &Clock) -> Time {
    Time { clock: clock.clone(), calendar: Arc::new(Calendar::new("Europe/Paris").unwrap()) }
}

/// The number of an organization that no other test has, in this run or another.
pub fn fresh() -> i64 {
    static NEXT: AtomicI64 = AtomicI64::new(0);
    let run = i64::from(std::process::id()) << 20;
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() & 0xff_ffff).unwrap();
    (now << 38) + run + NEXT.fetch_add(1, Ordering::Relaxed)
}

pub async fn until<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let start = Instant::now();
    while !check().await {
        assert!(start.elapsed() < Duration::from_secs(30), "not in thirty seconds: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub fn rate(scope: Scope, meter: Meter, window: Window, max: u64) -> Limit {
    Limit { id: CounterId { scope, models: "*".into(), kind: Kind::Rate { meter, window } }, max, guarantees: None }
}

pub fn tokens(window: Window, max: u64) -> Limit {
    rate(Scope::Organization(1), Meter::Tokens, window, max)
}

pub fn requests(window: Window, max: u64) -> Limit {
    rate(Scope::Organization(1), Meter::Requests, window, max)
}

pub fn slots(max: u64) -> Limit {
    Limit {
        id: CounterId { scope: Scope::Key(key()), models: "*".into(), kind: Kind::Concurrent },
        max,
        guarantees: None,
    }
}

pub fn key() -> guichet::policy::key::KeyId {
    guichet::policy::key::KeyId::parse("0123456789abcdef").unwrap()
}

pub fn sharing(mut limit: Limit, by_project: &[(i64, u64)]) -> Limit {
    limit.guarantees = Some(Arc::new(Guarantees { by_project: by_project.to_vec() }));
    limit
}
