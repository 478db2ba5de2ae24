//! The store in process: the ledger of each organization behind its own lock.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};

use quick_cache::DefaultHashBuilder;

use super::calendar::Calendar;
use super::clock::Clock;
use super::ledger::Ledger;
use super::past::Past;
use super::rule::{Ask, Chain, Used};
use super::ticket::{Bite, Home, Remaining, Standing, Ticket};
use super::window::Moment;

const SHARDS: usize = 64;

/// Organizations, a part of them.
#[derive(Debug, Default)]
struct Shard {
    ledgers: RwLock<HashMap<i64, Mutex<Ledger>, DefaultHashBuilder>>,
    /// Those whose past is known, or was asked for.
    known: RwLock<HashSet<i64, DefaultHashBuilder>>,
}

#[derive(Debug)]
pub struct Local {
    shards: Box<[Shard]>,
    hasher: DefaultHashBuilder,
    /// When counting began, at the first use: what is older comes from the usage records.
    since: OnceLock<i64>,
    home: Home,
}

impl Local {
    pub(super) fn new(home: Home) -> Local {
        Local {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            hasher: DefaultHashBuilder::default(),
            since: OnceLock::new(),
            home,
        }
    }

    pub(super) fn reserve(
        &self,
        clock: &Clock,
        calendar: &Calendar,
        id: u64,
        chain: &Chain,
        ask: Ask,
    ) -> Result<(Ticket, Standing), Bite> {
        let moment = moment(clock, calendar);
        self.begin(clock);
        let standing = self.with(chain.organization, |ledger| ledger.reserve(&moment, chain, ask, id))?;
        Ok((Ticket { id, chain: chain.clone(), ask, at: moment.now.wall, home: self.home }, standing))
    }

    pub(super) fn settle(&self, clock: &Clock, calendar: &Calendar, ticket: &Ticket, used: Used) {
        let moment = moment(clock, calendar);
        self.with(ticket.chain.organization, |ledger| ledger.settle(&moment, ticket, used));
    }

    pub(super) fn release(&self, ticket: &Ticket) {
        self.with(ticket.chain.organization, |ledger| ledger.release(ticket));
    }

    pub(super) fn read(&self, clock: &Clock, calendar: &Calendar, chain: &Chain) -> Vec<Remaining> {
        let moment = moment(clock, calendar);
        self.with(chain.organization, |ledger| ledger.read(&moment, chain.project, &chain.limits))
    }

    fn begin(&self, clock: &Clock) -> i64 {
        *self.since.get_or_init(|| clock.now().wall)
    }

    /// Whether an organization is met for the first time, so that its past has to be looked up.
    pub(super) fn is_new(&self, organization: i64) -> bool {
        let known = &self.shard(organization).known;
        if known.read().unwrap_or_else(PoisonError::into_inner).contains(&organization) {
            return false;
        }
        known.write().unwrap_or_else(PoisonError::into_inner).insert(organization)
    }

    /// Counts what was used before this store began; only what is older, lest it count twice.
    pub(super) fn preload(&self, clock: &Clock, calendar: &Calendar, organization: i64, past: &[Past]) {
        let moment = moment(clock, calendar);
        let since = self.begin(clock);
        let older: Vec<Past> = past.iter().filter(|one| one.at < since).cloned().collect();
        self.with(organization, |ledger| ledger.remember(&moment, &older));
    }

    /// Gives back the memory of what is at rest.
    pub(super) fn tidy(&self, clock: &Clock, calendar: &Calendar) {
        let moment = moment(clock, calendar);
        for shard in &self.shards {
            let mut ledgers = shard.ledgers.write().unwrap_or_else(PoisonError::into_inner);
            ledgers.retain(|_, ledger| !ledger.get_mut().unwrap_or_else(PoisonError::into_inner).tidy(&moment));
            ledgers.shrink_to_fit();
        }
    }

    fn shard(&self, organization: i64) -> &Shard {
        // Bits that a map of the shard does not place by.
        let shard = usize::try_from((self.hasher.hash_one(organization) >> 32) % SHARDS as u64).unwrap_or_default();
        &self.shards[shard]
    }

    fn with<T>(&self, organization: i64, act: impl FnOnce(&mut Ledger) -> T) -> T {
        let shard = &self.shard(organization).ledgers;
        {
            let ledgers = shard.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(ledger) = ledgers.get(&organization) {
                return act(&mut ledger.lock().unwrap_or_else(PoisonError::into_inner));
            }
        }
        let mut ledgers = shard.write().unwrap_or_else(PoisonError::into_inner);
        act(ledgers.entry(organization).or_default().get_mut().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(super) fn moment(clock: &Clock, calendar: &Calendar) -> Moment {
    let now = clock.now();
    Moment { now, periods: calendar.at(now.wall) }
}
