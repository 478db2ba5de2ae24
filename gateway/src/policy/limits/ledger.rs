//! All counters of one organization. Pure: time comes in, nothing waits.

use std::collections::HashMap;
use std::time::Duration;

pub use super::past::Past;
use super::rule::{Ask, Chain, CounterId, Guarantees, Kind, Limit, Meter, Used, Window};
use super::ticket::{Bite, Remaining, Standing, Ticket};
use super::window::{Count, Moment, Place};

/// When to ask again for a slot: nobody knows when one will be free.
pub const SLOT_RETRY: Duration = Duration::from_secs(1);

/// Fast: its keys are of our making, so that nobody can aim at one bucket.
type Map<K, V> = HashMap<K, V, quick_cache::DefaultHashBuilder>;

#[derive(Debug, Default)]
pub struct Ledger {
    counters: Map<CounterId, Counter>,
    /// Where each open ticket was counted, limit by limit.
    open: Map<u64, Box<[Place]>>,
    /// The latest tick seen. Threads read the clock before they wait for the ledger.
    latest: u64,
}

#[derive(Debug)]
struct Counter {
    total: Count,
    /// Of it, what projects with a guaranteed share have used.
    shares: Vec<(i64, Count)>,
}

impl Counter {
    fn new(kind: Kind) -> Counter {
        Counter { total: Count::new(kind), shares: Vec::new() }
    }

    fn roll(&mut self, moment: &Moment) {
        self.total.roll(moment);
        for (_, share) in &mut self.shares {
            share.roll(moment);
        }
    }

    fn share(&mut self, project: i64, kind: Kind) -> Option<&mut Count> {
        if !self.shares.iter().any(|(of, _)| *of == project) {
            self.shares.push((project, Count::new(kind)));
        }
        self.shares.iter_mut().find(|(of, _)| *of == project).map(|(_, share)| share)
    }

    fn used_at(&self, tick: u64) -> u64 {
        self.total.left_at(tick)
    }

    /// What others than this project are still sure to find, at a tick.
    fn held_at(&self, guarantees: Option<&Guarantees>, project: i64, tick: u64) -> u64 {
        others(guarantees, project)
            .map(|(other, guaranteed)| {
                let share = self.shares.iter().find(|(of, _)| *of == other);
                guaranteed.saturating_sub(share.map_or(0, |(_, share)| share.left_at(tick)))
            })
            .sum()
    }

    fn is_idle(&self) -> bool {
        self.total.is_idle() && self.shares.iter().all(|(_, share)| share.is_idle())
    }
}

/// The guaranteed shares of the other projects.
fn others(guarantees: Option<&Guarantees>, project: i64) -> impl Iterator<Item = (i64, u64)> {
    let all = guarantees.map_or(&[][..], |guarantees| &guarantees.by_project);
    all.iter().copied().filter(move |(other, _)| *other != project)
}

impl Ledger {
    fn after(&mut self, moment: &Moment) -> Moment {
        self.latest = self.latest.max(moment.now.tick);
        let mut moment = *moment;
        moment.now.tick = self.latest;
        moment
    }

    /// Takes from every limit of the chain, or from none and tells which one refused.
    pub fn reserve(&mut self, moment: &Moment, chain: &Chain, ask: Ask, ticket: u64) -> Result<Standing, Bite> {
        let moment = &self.after(moment);
        let mut worst: Option<Bite> = None;
        for (index, limit) in chain.limits.iter().enumerate() {
            if let Some(bite) = self.bite(moment, chain.project, index, limit, ask)
                && worst.is_none_or(|worst| bite.holds_longer(&worst))
            {
                worst = Some(bite);
            }
        }
        if let Some(bite) = worst {
            return Err(bite);
        }
        let mut places = Vec::with_capacity(chain.limits.len());
        let mut standing = Standing::default();
        for (index, limit) in chain.limits.iter().enumerate() {
            let (kind, amount) = (limit.id.kind, limit.id.kind.weight(ask.input, ask.output));
            let counter = counter(&mut self.counters, &limit.id);
            places.push(counter.total.add(moment, amount));
            if guaranteed(limit, chain.project)
                && let Some(share) = counter.share(chain.project, kind)
            {
                share.add(moment, amount);
            }
            standing.see(remaining(Some(counter), moment, chain.project, index, limit), kind);
        }
        self.open.insert(ticket, places.into_boxed_slice());
        Ok(standing)
    }

    fn bite(&mut self, moment: &Moment, project: i64, index: usize, limit: &Limit, ask: Ask) -> Option<Bite> {
        let asked = limit.id.kind.weight(ask.input, ask.output);
        let counter = self.counters.get_mut(&limit.id);
        let counter = counter.map(|counter| {
            counter.roll(moment);
            &*counter
        });
        let guarantees = limit.guarantees.as_deref();
        let sum: u64 = others(guarantees, project).map(|(_, guaranteed)| guaranteed).sum();
        let never = asked.saturating_add(sum) > limit.max;
        // What stands in the way at a tick.
        let taken = |tick: u64| {
            counter
                .map_or(sum, |counter| counter.used_at(tick).saturating_add(counter.held_at(guarantees, project, tick)))
        };
        let tick = moment.now.tick;
        if !never && taken(tick).saturating_add(asked) <= limit.max {
            return None;
        }
        let resets_in = counter.map_or(0, |counter| counter.total.resets_in(moment));
        let retry_after = match (never, counter.map(|counter| &counter.total)) {
            (true, _) => None,
            // What stands in the way only shrinks with time: look for the first step whose leaving is enough.
            (_, Some(Count::Minute(minute))) => {
                let (mut low, mut high) = (0, minute.len().saturating_sub(1));
                while low < high {
                    let middle = low.midpoint(high);
                    let at = minute.leaving(middle).unwrap_or(u64::MAX);
                    if taken(at).saturating_add(asked) <= limit.max { high = middle } else { low = middle + 1 }
                }
                Some(Duration::from_millis(minute.leaving(low).unwrap_or(tick).saturating_sub(tick)))
            }
            (_, Some(Count::Slots(_))) => Some(SLOT_RETRY),
            _ => Some(Duration::from_millis(resets_in)),
        };
        Some(Bite {
            limit: index,
            used: counter.map_or(0, |counter| counter.used_at(tick)),
            max: limit.max,
            asked,
            retry_after,
            resets_in: Duration::from_millis(resets_in),
        })
    }

    /// Charges what was really used, and frees the slots. What was held too much goes back where it came from; what was
    /// held too little is charged now.
    pub fn settle(&mut self, moment: &Moment, ticket: &Ticket, used: Used) {
        let moment = &self.after(moment);
        self.close(ticket, |count, kind, place| {
            let held = kind.weight(ticket.ask.input, ticket.ask.output);
            let spent = if kind == Kind::Concurrent { 0 } else { kind.weight(used.input, used.output) };
            if spent > held {
                count.add(moment, spent - held);
            } else {
                count.take_back(place, held - spent);
            }
        });
    }

    /// Gives all back, as if nothing had been asked.
    pub fn release(&mut self, ticket: &Ticket) {
        self.close(ticket, |count, kind, place| {
            count.take_back(place, kind.weight(ticket.ask.input, ticket.ask.output));
        });
    }

    fn close(&mut self, ticket: &Ticket, mut each: impl FnMut(&mut Count, Kind, Place)) {
        let Some(places) = self.open.remove(&ticket.id) else { return };
        for (limit, place) in ticket.chain.limits.iter().zip(places) {
            // Tidied away, perhaps, while it held nothing.
            let counter = counter(&mut self.counters, &limit.id);
            each(&mut counter.total, limit.id.kind, place);
            if guaranteed(limit, ticket.chain.project)
                && let Some(share) = counter.share(ticket.chain.project, limit.id.kind)
            {
                each(share, limit.id.kind, place);
            }
        }
    }

    /// How limits stand for a project; takes nothing.
    pub fn read(&mut self, moment: &Moment, project: i64, limits: &[Limit]) -> Vec<Remaining> {
        let moment = &self.after(moment);
        let mut all = Vec::with_capacity(limits.len());
        for (index, limit) in limits.iter().enumerate() {
            let mut counter = self.counters.get_mut(&limit.id);
            if let Some(counter) = &mut counter {
                counter.roll(moment);
            }
            all.push(remaining(counter.as_deref(), moment, project, index, limit));
        }
        all
    }

    /// Counts what was used before the ledger was made.
    pub fn remember(&mut self, moment: &Moment, past: &[Past]) {
        let moment = &self.after(moment);
        for one in past {
            let counter = counter(&mut self.counters, &one.id);
            counter.total.remember(moment, one.at, one.amount);
            if let Some(share) = one.project.and_then(|project| counter.share(project, one.id.kind)) {
                share.remember(moment, one.at, one.amount);
            }
        }
    }

    /// Forgets counters at rest. Tells whether nothing is left.
    pub fn tidy(&mut self, moment: &Moment) -> bool {
        let moment = &self.after(moment);
        self.counters.retain(|_, counter| {
            counter.roll(moment);
            !counter.is_idle()
        });
        self.counters.shrink_to_fit();
        self.open.shrink_to_fit();
        self.counters.is_empty() && self.open.is_empty()
    }
}

fn counter<'a>(counters: &'a mut Map<CounterId, Counter>, id: &CounterId) -> &'a mut Counter {
    counters.entry(id.clone()).or_insert_with(|| Counter::new(id.kind))
}

fn guaranteed(limit: &Limit, project: i64) -> bool {
    limit.guarantees.as_deref().is_some_and(|all| all.by_project.iter().any(|(of, _)| *of == project))
}

fn remaining(counter: Option<&Counter>, moment: &Moment, project: i64, index: usize, limit: &Limit) -> Remaining {
    let tick = moment.now.tick;
    let guarantees = limit.guarantees.as_deref();
    let used = counter.map_or(0, |counter| counter.used_at(tick));
    let held = match counter {
        Some(counter) => counter.held_at(guarantees, project, tick),
        None => others(guarantees, project).map(|(_, guaranteed)| guaranteed).sum(),
    };
    Remaining {
        limit: index,
        used,
        max: limit.max,
        left: limit.max.saturating_sub(used).saturating_sub(held),
        resets_in: Duration::from_millis(counter.map_or(0, |counter| counter.total.resets_in(moment))),
    }
}

impl Standing {
    /// Keeps this limit if it bites sooner than those seen before.
    pub(super) fn see(&mut self, one: Remaining, kind: Kind) {
        let Kind::Rate { meter, window } = kind else { return };
        let place = if meter == Meter::Requests { &mut self.requests } else { &mut self.tokens };
        if place.is_none_or(|held| (one.left, held.resets_in) < (held.left, one.resets_in)) {
            *place = Some(one);
        }
        let fuller =
            |held: Remaining| u128::from(one.used) * u128::from(held.max) > u128::from(held.used) * u128::from(one.max);
        if window != Window::Minute && self.fullest.is_none_or(fuller) {
            self.fullest = Some(one);
        }
    }
}

#[cfg(test)]
mod tests;
