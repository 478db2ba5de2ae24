//! Waiting for a slot of one model: a fair order ([`fair`]), bounded in length and in time.
//!
//! Every slot is given out under the lock of its model's line, and a freed one is handed to whom it goes: nobody takes it
//! in between, and no wake-up can be lost. A request that finds a free slot and nobody in line passes at once, and is
//! counted like the others.

pub mod drain;
pub mod exchange;
pub mod fair;
pub mod place;
mod share;
pub mod slot;
pub mod tenant;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::oneshot;

use self::drain::Drain;
use self::fair::{Account, Ask, Bounds, Fair, Open, Room, Served, Ticket};
pub use self::place::{Place, TurnedAway};
pub use self::share::HEAD_START;
use self::slot::Counted;
pub use self::slot::Slot;
pub use self::tenant::{Lane, Tenant, Tier};
use super::deployment::Deployment;
use super::models::Model;
use super::pick::{self, Pick};
use crate::config::DataClass;
use crate::config::server::Queue as Settings;
use crate::telemetry::{QueueMetrics, Telemetry};

/// The line of one model, and the slots given out of it.
#[derive(Debug)]
pub struct Queue {
    line: Mutex<Line>,
    /// The zero of this line's clock.
    born: Instant,
    waits: Histogram,
    input: Counter,
    output: Counter,
}

#[derive(Debug, Default)]
struct Line {
    fair: Fair<oneshot::Sender<Slot>>,
    drain: Drain,
    /// The model as it is configured now: who waits is served by engines that a reload brought.
    model: Weak<Model>,
    aging: u64,
    /// Handed to somebody who was gone. Given back once the lock is.
    late: Vec<Slot>,
}

/// What becomes of a request that wants a slot.
#[derive(Debug)]
pub enum Entrance<'q> {
    Slot(Slot),
    Place(Place<'q>),
    /// The line is full; it may be worth coming back after that time.
    Full(Duration),
    /// All engines that may answer are set aside.
    Down,
    /// No engine of this model may receive this class.
    Forbidden,
}

impl Queue {
    pub fn new(telemetry: &Telemetry, model: &str) -> Queue {
        let QueueMetrics { waits, input, output } = telemetry.queue(model);
        Queue { line: Mutex::default(), born: Instant::now(), waits, input, output }
    }

    pub fn waiting(&self) -> usize {
        self.lock().fair.waiting()
    }

    /// A slot when one is free and nobody is before, else a place in line.
    pub fn enter(&self, model: &Arc<Model>, ask: Ask, settings: &Settings) -> Entrance<'_> {
        self.with(model, |line, model| {
            line.aging = millis(settings.flex_aging.0);
            self.serve(line, model);
            let passes = !line.fair.waits(ask.class);
            match pick::pick(model, ask.class, &[], passes) {
                Pick::Taken(deployment) => {
                    self.waits.observe(0.0);
                    return Entrance::Slot(self.pass(line, model, deployment, ask));
                }
                Pick::Down => return Entrance::Down,
                Pick::Forbidden => return Entrance::Forbidden,
                Pick::Busy => {}
            }
            let bounds = Bounds { length: settings.length, per_organization: settings.per_organization };
            match line.fair.room(ask.tenant.organization, &bounds) {
                Room::Free => {}
                // Dropping its sender tells the one turned away.
                Room::InsteadOf(other) => drop(line.fair.turn_away(other)),
                Room::Full => return Entrance::Full(self.when(line, &ask.tenant, settings)),
            }
            let (sender, slot) = oneshot::channel();
            let ticket = line.fair.join(ask, self.now(), sender);
            self.serve(line, model);
            Entrance::Place(Place { queue: self, ticket, slot })
        })
    }

    /// A slot for a second try, on an engine not tried yet: it has waited already, and does not wait again.
    pub fn again(&self, model: &Arc<Model>, ask: Ask, tried: &[Arc<str>]) -> Option<Slot> {
        self.with(model, |line, model| match pick::pick(model, ask.class, tried, true) {
            Pick::Taken(deployment) => Some(self.pass(line, model, deployment, ask)),
            _ => None,
        })
    }

    /// When a request turned away may come back: once its organization's line is gone, at the rate at which slots come
    /// free.
    pub fn back(&self, tenant: &Tenant, settings: &Settings) -> Duration {
        self.when(&self.lock(), tenant, settings)
    }

    /// Room may have appeared without a request ending: an engine is back, or a reload brought one.
    pub fn refresh(&self, model: &Arc<Model>) {
        self.with(model, |line, model| self.serve(line, model));
    }

    /// A reload: from now on this is the model.
    pub fn adopt(&self, model: &Arc<Model>) {
        self.lock().model = Arc::downgrade(model);
        self.refresh(model);
    }

    /// Tokens served since the last call, for the other replicas.
    pub fn news(&self) -> Vec<((i64, Lane), i64)> {
        let mut line = self.lock();
        line.fair.share_out();
        line.fair.news()
    }

    /// Counts what another replica has served.
    pub fn served_elsewhere(&self, organization: i64, lane: Lane, tokens: i64) {
        self.lock().fair.served_elsewhere(organization, lane, tokens);
    }

    fn when(&self, line: &Line, tenant: &Tenant, settings: &Settings) -> Duration {
        if line.fair.waiting() == 0 {
            return drain::SOONEST;
        }
        let own = f64::from(tenant.weight.max(1));
        let ahead = line.fair.waiting_of(tenant.organization);
        let others = line.fair.weight_waiting() as f64 - if ahead > 0 { own } else { 0.0 };
        let share = own / (own + others.max(0.0));
        line.drain.until(ahead, share, self.now()).unwrap_or(settings.wait.0).max(drain::SOONEST)
    }

    fn pass(&self, line: &mut Line, model: &Arc<Model>, deployment: Arc<Deployment>, ask: Ask) -> Slot {
        let account = line.fair.pass(ask, open(&deployment));
        let counted = Counted { input: ask.input, ..Counted::default() };
        Slot { model: model.clone(), deployment, account, counted }
    }

    /// Gives every free slot to the fairest request it is open to.
    fn serve(&self, line: &mut Line, model: &Arc<Model>) {
        if line.fair.waiting() == 0 {
            return;
        }
        let now = self.now();
        line.fair.age(now, line.aging);
        loop {
            let free = DataClass::ALL.map(|class| line.fair.waits(class) && pick::has_room(model, class));
            let Some(turn) = line.fair.fairest(free) else { return };
            let Pick::Taken(deployment) = pick::pick(model, turn.class, &[], true) else { return };
            let Some(Served { what, ticket, account }) = line.fair.take(turn, open(&deployment)) else {
                deployment.give_back();
                return;
            };
            self.waited(&ticket, now);
            let counted = Counted { input: ticket.input(), ..Counted::default() };
            let slot = Slot { model: model.clone(), deployment, account, counted };
            if let Err(slot) = what.send(slot) {
                line.late.push(slot);
            }
        }
    }

    fn leave(&self, ticket: &Ticket) {
        if self.lock().fair.leave(ticket).is_some() {
            self.waited(ticket, self.now());
        }
    }

    fn charge(&self, account: Account, tokens: i64) {
        self.lock().fair.charge(account, tokens);
    }

    fn freed(&self, model: &Arc<Model>, account: Account, counted: Counted) {
        self.input.inc_by(counted.input);
        self.output.inc_by(counted.output);
        self.with(model, |line, model| {
            line.fair.ended(account);
            line.drain.freed(self.now());
            self.serve(line, model);
        });
    }

    fn waited(&self, ticket: &Ticket, now: u64) {
        self.waits.observe(now.saturating_sub(ticket.arrived) as f64 / 1_000.0);
    }

    /// Works under the lock, on the model as it is now. A model that was taken away serves its last requests as it was.
    fn with<R>(&self, model: &Arc<Model>, work: impl FnOnce(&mut Line, &Arc<Model>) -> R) -> R {
        let mut line = self.lock();
        let now = line.model.upgrade();
        let result = work(&mut line, now.as_ref().unwrap_or(model));
        let late = std::mem::take(&mut line.late);
        drop(line);
        drop(late);
        result
    }

    fn now(&self) -> u64 {
        millis(self.born.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(deployment: &Deployment) -> Open {
    DataClass::ALL.map(|class| deployment.allows(class))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
