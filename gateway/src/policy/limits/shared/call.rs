//! The words of the script: what is sent, what comes back.

use std::time::Duration;

use redis::{Cmd, Script};

use crate::policy::limits::calendar::Periods;
use crate::policy::limits::past::Past;
use crate::policy::limits::rule::{Ask, Chain, CounterId, Kind, LARGEST, Limit, Meter, Used, Window};
use crate::policy::limits::ticket::{Bite, Remaining, Standing, Ticket};

/// Names the keys and their meaning; changes with the script's.
const PREFIX: &str = "guichet:1";

/// What every call says first.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Simulated time of tests; 0 lets the server's clock count.
    pub time: i64,
    pub lease: Duration,
    pub periods: Periods,
}

/// Builds the calls of one script.
pub struct Calls {
    hash: String,
}

impl Calls {
    pub fn new(script: &Script) -> Calls {
        Calls { hash: script.get_hash().to_owned() }
    }

    pub fn reserve(&self, frame: &Frame, ticket: u64, chain: &Chain, ask: Ask) -> Cmd {
        let mut call = self.on_chain(frame, "reserve", ticket, chain);
        call.arg(capped(ask.input)).arg(capped(ask.output));
        limits(&mut call, chain);
        call
    }

    pub fn read(&self, frame: &Frame, chain: &Chain) -> Cmd {
        let mut call = self.on_chain(frame, "read", 0, chain);
        limits(&mut call, chain);
        call
    }

    pub fn settle(&self, frame: &Frame, ticket: &Ticket, used: Used) -> Cmd {
        let mut call = self.on_chain(frame, "settle", ticket.id, &ticket.chain);
        call.arg(capped(used.input)).arg(capped(used.output));
        limits(&mut call, &ticket.chain);
        call
    }

    pub fn charge(&self, frame: &Frame, ticket: &Ticket, used: Used) -> Cmd {
        let mut call = self.on_chain(frame, "charge", ticket.id, &ticket.chain);
        call.arg(ticket.at).arg(capped(used.input)).arg(capped(used.output));
        limits(&mut call, &ticket.chain);
        call
    }

    pub fn release(&self, frame: &Frame, organization: i64, ticket: u64) -> Cmd {
        let mut call = self.call(1);
        call.arg(base(organization));
        head(&mut call, frame, "release", ticket);
        periods(&mut call, &frame.periods);
        call
    }

    pub fn preload(&self, frame: &Frame, organization: i64, past: &[Past]) -> Cmd {
        let mut call = self.call(past.len() + 1);
        call.arg(base(organization));
        for one in past {
            call.arg(key(organization, &one.id));
        }
        head(&mut call, frame, "preload", 0);
        periods(&mut call, &frame.periods);
        call.arg(past.len());
        for one in past {
            call.arg(kind(one.id.kind)).arg(one.project.map_or(String::new(), |project| project.to_string()));
            call.arg(one.at).arg(capped(one.amount));
        }
        call
    }

    /// Keeps tickets of a living replica.
    pub fn renew(&self, frame: &Frame, organization: i64, tickets: &[u64]) -> Cmd {
        let mut call = self.call(1);
        call.arg(base(organization));
        head(&mut call, frame, "renew", 0);
        call.arg(tickets);
        call
    }

    /// Tells that this replica lives, and asks how many do.
    pub fn beat(&self, frame: &Frame, replica: u64) -> Cmd {
        let mut call = self.call(1);
        call.arg(format!("{PREFIX}:replicas"));
        head(&mut call, frame, "beat", replica);
        call
    }

    fn call(&self, keys: usize) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.hash).arg(keys);
        call
    }

    fn on_chain(&self, frame: &Frame, operation: &str, ticket: u64, chain: &Chain) -> Cmd {
        let mut call = self.call(chain.limits.len() + 1);
        call.arg(base(chain.organization));
        for limit in chain.limits.iter() {
            call.arg(key(chain.organization, &limit.id));
        }
        head(&mut call, frame, operation, ticket);
        periods(&mut call, &frame.periods);
        call
    }
}

/// The braces keep all keys of an organization in one slot of a cluster.
fn base(organization: i64) -> String {
    format!("{PREFIX}:{{{organization}}}")
}

fn key(organization: i64, id: &CounterId) -> String {
    format!("{}:{}:{}:{}", base(organization), id.scope, id.models, id.kind)
}

fn head(call: &mut Cmd, frame: &Frame, operation: &str, ticket: u64) {
    // As text: a script's numbers hold 53 bits.
    call.arg(operation).arg(frame.time).arg(ticket.to_string()).arg(frame.lease.as_millis().to_string());
}

fn periods(call: &mut Cmd, periods: &Periods) {
    for period in [periods.day, periods.month] {
        call.arg(period.start).arg(period.end).arg(period.next_end);
    }
}

fn limits(call: &mut Cmd, chain: &Chain) {
    call.arg(chain.project).arg(chain.limits.len());
    for limit in chain.limits.iter() {
        call.arg(kind(limit.id.kind)).arg(meter(limit.id.kind)).arg(capped(limit.max));
        let guarantees = limit.guarantees.as_deref().map_or(&[][..], |all| &all.by_project);
        call.arg(guarantees.len());
        for (project, guaranteed) in guarantees {
            call.arg(*project).arg(capped(*guaranteed));
        }
    }
}

fn capped(amount: u64) -> u64 {
    amount.min(LARGEST)
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Rate { window: Window::Minute, .. } => "minute",
        Kind::Rate { window: Window::Day, .. } => "day",
        Kind::Rate { window: Window::Month, .. } => "month",
        Kind::Concurrent => "slots",
    }
}

fn meter(kind: Kind) -> &'static str {
    match kind {
        Kind::Rate { meter: Meter::Tokens, .. } => "tokens",
        Kind::Rate { meter: Meter::Input, .. } => "input",
        Kind::Rate { meter: Meter::Output, .. } => "output",
        Kind::Rate { meter: Meter::Requests, .. } | Kind::Concurrent => "one",
    }
}

/// What the script answers to `reserve` and `read`.
pub struct Reply<'a> {
    pub passed: bool,
    pub wants_past: bool,
    rows: &'a [i64],
}

/// Numbers of one limit: used, left, milliseconds until reset, wait.
const ROW: usize = 4;
const NEVER: i64 = -2;

impl<'a> Reply<'a> {
    /// `None` when the answer is not the one of this script.
    pub fn of(numbers: &'a [i64], chain: &Chain) -> Option<Reply<'a>> {
        let [passed, _, wants_past, rows @ ..] = numbers else { return None };
        (rows.len() == chain.limits.len() * ROW).then_some(Reply {
            passed: *passed == 1,
            wants_past: *wants_past == 1,
            rows,
        })
    }

    pub fn remaining(&self, chain: &Chain) -> Vec<Remaining> {
        self.limits(chain).map(|(index, limit, row)| remaining(index, limit, row)).collect()
    }

    pub fn standing(&self, chain: &Chain) -> Standing {
        let mut standing = Standing::default();
        for (index, limit, row) in self.limits(chain) {
            standing.see(remaining(index, limit, row), limit.id.kind);
        }
        standing
    }

    /// The limit that refused, of several the one that holds longest.
    pub fn bite(&self, chain: &Chain, ask: Ask) -> Option<Bite> {
        let mut worst: Option<Bite> = None;
        for (index, limit, row) in self.limits(chain) {
            let wait = row.get(3).copied().unwrap_or(-1);
            if wait == -1 {
                continue;
            }
            let at = remaining(index, limit, row);
            let bite = Bite {
                limit: index,
                used: at.used,
                max: limit.max,
                asked: limit.id.kind.weight(ask.input, ask.output),
                retry_after: (wait != NEVER).then(|| Duration::from_millis(unsigned(wait))),
                resets_in: at.resets_in,
            };
            if worst.is_none_or(|worst| bite.holds_longer(&worst)) {
                worst = Some(bite);
            }
        }
        worst
    }

    fn limits<'b>(&self, chain: &'b Chain) -> impl Iterator<Item = (usize, &'b Limit, &'a [i64])> {
        chain
            .limits
            .iter()
            .zip(self.rows.chunks_exact(ROW))
            .enumerate()
            .map(|(index, (limit, row))| (index, limit, row))
    }
}

fn remaining(index: usize, limit: &Limit, row: &[i64]) -> Remaining {
    let value = |at: usize| unsigned(row.get(at).copied().unwrap_or(0));
    Remaining {
        limit: index,
        used: value(0),
        max: limit.max,
        left: value(1),
        resets_in: Duration::from_millis(value(2)),
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
