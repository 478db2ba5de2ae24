//! The store of several replicas: Redis or Valkey, one atomic script, one round trip a request, the server's clock.
//!
//! A reservation is written with a lease, which its replica renews; a dead replica's are given back. Settlements are
//! told behind the scenes, again and again until they are heard ([`settlements`]). Without Redis, requests follow the
//! setting at once ([`link`] knows, nobody waits to find out); what passed then is charged when Redis is back, unless it
//! was emptied: the usage records then tell the past.

pub mod call;
pub mod link;
pub mod settlements;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::call::{Frame, Reply};
use self::link::{Failure, Framer, Link};
use self::settlements::{Owed, Settlements};
use super::calendar::Calendar;
use super::clock::Clock;
use super::local::{Local, moment};
use super::past::Past;
use super::rule::{Ask, Chain, Guarantees, Limit, Used};
use super::store::Time;
use super::ticket::{Home, Refused, Remaining, Standing, Ticket};
use crate::config::limits::WhenStoreDown;

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub when_down: WhenStoreDown,
    /// What a request may wait for Redis, in all.
    pub timeout: Duration,
    /// How long a replica that says nothing keeps what it holds.
    pub lease: Duration,
    /// What running requests are given to end when the gateway stops.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            when_down: WhenStoreDown::Share,
            timeout: Duration::from_millis(50),
            lease: Duration::from_secs(60),
            drain: Duration::from_secs(30),
        }
    }
}

pub struct Shared {
    settings: Settings,
    time: Time,
    link: Link,
    settlements: Settlements,
    /// This replica's part of the limits, since Redis was last lost.
    share: ArcSwap<Local>,
    next: AtomicU64,
    down_since: AtomicI64,
}

impl Shared {
    /// Starts with Redis or without it; only a wrong URL is an error.
    pub async fn start(
        url: &str,
        settings: Settings,
        time: Time,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Arc<Shared>, String> {
        let replica = getrandom::u64().map_err(|error| error.to_string())?;
        let framer = framer(time.clone(), settings.lease);
        let link = Link::new(url, settings.timeout, replica, framer).map_err(|error| error.to_string())?;
        let share = ArcSwap::from_pointee(Local::new(Home::Share));
        let down_since = AtomicI64::new(time.clock.now().wall);
        let shared = Arc::new(Shared {
            settings,
            link,
            settlements: Settlements::default(),
            share,
            // Half of the number tells replicas apart.
            next: AtomicU64::new(replica << 32),
            down_since,
            time,
        });
        shared.link.connect().await;
        let (one, until) = (shared.clone(), stop.clone());
        tasks.spawn(async move { one.keep(until).await });
        Ok(shared)
    }

    async fn keep(&self, stop: CancellationToken) {
        // The link outlives the settlements, which it carries.
        let ended = CancellationToken::new();
        let told = async {
            self.settlements.deliver(&self.link, stop.clone(), self.settings.drain).await;
            ended.cancel();
        };
        tokio::join!(
            told,
            self.link.keep(ended.clone()),
            self.settlements.renew(&self.link, self.settings.lease, ended.clone()),
            self.mind_outages(ended.clone()),
        );
    }

    /// Each outage begins with a share that nobody has used.
    async fn mind_outages(&self, stop: CancellationToken) {
        let mut up = self.link.watch();
        loop {
            if !*up.borrow_and_update() {
                self.down_since.store(self.time.clock.now().wall, Ordering::Relaxed);
            } else {
                self.share.store(Arc::new(Local::new(Home::Share)));
            }
            tokio::select! {
                changed = up.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    }

    /// Takes from all limits, or from none. The flag asks for the organization's past.
    pub(super) async fn reserve(&self, chain: &Chain, ask: Ask) -> (Result<(Ticket, Standing), Refused>, bool) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let at = self.time.clock.now().wall;
        let mut asking = Asking { settlements: &self.settlements, organization: chain.organization, ticket: Some(id) };
        let numbers = match self.link.call(|frame| self.link.calls.reserve(frame, id, chain, ask)).await {
            Ok(numbers) => numbers,
            Err(failure) => {
                if !matches!(failure, Failure::Gone) {
                    asking.ticket = None;
                }
                return self.without(id, chain, ask, failure);
            }
        };
        asking.ticket = None;
        let Some(reply) = Reply::of(&numbers, chain) else {
            return self.without(id, chain, ask, Failure::Gone);
        };
        let answer = if reply.passed {
            self.settlements.opened(chain.organization, id);
            Ok((Ticket { id, chain: chain.clone(), ask, at, home: Home::Shared }, reply.standing(chain)))
        } else {
            Err(reply.bite(chain, ask).map_or(Refused::Unavailable, Refused::Limit))
        };
        (answer, reply.wants_past)
    }

    /// What the setting says while Redis is gone.
    fn without(
        &self,
        id: u64,
        chain: &Chain,
        ask: Ask,
        failure: Failure,
    ) -> (Result<(Ticket, Standing), Refused>, bool) {
        if let Failure::Refused(error) = failure {
            tracing::error!(%error, "the store of limits refuses");
        }
        let at = self.time.clock.now().wall;
        match self.settings.when_down {
            WhenStoreDown::Closed => (Err(Refused::Unavailable), false),
            WhenStoreDown::Open => {
                let ticket = Ticket { id, chain: chain.clone(), ask, at, home: Home::Nobody };
                self.settlements.opened(chain.organization, id);
                (Ok((ticket, Standing::default())), false)
            }
            WhenStoreDown::Share => {
                let share = self.share.load();
                let part = part(chain, self.link.replicas());
                let wants_past = share.is_new(chain.organization);
                let taken = share.reserve(&self.time.clock, &self.time.calendar, id, &part, ask);
                if taken.is_ok() {
                    self.settlements.opened(chain.organization, id);
                }
                (taken.map_err(Refused::Limit), wants_past)
            }
        }
    }

    pub(super) fn settle(&self, ticket: &Ticket, used: Used) {
        let owed = match ticket.home {
            Home::Shared => Owed::Settled(ticket.clone(), used),
            Home::Local | Home::Share | Home::Nobody => Owed::Charged(ticket.clone(), used),
        };
        if self.settlements.end(ticket.id, Some(owed)) && ticket.home == Home::Share {
            self.share.load().settle(&self.time.clock, &self.time.calendar, ticket, used);
        }
    }

    pub(super) fn release(&self, ticket: &Ticket) {
        let organization = ticket.chain.organization;
        let owed = (ticket.home == Home::Shared).then_some(Owed::Released { organization, ticket: ticket.id });
        if self.settlements.end(ticket.id, owed) && ticket.home == Home::Share {
            self.share.load().release(ticket);
        }
    }

    pub(super) async fn read(&self, chain: &Chain) -> Result<Vec<Remaining>, Refused> {
        let numbers = self.link.call(|frame| self.link.calls.read(frame, chain)).await;
        match numbers.as_ref().ok().and_then(|numbers| Reply::of(numbers, chain)) {
            Some(reply) => Ok(reply.remaining(chain)),
            None if self.settings.when_down == WhenStoreDown::Share => {
                let part = part(chain, self.link.replicas());
                Ok(self.share.load().read(&self.time.clock, &self.time.calendar, &part))
            }
            None => Err(Refused::Unavailable),
        }
    }

    /// Gives the past to whoever counts now. Tells whether it was heard: if not, it will be asked for again.
    pub(super) async fn preload(&self, organization: i64, past: &[Past]) -> bool {
        let moment = moment(&self.time.clock, &self.time.calendar);
        if self.link.is_up() {
            let past = super::past::sum(&moment, past);
            let call = self.link.calls.preload(&self.link.frame(), organization, &past);
            return self.link.send_one(&call).await.is_ok_and(|answer| answer.first() != Some(&-1));
        }
        let replicas = u64::from(self.link.replicas());
        let part: Vec<Past> =
            past.iter().map(|one| Past { amount: one.amount.div_ceil(replicas), ..one.clone() }).collect();
        self.share.load().preload(&self.time.clock, &self.time.calendar, organization, &part);
        true
    }

    pub(super) fn tidy(&self) {
        self.share.load().tidy(&self.time.clock, &self.time.calendar);
    }

    pub(super) fn health(&self) -> Health {
        Health {
            up: self.link.is_up(),
            down_since: self.down_since.load(Ordering::Relaxed),
            when_down: self.settings.when_down,
            replicas: self.link.replicas(),
            waiting: self.settlements.waiting(),
            lost: self.settlements.lost(),
        }
    }
}

/// A question on its way. Dropped before the answer, because the client left or the answer did not come, it takes back
/// what Redis may have granted.
struct Asking<'a> {
    settlements: &'a Settlements,
    organization: i64,
    ticket: Option<u64>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.settlements.owe(Owed::Released { organization: self.organization, ticket });
        }
    }
}

/// How the shared store is, for metrics and `/health/ready`.
#[derive(Clone, Copy, Debug)]
pub struct Health {
    pub up: bool,
    /// When it was last seen to go, in Unix milliseconds; of no meaning while it is up.
    pub down_since: i64,
    pub when_down: WhenStoreDown,
    /// Replicas that lived when it last answered.
    pub replicas: u32,
    /// Settlements not told yet.
    pub waiting: usize,
    /// Settlements that found no room during an outage.
    pub lost: u64,
}

fn framer(time: Time, lease: Duration) -> Framer {
    Box::new(move |ahead| {
        let wall = time.clock.now().wall.saturating_add(ahead);
        let periods = Calendar::at(&time.calendar, wall);
        Frame { time: if Clock::is_manual(&time.clock) { wall } else { 0 }, lease, periods }
    })
}

/// One replica's part of each limit: never nothing, as it would let nothing pass.
fn part(chain: &Chain, replicas: u32) -> Chain {
    let replicas = u64::from(replicas);
    let cut = |amount: u64| amount / replicas;
    let limits = chain.limits.iter().map(|limit| Limit {
        id: limit.id.clone(),
        max: cut(limit.max).max(1),
        guarantees: limit.guarantees.as_deref().map(|all| {
            let by_project = all.by_project.iter().map(|(project, sure)| (*project, cut(*sure))).collect();
            Arc::new(Guarantees { by_project })
        }),
    });
    Chain { organization: chain.organization, project: chain.project, limits: limits.collect() }
}
