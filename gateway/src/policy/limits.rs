//! How much each organization, project, key and member may use: one ledger holds all limits of a request's chain, so
//! that a request passes all of them or takes from none.
//!
//! # A reservation, in one direction
//!
//! 1. [`plan`] gives the [chain](rule::Chain) of a caller and a model: the plan of the configuration, what the database
//!    sets over it, the shares of projects. It is computed once and kept until either changes.
//! 2. [`estimate`] says how many tokens the request will read (a ratio learned for each model; a [tokenizer] where that is
//!    not close enough) and write (what it asks for, else the 95th percentile of the model's answers).
//! 3. [`store`] takes that from every limit of the chain or from none: [`local`] in process, [`shared`] in Redis. What a
//!    [`ledger`] counts slides over a minute or follows a [calendar].
//! 4. A refusal becomes words and headers in [`standing`]. A grant becomes a [`Reservation`] that the request's
//!    [`Turn`](crate::recorder::Turn) holds: dropped before an engine was called it gives all back, and at the end it is
//!    settled with what the engine counted, or with an estimate of what was relayed.
//! 5. [`warning`] tells of limits that are nearly full; [`rebuild`] counts the past again after a restart.

pub mod calendar;
pub mod clock;
pub mod estimate;
pub mod ledger;
pub mod local;
pub mod past;
pub mod plan;
pub mod rebuild;
pub mod reservation;
pub mod rule;
pub mod shared;
pub mod standing;
pub mod store;
pub mod ticket;
pub mod tokenizer;
pub mod warning;
pub mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use bytes::Bytes;
use jiff::tz::TimeZone;
use quick_cache::sync::Cache;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::calendar::Calendar;
use self::clock::Clock;
use self::estimate::{Calibration, Estimates, Weight};
use self::plan::{Book, Payer, TenantSettings};
pub use self::reservation::{Outturn, Reservation};
use self::rule::{Ask, Chain, Kind, Meter};
use self::standing::{RateHeaders, refusal};
use self::store::{Store, Time};
use self::ticket::{Refused, Remaining};
use self::warning::Watch;
use super::identity::Principal;
use super::key::KeyId;
use crate::config::Config;
use crate::config::limits::LimitStore;
use crate::error::ApiError;
use crate::openai::{Head, WireError};
use crate::store::{Database, StoreError};
use crate::telemetry::{LimitLabels, Telemetry};

/// Chains held in memory at most; the least used leave.
const CHAINS: usize = 250_000;

/// What a request may wait for Redis: far above a round trip, so that a busy machine is not taken for an outage.
const REDIS: Duration = Duration::from_millis(500);

/// No version of the database.
const UNREAD: i64 = -1;

/// A text this near to the model's context, in eighths of it, is counted rather than estimated.
const NEAR: (u64, u64) = (6, 12);

/// The limits of one gateway.
pub struct Limits {
    pub(crate) store: Store,
    pub(crate) time: Time,
    /// When this process began to count, Unix milliseconds.
    since: i64,
    zone: TimeZone,
    book: ArcSwap<Book>,
    /// Raised with each book, so that chains of an older one are computed again.
    generation: AtomicU64,
    /// Version of what the database says, as far as it is in the book.
    version: AtomicI64,
    changing: tokio::sync::Mutex<()>,
    chains: Cache<(KeyId, Arc<str>), Arc<Known>>,
    pub estimates: Estimates,
    watch: Watch,
    telemetry: Arc<Telemetry>,
}

/// The chain of one key and model.
#[derive(Debug)]
struct Known {
    generation: u64,
    chain: Chain,
    /// Some limit of it counts tokens.
    tokens: bool,
    /// Looked up since the last [`Limits::tidy`].
    used: AtomicBool,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub model: &'a Arc<str>,
    pub context_length: Option<u64>,
    pub body: &'a Bytes,
    pub weight: Weight,
    pub output: Output,
}

/// What a request may have written.
#[derive(Clone, Copy, Debug)]
pub enum Output {
    /// Vectors or scores: no token.
    Nothing,
    /// So many answers, of so many tokens each where the request says it.
    Text { most: Option<u64>, answers: u64 },
}

impl Output {
    /// What a generation may write, by its body. A count of answers past what engines take is theirs to refuse.
    pub fn of(head: &Head<'_>) -> Result<Output, WireError> {
        let answers = head.n().unwrap_or(1).max(head.count("best_of")?.unwrap_or(1)).clamp(1, 1_024);
        Ok(Output::Text { most: head.max_tokens(), answers })
    }
}

/// A request that may go on.
#[derive(Debug)]
pub struct Granted {
    pub reservation: Reservation,
    /// Tokens that it will read.
    pub input: u64,
    /// Bytes of what it writes to one token.
    pub output_ratio: f32,
    /// `None` when nothing limits the caller.
    pub headers: Option<RateHeaders>,
}

impl Limits {
    /// Reads what the database says and opens the store, whose tasks live until `stop`.
    pub async fn open(
        config: &Config,
        database: &Database,
        telemetry: Arc<Telemetry>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Limits, String> {
        Limits::open_by(Clock::system(), config, database, telemetry, tasks, stop).await
    }

    /// The same, by a clock that may be simulated.
    pub async fn open_by(
        clock: Clock,
        config: &Config,
        database: &Database,
        telemetry: Arc<Telemetry>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Limits, String> {
        let zone = &config.limits.time_zone;
        let calendar = Arc::new(Calendar::new(zone).map_err(|error| error.to_string())?);
        let time = Time { clock, calendar };
        let version = database.limits_version().await.map_err(|error| error.to_string())?;
        let own = database.quotas().await.map_err(|error| error.to_string())?;
        let since = time.clock.now().wall;
        let store = match &config.limits.store {
            LimitStore::Memory => Store::local(time.clone()),
            LimitStore::Redis(url) => {
                let settings = shared::Settings {
                    when_down: config.limits.when_store_down,
                    drain: config.server.drain.0,
                    timeout: REDIS,
                    ..shared::Settings::default()
                };
                Store::shared(url.read()?.reveal(), settings, time.clone(), tasks, stop).await?
            }
        };
        let estimates = Estimates::default();
        estimates.reload(config);
        Ok(Limits {
            store,
            time,
            since,
            zone: TimeZone::get(zone).map_err(|error| error.to_string())?,
            book: ArcSwap::from_pointee(Book::new(config, own)),
            generation: AtomicU64::new(0),
            version: AtomicI64::new(version),
            changing: tokio::sync::Mutex::new(()),
            chains: Cache::new(CHAINS),
            estimates,
            watch: Watch::default(),
            telemetry,
        })
    }

    pub fn book(&self) -> Guard<Arc<Book>> {
        self.book.load()
    }

    /// Takes the plans of a new configuration.
    pub fn reload(&self, config: &Config) {
        let own = self.book.load().all_own();
        self.replace(Book::new(config, own));
        self.estimates.reload(config);
        // A refresh at the same moment may have read more: the next one reads again.
        self.version.store(UNREAD, Ordering::Relaxed);
    }

    /// Takes into account what was changed in the database, here or on another replica. To be called each second, and
    /// after each change made by this process, which it makes effective at once.
    pub async fn refresh(&self, database: &Database, config: &ArcSwap<Config>) -> Result<(), StoreError> {
        let _one = self.changing.lock().await;
        // The version first: what changes while the rest is read is read again at the next call.
        let version = database.limits_version().await?;
        if version == self.version.load(Ordering::Relaxed) {
            return Ok(());
        }
        let own = database.quotas().await?;
        self.replace(Book::new(&config.load(), own));
        self.version.store(version, Ordering::Relaxed);
        Ok(())
    }

    fn replace(&self, book: Book) {
        self.book.store(Arc::new(book));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// How a caller stands in line.
    pub fn tenant(&self, who: &Principal) -> TenantSettings {
        Payer::of(who).map_or_else(TenantSettings::default, |payer| self.book.load().tenant(&payer))
    }

    /// Whether anything can limit requests of this organization.
    pub fn may_limit(&self, payer: &Payer) -> bool {
        let book = self.book.load();
        let own = book.own(payer.organization);
        book.plan(own).is_some() || own.is_some()
    }

    fn known(&self, who: &Principal, payer: &Payer, model: &Arc<str>) -> Arc<Known> {
        // Before the book: a chain of a book just replaced is then marked as of an older one.
        let generation = self.generation.load(Ordering::Acquire);
        let at = (who.key(), model.clone());
        if let Some(known) = self.chains.get(&at)
            && known.generation == generation
        {
            if !known.used.load(Ordering::Relaxed) {
                known.used.store(true, Ordering::Relaxed);
            }
            return known;
        }
        let chain = self.book.load().chain(payer, Some(model));
        let counts_tokens = |kind| matches!(kind, Kind::Rate { meter, .. } if meter != Meter::Requests);
        let tokens = chain.limits.iter().any(|limit| counts_tokens(limit.id.kind));
        let known = Arc::new(Known { generation, chain, tokens, used: AtomicBool::new(true) });
        self.chains.insert(at, known.clone());
        known
    }

    /// Takes what a request may use from all limits of its chain, or says which one refused.
    pub async fn reserve(
        self: &Arc<Self>,
        who: &Principal,
        asked: Asked<'_>,
    ) -> Result<Granted, (ApiError, Option<RateHeaders>)> {
        let Some(payer) = Payer::of(who) else { return Err((ApiError::role_denied(), None)) };
        let known = self.known(who, &payer, asked.model);
        let calibration = self.estimates.of(asked.model);
        let input = self.input(&known, &asked, &calibration).await;
        let output_ratio = calibration.output_ratio();
        let output = output_bound(&asked, &calibration, input);
        let guard =
            |ticket| Reservation::new(self.clone(), ticket, asked.model.clone(), calibration.clone(), asked.weight);
        if known.chain.limits.is_empty() {
            return Ok(Granted { reservation: guard(None), input, output_ratio, headers: None });
        }
        match self.store.reserve(&known.chain, Ask { input, output }).await {
            Ok((ticket, standing)) => {
                self.watch.see(&known.chain, &standing);
                let headers = Some(RateHeaders::from(&standing));
                Ok(Granted { reservation: guard(Some(ticket)), input, output_ratio, headers })
            }
            Err(refused) => {
                self.count_refusal(&known.chain, &refused);
                let (error, headers) = refusal(&refused, &known.chain, &self.zone);
                Err((error, Some(headers)))
            }
        }
    }

    /// Tokens that a request will read: estimated, or counted where an estimate is not close enough.
    async fn input(&self, known: &Known, asked: &Asked<'_>, calibration: &Calibration) -> u64 {
        let estimate = calibration.input(asked.weight);
        // What an estimate errs by grows with the text: a short one is close enough whatever it may write.
        let near = asked.context_length.is_some_and(|context| {
            let eighths = |n: u64| context.saturating_mul(n) / 8;
            (eighths(NEAR.0)..=eighths(NEAR.1)).contains(&estimate)
        });
        let silent = calibration.is_silent();
        if !known.tokens || asked.weight.images > 0 || !(near || silent) {
            return estimate;
        }
        let Some(counted) = self.estimates.count(asked.model, asked.body).await else { return estimate };
        if silent {
            // The engine does not count: what is relayed of its answers is measured by the ratio.
            calibration.learn_counted(asked.weight.bytes, counted);
        }
        counted
    }

    fn count_refusal(&self, chain: &Chain, refused: &Refused) {
        let Refused::Limit(bite) = refused else { return };
        let Some(limit) = chain.limits.get(bite.limit) else { return };
        let labels = LimitLabels { scope: limit.id.scope.word(), limit: limit.id.kind };
        self.telemetry.limit_refusals.get_or_create(&labels).inc();
        if limit.id.kind.is_calendar() && bite.retry_after.is_some() {
            self.watch.refused(chain, bite.limit);
        }
    }

    /// Every limit of a caller, for all models, and how it stands. `None` while Redis is gone.
    pub async fn read(&self, payer: &Payer) -> (Chain, Option<Vec<Remaining>>) {
        let chain = self.book.load().chain(payer, None);
        if chain.limits.is_empty() {
            return (chain, Some(Vec::new()));
        }
        let standing = self.store.read(&chain).await.ok();
        (chain, standing)
    }

    /// How the shared store is; `None` in process.
    pub fn health(&self) -> Option<shared::Health> {
        self.store.health()
    }

    /// Gives back the memory of what is at rest. To be called each minute.
    pub fn tidy(&self) {
        self.store.tidy();
        self.chains.retain(|_, known| known.used.swap(false, Ordering::Relaxed));
        self.watch.tidy();
    }
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Limits")
    }
}

/// Tokens that a request may have written: what it asks for, else what nearly all answers stay below; never more than the
/// model's context leaves.
fn output_bound(asked: &Asked<'_>, calibration: &Calibration, input: u64) -> u64 {
    match asked.output {
        Output::Nothing => 0,
        Output::Text { most, answers } => {
            let left = asked.context_length.map_or(u64::MAX, |context| context.saturating_sub(input).max(1));
            most.unwrap_or_else(|| calibration.p95()).min(left).saturating_mul(answers.max(1))
        }
    }
}
