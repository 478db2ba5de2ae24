//! One model, its slots and those who ask, in steps of simulated time.

use std::collections::{BTreeMap, VecDeque};

use guichet::config::DataClass;
use guichet::fleet::queue::fair::{Account, Ask, Bounds, Fair, Room, Tenant, Ticket, Tier};

pub const STEP_MS: u64 = 25;

/// What waits longer is turned away, and so is what finds the line full.
const PATIENCE_MS: u64 = 30_000;
const LENGTH: usize = 1_000;
const PER_ORGANIZATION: usize = 250;

/// An engine and the requests it gets.
pub struct Setting {
    pub slots: usize,
    pub tokens_a_second: u64,
    /// Fewest and most tokens of a request.
    pub input: (u64, u64),
    pub output: (u64, u64),
    pub seconds: u64,
}

#[derive(Clone, Copy)]
pub enum Asks {
    /// At random, so many on average.
    EachSecond(f64),
    /// So many wait at any moment.
    AlwaysWaiting(usize),
}

#[derive(Clone, Copy)]
pub struct Organization {
    pub weight: u32,
    pub asks: Asks,
}

pub struct Load {
    pub seed: u64,
    pub organizations: Vec<Organization>,
}

/// What became of them, by organization.
pub struct Run {
    /// Tokens served so far, after each step.
    pub served: Vec<Vec<u64>>,
    /// Waits of those served, in milliseconds.
    pub waits: Vec<Vec<u64>>,
    pub turned_away: Vec<u64>,
    /// Share of the slots in use while somebody waits.
    pub used: f64,
}

impl Run {
    pub fn total(&self, at: usize) -> f64 {
        self.served[at].last().map_or(0.0, |tokens| *tokens as f64)
    }
}

#[derive(Clone, Copy)]
pub struct Request {
    organization: usize,
    output: u64,
    arrived: u64,
}

/// Who is served next.
pub enum Policy {
    FirstCome(VecDeque<(u64, Request, Ask)>),
    Fair(Box<Fair<(u64, Request)>>, BTreeMap<u64, Ticket>),
}

impl Policy {
    pub fn first_come() -> Policy {
        Policy::FirstCome(VecDeque::new())
    }

    pub fn fair() -> Policy {
        Policy::Fair(Box::default(), BTreeMap::new())
    }

    fn waiting(&self) -> usize {
        match self {
            Policy::FirstCome(line) => line.len(),
            Policy::Fair(fair, _) => fair.waiting(),
        }
    }

    fn waiting_of(&self, organization: usize) -> usize {
        match self {
            Policy::FirstCome(line) => line.iter().filter(|(_, one, _)| one.organization == organization).count(),
            Policy::Fair(fair, _) => fair.waiting_of(id(organization)),
        }
    }

    /// False when the line is full.
    fn join(&mut self, number: u64, ask: Ask, request: Request) -> bool {
        match self {
            Policy::FirstCome(line) => {
                let room = line.len() < LENGTH;
                if room {
                    line.push_back((number, request, ask));
                }
                room
            }
            Policy::Fair(fair, tickets) => {
                let bounds = Bounds { length: LENGTH, per_organization: PER_ORGANIZATION };
                let room = fair.room(ask.tenant.organization, &bounds) == Room::Free;
                if room {
                    tickets.insert(number, fair.join(ask, request.arrived, (number, request)));
                }
                room
            }
        }
    }

    /// Takes out those who came before then.
    fn give_up(&mut self, before: u64) -> Vec<Request> {
        let mut gone = Vec::new();
        match self {
            Policy::FirstCome(line) => {
                while line.front().is_some_and(|(_, one, _)| one.arrived < before) {
                    gone.extend(line.pop_front().map(|(_, one, _)| one));
                }
            }
            Policy::Fair(fair, tickets) => {
                while let Some(first) = tickets.first_entry().filter(|first| first.get().arrived < before) {
                    gone.extend(fair.leave(&first.remove()).map(|(_, one)| one));
                }
            }
        }
        gone
    }

    fn next(&mut self) -> Option<(Request, u64, Option<Account>)> {
        match self {
            Policy::FirstCome(line) => line.pop_front().map(|(_, request, ask)| (request, ask.input, None)),
            Policy::Fair(fair, tickets) => {
                let served = fair.next([true; 3])?;
                tickets.remove(&served.what.0);
                Some((served.what.1, served.ticket.input(), Some(served.account)))
            }
        }
    }

    fn written(&mut self, account: Option<Account>, tokens: u64) {
        if let (Policy::Fair(fair, _), Some(account)) = (self, account) {
            fair.charge(account, tokens.try_into().unwrap_or(i64::MAX));
        }
    }

    fn ended(&mut self, account: Option<Account>) {
        if let (Policy::Fair(fair, _), Some(account)) = (self, account) {
            fair.ended(account);
        }
    }
}

fn id(organization: usize) -> i64 {
    organization.try_into().unwrap_or(i64::MAX)
}

/// SplitMix64: the same numbers on every machine and in every version.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn between(&mut self, (least, most): (u64, u64)) -> u64 {
        least + self.next() % (most - least + 1)
    }

    /// True so often, out of a million.
    fn chance(&mut self, millionths: u64) -> bool {
        self.next() % 1_000_000 < millionths
    }
}

struct Slot {
    request: Request,
    account: Option<Account>,
    written: u64,
}

pub fn run(setting: &Setting, load: &Load, mut policy: Policy) -> Run {
    let count = load.organizations.len();
    // A stream of numbers for each, so that what one asks does not depend on the other.
    let mut random: Vec<Random> = (0..count as u64).map(|at| Random(load.seed << 8 | at)).collect();
    let mut slots: Vec<Option<Slot>> = (0..setting.slots).map(|_| None).collect();
    let mut run =
        Run { served: vec![Vec::new(); count], waits: vec![Vec::new(); count], turned_away: vec![0; count], used: 0.0 };
    let mut served = vec![0; count];
    let (mut number, mut used, mut wanted) = (0, 0, 0);
    let tokens_a_step = setting.tokens_a_second * STEP_MS / 1_000;
    for now in (0..setting.seconds * 1_000).step_by(STEP_MS as usize) {
        for (at, organization) in load.organizations.iter().enumerate() {
            let arrivals = match organization.asks {
                Asks::AlwaysWaiting(wanted) => wanted.saturating_sub(policy.waiting_of(at)),
                // At most one a step: the steps are short.
                Asks::EachSecond(rate) => {
                    let millionths = rate * STEP_MS as f64 * 1_000.0;
                    usize::from(random[at].chance(millionths as u64))
                }
            };
            for _ in 0..arrivals {
                let input = random[at].between(setting.input);
                let request = Request { organization: at, output: random[at].between(setting.output), arrived: now };
                let tenant = Tenant {
                    organization: id(at),
                    project: 0,
                    weight: organization.weight,
                    project_weight: 1,
                    tier: Tier::Interactive,
                };
                number += 1;
                if !policy.join(number, Ask { tenant, class: DataClass::Public, input }, request) {
                    run.turned_away[at] += 1;
                }
            }
        }
        for gone in policy.give_up(now.saturating_sub(PATIENCE_MS)) {
            run.turned_away[gone.organization] += 1;
        }
        for slot in &mut slots {
            if slot.is_none()
                && let Some((request, input, account)) = policy.next()
            {
                run.waits[request.organization].push(now - request.arrived);
                served[request.organization] += input;
                *slot = Some(Slot { request, account, written: 0 });
            }
        }
        if policy.waiting() > 0 {
            wanted += setting.slots;
            used += slots.iter().flatten().count();
        }
        for slot in &mut slots {
            let Some(held) = slot else { continue };
            let tokens = tokens_a_step.min(held.request.output - held.written);
            held.written += tokens;
            served[held.request.organization] += tokens;
            policy.written(held.account, tokens);
            if held.written == held.request.output {
                policy.ended(held.account);
                *slot = None;
            }
        }
        for (line, total) in run.served.iter_mut().zip(&served) {
            line.push(*total);
        }
    }
    run.used = if wanted == 0 { 1.0 } else { used as f64 / wanted as f64 };
    run
}
