//! Where limits are counted, the seam: in process, or in Redis for several replicas. The same behaviour tests run on
//! both.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::calendar::Calendar;
use super::clock::Clock;
use super::local::Local;
use super::past::Past;
use super::rule::{Ask, Chain, Used};
use super::shared::{Health, Settings, Shared};
use super::ticket::{Home, Refused, Remaining, Standing, Ticket};

/// Organizations that wait for their past at once. One that finds no room asks again at its next request.
const WANTED: usize = 1_024;

/// What every store needs to know of time.
#[derive(Clone, Debug)]
pub struct Time {
    pub clock: Clock,
    pub calendar: Arc<Calendar>,
}

pub struct Store {
    time: Time,
    place: Place,
    wanted: mpsc::Sender<i64>,
    wanting: Mutex<Option<mpsc::Receiver<i64>>>,
}

enum Place {
    Local(Local, AtomicU64),
    Shared(Arc<Shared>),
}

impl Store {
    pub fn local(time: Time) -> Store {
        Store::new(time, Place::Local(Local::new(Home::Local), AtomicU64::new(1)))
    }

    /// Starts with Redis or without it; only a wrong URL is an error, told without the URL.
    pub async fn shared(
        url: &str,
        settings: Settings,
        time: Time,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Store, String> {
        let shared = Shared::start(url, settings, time.clone(), tasks, stop).await?;
        Ok(Store::new(time, Place::Shared(shared)))
    }

    fn new(time: Time, place: Place) -> Store {
        let (wanted, wanting) = mpsc::channel(WANTED);
        Store { time, place, wanted, wanting: Mutex::new(Some(wanting)) }
    }

    /// Takes from all limits of the chain, or from none. In process this never waits.
    pub async fn reserve(&self, chain: &Chain, ask: Ask) -> Result<(Ticket, Standing), Refused> {
        let (answer, wants_past) = match &self.place {
            Place::Local(local, next) => {
                let (clock, calendar, id) =
                    (&self.time.clock, &self.time.calendar, next.fetch_add(1, Ordering::Relaxed));
                let answer = local.reserve(clock, calendar, id, chain, ask).map_err(Refused::Limit);
                (answer, local.is_new(chain.organization))
            }
            Place::Shared(shared) => shared.reserve(chain, ask).await,
        };
        if wants_past && self.wanted.try_send(chain.organization).is_err() {
            tracing::debug!(organization = chain.organization, "the past of an organization could not be asked for");
        }
        answer
    }

    /// Charges what was really used and frees the slots. Never waits; the second time does nothing.
    pub fn settle(&self, ticket: &Ticket, used: Used) {
        match &self.place {
            Place::Local(local, _) => local.settle(&self.time.clock, &self.time.calendar, ticket, used),
            Place::Shared(shared) => shared.settle(ticket, used),
        }
    }

    /// Gives all back, as if nothing had been asked. Never waits; after a settlement, does nothing.
    pub fn release(&self, ticket: &Ticket) {
        match &self.place {
            Place::Local(local, _) => local.release(ticket),
            Place::Shared(shared) => shared.release(ticket),
        }
    }

    /// How the limits of a chain stand, in its order; takes nothing.
    pub async fn read(&self, chain: &Chain) -> Result<Vec<Remaining>, Refused> {
        match &self.place {
            Place::Local(local, _) => Ok(local.read(&self.time.clock, &self.time.calendar, chain)),
            Place::Shared(shared) => shared.read(chain).await,
        }
    }

    /// Counts the past of an organization, from its usage records: all of its present minute, day and month. What is
    /// younger than the counters is ignored, as they have counted it themselves. Tells whether it was heard; in Redis,
    /// only the first is, of all replicas.
    pub async fn preload(&self, organization: i64, past: &[Past]) -> bool {
        match &self.place {
            Place::Local(local, _) => {
                local.is_new(organization);
                local.preload(&self.time.clock, &self.time.calendar, organization, past);
                true
            }
            Place::Shared(shared) => shared.preload(organization, past).await,
        }
    }

    /// Organizations whose past has to be given to [`Store::preload`]: met for the first time since a start, since
    /// Redis was emptied, or since it is gone. Can be taken once.
    pub fn wanting(&self) -> Option<mpsc::Receiver<i64>> {
        self.wanting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// How the shared store is; `None` in process.
    pub fn health(&self) -> Option<Health> {
        match &self.place {
            Place::Local(..) => None,
            Place::Shared(shared) => Some(shared.health()),
        }
    }

    /// Gives back the memory of what is at rest.
    pub fn tidy(&self) {
        match &self.place {
            Place::Local(local, _) => local.tidy(&self.time.clock, &self.time.calendar),
            Place::Shared(shared) => shared.tidy(),
        }
    }
}
