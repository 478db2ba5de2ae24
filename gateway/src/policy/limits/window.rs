//! What one counter holds: tokens of a sliding minute, of a calendar day or month, or slots in use.

use std::collections::VecDeque;

use super::calendar::{Period, Periods};
use super::clock::Now;
use super::rule::{Kind, Window};

/// A minute is cut in steps of 200 ms. What was counted within a step leaves with it, 60.0 to 60.2 s later: never sooner,
/// so that no minute admits more than its limit, and late by 0.3 % at most.
pub const STEP: u64 = 200;
/// Steps that a minute touches.
pub const STEPS: u64 = 60_000 / STEP + 1;

/// A moment, and the day and month it is in.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: Now,
    pub periods: Periods,
}

/// Where an amount was counted, to find it again when it is given back: a step of a minute, the start of a day or month.
pub type Place = i64;

/// What was counted over one window.
#[derive(Clone, Debug)]
pub enum Count {
    Minute(Minute),
    Day(Tally),
    Month(Tally),
    Slots(u64),
}

impl Count {
    pub fn new(kind: Kind) -> Count {
        match kind {
            Kind::Rate { window: Window::Minute, .. } => Count::Minute(Minute::default()),
            Kind::Rate { window: Window::Day, .. } => Count::Day(Tally::default()),
            Kind::Rate { window: Window::Month, .. } => Count::Month(Tally::default()),
            Kind::Concurrent => Count::Slots(0),
        }
    }

    /// Forgets what has left the window, and tells what is in it.
    pub fn roll(&mut self, moment: &Moment) -> u64 {
        match self {
            Count::Minute(minute) => minute.roll(moment.now.tick),
            Count::Day(tally) => tally.roll(moment.periods.day),
            Count::Month(tally) => tally.roll(moment.periods.month),
            Count::Slots(slots) => *slots,
        }
    }

    pub fn add(&mut self, moment: &Moment, amount: u64) -> Place {
        self.roll(moment);
        match self {
            Count::Minute(minute) => minute.add(moment.now.tick, amount),
            Count::Day(tally) | Count::Month(tally) => tally.add(amount),
            Count::Slots(slots) => {
                *slots = slots.saturating_add(amount);
                0
            }
        }
    }

    /// Takes an amount back from where it was counted. What has left the window since is not given back twice.
    pub fn take_back(&mut self, place: Place, amount: u64) {
        match self {
            Count::Minute(minute) => minute.take_back(place, amount),
            Count::Day(tally) | Count::Month(tally) => tally.take_back(place, amount),
            Count::Slots(slots) => *slots = slots.saturating_sub(amount),
        }
    }

    /// Counts what was used before this counter was made, at a Unix time in milliseconds.
    pub fn remember(&mut self, moment: &Moment, at: i64, amount: u64) {
        self.roll(moment);
        match self {
            Count::Minute(minute) => {
                let age = u64::try_from(moment.now.wall.saturating_sub(at)).unwrap_or(0);
                minute.remember(moment.now.tick, moment.now.tick.saturating_sub(age), amount);
            }
            Count::Day(tally) | Count::Month(tally) => tally.remember(at, amount),
            Count::Slots(_) => {}
        }
    }

    /// Milliseconds until the count is back to nothing; zero for slots, which nobody can promise.
    pub fn resets_in(&self, moment: &Moment) -> u64 {
        match self {
            Count::Minute(minute) => minute.resets_in(moment.now.tick),
            Count::Day(tally) => tally.resets_in(moment.periods.day, moment.now.wall),
            Count::Month(tally) => tally.resets_in(moment.periods.month, moment.now.wall),
            Count::Slots(_) => 0,
        }
    }

    /// What will be left of the present count at a later tick of the same day.
    pub fn left_at(&self, tick: u64) -> u64 {
        match self {
            Count::Minute(minute) => minute.left_at(tick),
            Count::Day(tally) | Count::Month(tally) => tally.count,
            Count::Slots(slots) => *slots,
        }
    }

    /// Whether forgetting this counter would change nothing. To be asked after [`Count::roll`].
    pub fn is_idle(&self) -> bool {
        match self {
            Count::Minute(minute) => minute.steps.is_empty(),
            Count::Day(tally) | Count::Month(tally) => tally.count == 0,
            Count::Slots(slots) => *slots == 0,
        }
    }
}

/// The last minute, as the steps in which something was counted: memory for what is active only.
#[derive(Clone, Debug, Default)]
pub struct Minute {
    /// Numbers of steps, oldest first, and their amounts.
    steps: VecDeque<(u64, u64)>,
    sum: u64,
}

impl Minute {
    fn roll(&mut self, tick: u64) -> u64 {
        let present = tick / STEP;
        while let Some((step, amount)) = self.steps.front().copied() {
            if step + STEPS > present {
                break;
            }
            self.sum = self.sum.saturating_sub(amount);
            self.steps.pop_front();
        }
        if self.steps.is_empty() {
            *self = Minute::default();
        }
        self.sum
    }

    fn add(&mut self, tick: u64, amount: u64) -> Place {
        self.sum = self.sum.saturating_add(amount);
        let present = tick / STEP;
        let step = match self.steps.back_mut() {
            // A reading taken just before another thread's counts with it.
            Some((last, held)) if *last >= present => {
                *held = held.saturating_add(amount);
                *last
            }
            _ => {
                self.steps.push_back((present, amount));
                present
            }
        };
        i64::try_from(step).unwrap_or(i64::MAX)
    }

    fn remember(&mut self, tick: u64, at: u64, amount: u64) {
        let (present, step) = (tick / STEP, at / STEP);
        if step + STEPS <= present {
            return;
        }
        self.sum = self.sum.saturating_add(amount);
        match self.steps.binary_search_by_key(&step, |(step, _)| *step) {
            Ok(found) => {
                if let Some((_, held)) = self.steps.get_mut(found) {
                    *held = held.saturating_add(amount);
                }
            }
            Err(between) => self.steps.insert(between, (step, amount)),
        }
    }

    fn take_back(&mut self, place: Place, amount: u64) {
        let Ok(step) = u64::try_from(place) else { return };
        if let Ok(found) = self.steps.binary_search_by_key(&step, |(step, _)| *step)
            && let Some((_, held)) = self.steps.get_mut(found)
        {
            let back = amount.min(*held);
            *held -= back;
            self.sum = self.sum.saturating_sub(back);
        }
    }

    fn resets_in(&self, tick: u64) -> u64 {
        self.steps.back().map_or(0, |(step, _)| leaves(*step).saturating_sub(tick))
    }

    fn left_at(&self, tick: u64) -> u64 {
        let present = tick / STEP;
        if self.steps.front().is_none_or(|(step, _)| step + STEPS > present) {
            return self.sum;
        }
        self.steps.iter().filter(|(step, _)| step + STEPS > present).map(|(_, amount)| amount).sum()
    }

    /// The ticks at which something leaves, soonest first.
    pub fn leaving(&self, index: usize) -> Option<u64> {
        self.steps.get(index).map(|(step, _)| leaves(*step))
    }

    pub fn len(&self) -> usize {
        self.steps.len()
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// The tick at which a step is out of the window.
fn leaves(step: u64) -> u64 {
    (step + STEPS) * STEP
}

/// What was counted in one day or month.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    start: i64,
    count: u64,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally { start: i64::MIN, count: 0 }
    }
}

impl Tally {
    /// A wall clock that steps back over midnight finds the later day still counting, and stays in it: going to and fro
    /// gives nobody a fresh day each time. One that comes back from farther keeps its count in the day it finds.
    fn roll(&mut self, period: Period) -> u64 {
        if self.start != period.start && self.start != period.end {
            if self.start < period.start {
                self.count = 0;
            }
            self.start = period.start;
        }
        self.count
    }

    fn add(&mut self, amount: u64) -> Place {
        self.count = self.count.saturating_add(amount);
        self.start
    }

    fn take_back(&mut self, place: Place, amount: u64) {
        if self.start == place {
            self.count = self.count.saturating_sub(amount);
        }
    }

    fn remember(&mut self, at: i64, amount: u64) {
        if at >= self.start {
            self.count = self.count.saturating_add(amount);
        }
    }

    fn resets_in(&self, period: Period, wall: i64) -> u64 {
        if self.count == 0 {
            return 0;
        }
        let end = if self.start == period.end { period.next_end } else { period.end };
        u64::try_from(end.saturating_sub(wall)).unwrap_or(0)
    }
}
