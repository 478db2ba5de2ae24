//! Where limits are counted, the seam: in process, or in Redis for several replicas. The same behaviour tests run on
//! both.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::calendar::Calendar;
use super::clock::Clock;
use super::ledger::Past;
use super::local::Local;
use super::rule::{Ask, Chain, Used};
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
    Local(Local),
}

impl Store {
    pub fn local(time: Time) -> Store {
        let (wanted, wanting) = mpsc::channel(WANTED);
        let place = Place::Local(Local::new(&time.clock, Home::Local));
        Store { time, place, wanted, wanting: Mutex::new(Some(wanting)) }
    }

    /// Takes from all limits of the chain, or from none. In process this never waits.
    pub async fn reserve(&self, chain: &Chain, ask: Ask) -> Result<(Ticket, Standing), Refused> {
        match &self.place {
            Place::Local(local) => {
                if local.is_new(chain.organization) {
                    self.want(chain.organization);
                }
                local.reserve(&self.time.clock, &self.time.calendar, chain, ask).map_err(Refused::Limit)
            }
        }
    }

    /// Charges what was really used and frees the slots. Never waits; the second time does nothing.
    pub fn settle(&self, ticket: &Ticket, used: Used) {
        match &self.place {
            Place::Local(local) => local.settle(&self.time.clock, &self.time.calendar, ticket, used),
        }
    }

    /// Gives all back, as if nothing had been asked. Never waits; after a settlement, does nothing.
    pub fn release(&self, ticket: &Ticket) {
        match &self.place {
            Place::Local(local) => local.release(ticket),
        }
    }

    /// How the limits of a chain stand, in its order; takes nothing.
    pub async fn read(&self, chain: &Chain) -> Result<Vec<Remaining>, Refused> {
        match &self.place {
            Place::Local(local) => Ok(local.read(&self.time.clock, &self.time.calendar, chain)),
        }
    }

    /// Counts the past of an organization, from its usage records: all of its present minute, day and month. What is
    /// younger than the counters is ignored, as they have counted it themselves.
    pub async fn preload(&self, organization: i64, past: &[Past]) {
        match &self.place {
            Place::Local(local) => {
                local.is_new(organization);
                local.preload(&self.time.clock, &self.time.calendar, organization, past);
            }
        }
    }

    /// Organizations whose past has to be given to [`Store::preload`]: met for the first time since a start, or since
    /// Redis was emptied. Can be taken once.
    pub fn wanting(&self) -> Option<mpsc::Receiver<i64>> {
        self.wanting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn want(&self, organization: i64) {
        if self.wanted.try_send(organization).is_err() {
            tracing::debug!(organization, "the past of an organization could not be asked for");
        }
    }

    /// Gives back the memory of what is at rest.
    pub fn tidy(&self) {
        match &self.place {
            Place::Local(local) => local.tidy(&self.time.clock, &self.time.calendar),
        }
    }
}
