//! The fair order, with no clock and no I/O: what the gateway, the simulation and the tests all run.
//!
//! Weighted virtual token counters (Sheng et al., « Fairness in Serving Large Language Models », OSDI 2024), on two
//! levels: organizations share a model, and the projects of each share its part. A counter advances with the tokens
//! really served, divided by the weight: with the input when a request gets its slot, with the output as it is written.
//! A free slot goes to the lowest counter among those it is open to, so that no slot stays free beside a request that it
//! could serve.
//!
//! Batches (`flex`) are counted apart and served when nothing else could take the slot; one that has waited longer than
//! the aging bound becomes interactive, and is then served within its organization's share.

use std::collections::{BTreeMap, VecDeque};

use super::share::{Peer, Peers, Share};
pub use super::tenant::{Lane, Tenant, Tier};
use crate::config::DataClass;

pub const CLASSES: usize = DataClass::ALL.len();

/// Which data classes a free slot is open to.
pub type Open = [bool; CLASSES];

/// A request that wants a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    pub tenant: Tenant,
    pub class: DataClass,
    /// Its input in tokens, as far as is known.
    pub input: u64,
}

/// Whom the tokens of a served request are counted on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Account {
    pub organization: i64,
    pub project: i64,
    pub lane: Lane,
    /// What was counted when it began.
    input: u64,
}

/// A place in the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket {
    number: u64,
    ask: Ask,
    /// In milliseconds of the caller's clock.
    pub arrived: u64,
}

impl Ticket {
    pub fn input(&self) -> u64 {
        self.ask.input
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    organization: i64,
    project: i64,
    tier: Tier,
    pub class: DataClass,
}

/// A request whose turn has come.
#[derive(Debug)]
pub struct Served<T> {
    pub what: T,
    pub ticket: Ticket,
    pub account: Account,
}

/// How many may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    pub length: usize,
    pub per_organization: usize,
}

/// Whether one more may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    Free,
    /// The line is full, and this organization has a longer one than the caller's: its last request makes room.
    InsteadOf(i64),
    Full,
}

#[derive(Debug)]
struct Waiter<T> {
    ticket: Ticket,
    what: T,
}

#[derive(Debug)]
struct Project<T> {
    share: Share,
    lines: [[VecDeque<Waiter<T>>; CLASSES]; 3],
}

#[derive(Debug)]
struct Organization<T> {
    share: Share,
    projects: Peers<Project<T>>,
}

/// All requests of one model, waiting and running.
#[derive(Debug)]
pub struct Fair<T> {
    organizations: Peers<Organization<T>>,
    waiting: [usize; CLASSES],
    /// Batches that wait, oldest first.
    aging: BTreeMap<u64, Ticket>,
    next: u64,
    turn: u64,
    /// Tokens counted since they were last told to other replicas; `None` when there are none.
    news: Option<BTreeMap<(i64, Lane), i64>>,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Fair {
            organizations: Peers::default(),
            waiting: [0; CLASSES],
            aging: BTreeMap::new(),
            next: 0,
            turn: 0,
            news: None,
        }
    }
}

impl<T> Fair<T> {
    pub fn waiting(&self) -> usize {
        self.waiting.iter().sum()
    }

    /// True when somebody of that class waits.
    pub fn waits(&self, class: DataClass) -> bool {
        self.waiting[class as usize] > 0
    }

    pub fn waiting_of(&self, organization: i64) -> usize {
        self.organizations.get(organization).map_or(0, |one| one.share.waiting() as usize)
    }

    /// The weights of all who wait, to tell which part of the slots one of them gets.
    pub fn weight_waiting(&self) -> u64 {
        self.organizations.active().map(|(_, one)| u64::from(one.share.weight())).sum()
    }

    /// Whether one more request of this organization may wait.
    pub fn room(&self, organization: i64, bounds: &Bounds) -> Room {
        let own = self.waiting_of(organization);
        if own >= bounds.per_organization {
            return Room::Full;
        }
        if self.waiting() < bounds.length {
            return Room::Free;
        }
        // A line that one organization has filled is no reason to turn another away.
        self.organizations
            .active()
            .map(|(id, one)| (one.share.waiting() as usize, id))
            .max()
            .filter(|(longest, _)| *longest > own + 1)
            .map_or(Room::Full, |(_, id)| Room::InsteadOf(id))
    }

    /// Joins the line.
    pub fn join(&mut self, ask: Ask, now: u64, what: T) -> Ticket {
        let ticket = Ticket { number: self.next, ask, arrived: now };
        self.next += 1;
        if ask.tenant.tier == Tier::Flex {
            self.aging.insert(ticket.number, ticket);
        }
        self.put(Waiter { ticket, what }, ask.tenant.tier);
        ticket
    }

    /// Leaves the line, or `None` when its turn has come already.
    pub fn leave(&mut self, ticket: &Ticket) -> Option<T> {
        let tier = ticket.ask.tenant.tier;
        let waiter = match self.remove(ticket, tier) {
            // A batch that has aged stands among the interactive.
            None if tier == Tier::Flex => self.remove(ticket, Tier::Interactive),
            found => found,
        };
        self.aging.remove(&ticket.number);
        let Tenant { organization, project, .. } = ticket.ask.tenant;
        if let Some(one) = self.organizations.get_mut(organization) {
            one.projects.forget(project);
        }
        self.organizations.forget(organization);
        waiter.map(|waiter| waiter.what)
    }

    /// Takes the last request of an organization out of the line, batches first.
    pub fn turn_away(&mut self, organization: i64) -> Option<T> {
        let one = self.organizations.get(organization)?;
        let last = |tier: Tier| {
            one.projects
                .active()
                .flat_map(|(_, project)| project.lines[tier as usize].iter())
                .filter_map(|line| line.back())
                .map(|waiter| waiter.ticket)
                .max_by_key(|ticket| ticket.number)
        };
        let ticket = last(Tier::Flex).or_else(|| last(Tier::Interactive)).or_else(|| last(Tier::Priority))?;
        self.leave(&ticket)
    }

    /// Batches that have waited as long as `bound` become interactive.
    pub fn age(&mut self, now: u64, bound: u64) {
        while let Some((number, ticket)) = self.aging.first_key_value()
            && ticket.arrived.saturating_add(bound) <= now
        {
            let (number, ticket) = (*number, *ticket);
            self.aging.remove(&number);
            if let Some(waiter) = self.remove(&ticket, Tier::Flex) {
                self.put(waiter, Tier::Interactive);
            }
        }
    }

    /// Whose turn it is among those a slot is open to.
    pub fn fairest(&self, open: Open) -> Option<Turn> {
        Lane::ALL.into_iter().find_map(|lane| {
            let organization = self.organizations.fairest(lane, open)?;
            let projects = &self.organizations.get(organization)?.projects;
            let project = projects.fairest(lane, open)?;
            let lines = &projects.get(project)?.lines;
            Tier::ALL.into_iter().filter(|tier| tier.lane() == lane).find_map(|tier| {
                DataClass::ALL
                    .into_iter()
                    .filter(|class| open[*class as usize])
                    .filter_map(|class| Some((lines[tier as usize][class as usize].front()?.ticket.number, class)))
                    .min_by_key(|(number, _)| *number)
                    .map(|(_, class)| Turn { organization, project, tier, class })
            })
        })
    }

    /// Takes that request out of the line and counts its input. `open` is what its slot was open to.
    pub fn take(&mut self, turn: Turn, open: Open) -> Option<Served<T>> {
        let Turn { organization, project, tier, class } = turn;
        let front = self
            .organizations
            .get(organization)
            .and_then(|one| one.projects.get(project)?.lines[tier as usize][class as usize].front())
            .map(|waiter| waiter.ticket)?;
        let account = self.begin(front.ask, tier, open);
        self.aging.remove(&front.number);
        let waiter = self.remove(&front, tier)?;
        Some(Served { what: waiter.what, ticket: waiter.ticket, account })
    }

    /// Takes the fairest request out of the line.
    pub fn next(&mut self, open: Open) -> Option<Served<T>> {
        let turn = self.fairest(open)?;
        self.take(turn, open)
    }

    /// A request that finds a free slot and nobody in line is counted as if it had waited.
    pub fn pass(&mut self, ask: Ask, open: Open) -> Account {
        let Tenant { organization, project, weight, project_weight, tier } = ask.tenant;
        let class = ask.class as usize;
        self.organizations.joins(organization, weight, tier, class).projects.joins(
            project,
            project_weight,
            tier,
            class,
        );
        let account = self.begin(ask, tier, open);
        self.unwait(&ask, tier);
        account
    }

    /// Counts tokens served; fewer than none takes back an estimate.
    pub fn charge(&mut self, account: Account, tokens: i64) {
        if let Some(one) = self.organizations.get_mut(account.organization) {
            one.share.charge(account.lane, tokens);
            if let Some(project) = one.projects.get_mut(account.project) {
                project.share.charge(account.lane, tokens);
            }
        }
        self.tell(account, tokens);
    }

    /// A served request has given its slot back.
    pub fn ended(&mut self, account: Account) {
        if let Some(one) = self.organizations.get_mut(account.organization) {
            one.projects.ended(account.project, account.lane, account.input);
        }
        self.organizations.ended(account.organization, account.lane, account.input);
    }

    /// From now on, counts what other replicas must hear.
    pub fn share_out(&mut self) {
        self.news.get_or_insert_default();
    }

    /// Tokens counted since the last call, by organization; those who wait are in it whatever they were served, since
    /// it is for them that the tokens of other replicas matter.
    pub fn news(&mut self) -> Vec<((i64, Lane), i64)> {
        let Some(news) = &mut self.news else { return Vec::new() };
        let mut told = std::mem::take(news);
        for (id, _) in self.organizations.active() {
            for lane in Lane::ALL {
                told.entry((id, lane)).or_default();
            }
        }
        told.into_iter().collect()
    }

    /// Counts what an organization was served by other replicas.
    pub fn served_elsewhere(&mut self, organization: i64, lane: Lane, tokens: i64) {
        if let Some(one) = self.organizations.get_mut(organization) {
            one.share.charge(lane, tokens);
        }
    }

    /// Organizations remembered, idle ones with them.
    pub fn known(&self) -> usize {
        self.organizations.len()
    }

    fn tell(&mut self, account: Account, tokens: i64) {
        if let Some(news) = &mut self.news
            && tokens != 0
        {
            *news.entry((account.organization, account.lane)).or_default() += tokens;
        }
    }

    fn begin(&mut self, ask: Ask, tier: Tier, open: Open) -> Account {
        let Tenant { organization, project, .. } = ask.tenant;
        let lane = tier.lane();
        self.turn += 1;
        self.organizations.served(organization, lane, open, ask.input, self.turn);
        if let Some(one) = self.organizations.get_mut(organization) {
            one.projects.served(project, lane, open, ask.input, self.turn);
        }
        let account = Account { organization, project, lane, input: ask.input };
        self.tell(account, i64::try_from(ask.input).unwrap_or(i64::MAX));
        account
    }

    fn put(&mut self, waiter: Waiter<T>, tier: Tier) {
        let Ask { tenant, class, .. } = waiter.ticket.ask;
        let class = class as usize;
        let organization = self.organizations.joins(tenant.organization, tenant.weight, tier, class);
        let project = organization.projects.joins(tenant.project, tenant.project_weight, tier, class);
        let line = &mut project.lines[tier as usize][class];
        let at = line.partition_point(|other| other.ticket.number < waiter.ticket.number);
        line.insert(at, waiter);
        self.waiting[class] += 1;
    }

    fn remove(&mut self, ticket: &Ticket, tier: Tier) -> Option<Waiter<T>> {
        let Ask { tenant, class, .. } = ticket.ask;
        let project = self.organizations.get_mut(tenant.organization)?.projects.get_mut(tenant.project)?;
        let line = &mut project.lines[tier as usize][class as usize];
        let at = line.binary_search_by_key(&ticket.number, |waiter| waiter.ticket.number).ok()?;
        let waiter = line.remove(at)?;
        self.waiting[class as usize] -= 1;
        self.unwait(&ticket.ask, tier);
        Some(waiter)
    }

    fn unwait(&mut self, ask: &Ask, tier: Tier) {
        let class = ask.class as usize;
        if let Some(one) = self.organizations.get_mut(ask.tenant.organization) {
            one.projects.leaves(ask.tenant.project, tier, class);
        }
        self.organizations.leaves(ask.tenant.organization, tier, class);
    }
}

impl<T> Default for Project<T> {
    fn default() -> Self {
        Project { share: Share::default(), lines: Default::default() }
    }
}

impl<T> Peer for Project<T> {
    fn share(&self) -> &Share {
        &self.share
    }

    fn share_mut(&mut self) -> &mut Share {
        &mut self.share
    }
}

impl<T> Default for Organization<T> {
    fn default() -> Self {
        Organization { share: Share::default(), projects: Peers::default() }
    }
}

impl<T> Peer for Organization<T> {
    fn share(&self) -> &Share {
        &self.share
    }

    fn share_mut(&mut self) -> &mut Share {
        &mut self.share
    }
}

#[cfg(test)]
mod tests;
