//! The same order, slow and obvious: lists that are scanned, nothing kept in step.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::fleet::queue::share::HEAD_START;

const TOKEN: i128 = 1 << 32;

/// Who shares: an organization, or a project of it.
type Id = (i64, Option<i64>);

#[derive(Clone, Copy, Debug)]
struct Waiting {
    number: u64,
    ask: Ask,
    tier: Tier,
    arrived: u64,
}

#[derive(Default)]
struct Model {
    waiting: Vec<Waiting>,
    running: Vec<Account>,
    served: HashMap<(Id, Lane), i128>,
    turn: HashMap<Id, u64>,
    weight: HashMap<Id, u32>,
    floor: HashMap<(Option<i64>, Lane, usize), i128>,
    turns: u64,
}

fn ids(ask: &Ask) -> [(Id, u32); 2] {
    let tenant = ask.tenant;
    [((tenant.organization, None), tenant.weight), ((tenant.organization, Some(tenant.project)), tenant.project_weight)]
}

/// Among whom it shares: all organizations, or the projects of one.
fn peers(id: Id) -> Option<i64> {
    id.1.map(|_| id.0)
}

impl Model {
    fn of(&self, id: Id) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter().filter(move |one| ids(&one.ask).iter().any(|(other, _)| *other == id))
    }

    fn served(&self, id: Id, lane: Lane) -> i128 {
        self.served.get(&(id, lane)).copied().unwrap_or(0)
    }

    fn tokens(&self, id: Id, tokens: u64) -> i128 {
        i128::from(tokens) * TOKEN / i128::from(self.weight[&id])
    }

    /// Without the inputs of those running, which are estimates.
    fn sure(&self, id: Id, lane: Lane) -> i128 {
        let of_it = |account: &&Account| {
            account.lane == lane
                && account.organization == id.0
                && id.1.is_none_or(|project| account.project == project)
        };
        let estimated = self.running.iter().filter(of_it).map(|account| account.input).sum();
        self.served(id, lane) - self.tokens(id, estimated)
    }

    fn arrives(&mut self, one: Waiting) {
        let (lane, class) = (one.tier.lane(), one.ask.class);
        for (id, weight) in ids(&one.ask) {
            if !self.of(id).any(|other| other.tier.lane() == lane) {
                let lowest = self
                    .waiting
                    .iter()
                    .filter(|other| other.tier.lane() == lane && other.ask.class == class)
                    .flat_map(|other| ids(&other.ask))
                    .map(|(other, _)| other)
                    .filter(|other| peers(*other) == peers(id))
                    .map(|other| self.sure(other, lane))
                    .min();
                let floor = self.floor.get(&(peers(id), lane, class as usize)).copied().unwrap_or(0);
                let lifted = self.served(id, lane).max(lowest.unwrap_or(floor));
                self.served.insert((id, lane), lifted);
            }
            self.weight.insert(id, weight);
        }
        self.waiting.push(one);
    }

    fn standing(&self, id: Id, lane: Lane, open: Open) -> i128 {
        let priority = |one: &Waiting| one.tier == Tier::Priority && open[one.ask.class as usize];
        let ahead =
            if lane == Lane::Interactive && self.of(id).any(priority) { self.tokens(id, HEAD_START) } else { 0 };
        self.served(id, lane) - ahead
    }

    fn fairest(&self, open: Open) -> Option<Waiting> {
        for lane in Lane::ALL {
            let may = |one: &&Waiting| one.tier.lane() == lane && open[one.ask.class as usize];
            let order = |id: Id| (self.standing(id, lane, open), self.turn.get(&id).copied().unwrap_or(0), id);
            let Some(organization) = self.waiting.iter().filter(may).map(|one| order(ids(&one.ask)[0].0)).min() else {
                continue;
            };
            let of_it = |one: &&Waiting| may(one) && order(ids(&one.ask)[0].0) == organization;
            let project = self.waiting.iter().filter(of_it).map(|one| order(ids(&one.ask)[1].0)).min()?;
            return self
                .waiting
                .iter()
                .filter(|one| of_it(one) && order(ids(&one.ask)[1].0) == project)
                .min_by_key(|one| (one.tier as usize, one.number))
                .copied();
        }
        None
    }

    fn begins(&mut self, one: Waiting, open: Open) {
        let lane = one.tier.lane();
        self.turns += 1;
        for (id, _) in ids(&one.ask) {
            let standing = self.standing(id, lane, open).min(self.sure(id, lane));
            for (class, _) in open.iter().enumerate().filter(|(_, open)| **open) {
                let floor = self.floor.entry((peers(id), lane, class)).or_default();
                *floor = (*floor).max(standing);
            }
            let tokens = self.tokens(id, one.ask.input);
            *self.served.entry((id, lane)).or_default() += tokens;
            self.turn.insert(id, self.turns);
        }
        self.waiting.retain(|other| other.number != one.number);
        let Tenant { organization, project, .. } = one.ask.tenant;
        self.running.push(Account { organization, project, lane, input: one.ask.input });
    }

    fn charge(&mut self, account: Account, tokens: i64) {
        for id in [(account.organization, None), (account.organization, Some(account.project))] {
            let amount = self.tokens(id, tokens.unsigned_abs());
            let served = self.served.entry((id, account.lane)).or_default();
            *served += if tokens < 0 { -amount } else { amount };
        }
    }

    /// While nobody else waits, what is served is free.
    fn ends(&mut self, account: Account) {
        for id in [(account.organization, Some(account.project)), (account.organization, None)] {
            let peer = |one: &Waiting| id.1.is_none() || one.ask.tenant.organization == id.0;
            if !self.waiting.iter().any(|one| peer(one) && one.tier.lane() == account.lane) {
                for class in 0..CLASSES {
                    let served = self.sure(id, account.lane);
                    let floor = self.floor.entry((peers(id), account.lane, class)).or_default();
                    *floor = (*floor).max(served);
                }
            }
        }
    }

    /// Away, and no further than where it would be lifted to.
    fn forgets(&mut self, organization: i64, project: i64) {
        for id in [(organization, Some(project)), (organization, None)] {
            let runs = |account: &Account| {
                account.organization == organization && id.1.is_none_or(|project| account.project == project)
            };
            if self.of(id).next().is_some() || self.running.iter().any(runs) {
                continue;
            }
            let may = Lane::ALL.iter().all(|lane| {
                let floors: Vec<i128> = (0..CLASSES)
                    .filter_map(|class| self.floor.get(&(peers(id), *lane, class)).copied())
                    .filter(|floor| *floor > 0)
                    .collect();
                let served = self.served(id, *lane);
                served <= 0 || !floors.is_empty() && floors.iter().all(|floor| served <= *floor)
            });
            if may {
                let gone = |other: &Id| if id.1.is_none() { other.0 == organization } else { *other == id };
                self.served.retain(|(other, _), _| !gone(other));
                self.turn.retain(|other, _| !gone(other));
                if id.1.is_none() {
                    self.floor.retain(|(of, _, _), _| *of != Some(organization));
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Join(Ask),
    Pass(Ask),
    Leave(usize),
    Serve(Open),
    Charge(usize, i64),
    End(usize),
    Wait(u64),
}

fn asks() -> impl Strategy<Value = Ask> {
    let tier = prop_oneof![1 => Just(Tier::Priority), 4 => Just(Tier::Interactive), 2 => Just(Tier::Flex)];
    let class = prop::sample::select(DataClass::ALL.to_vec());
    (0..5_i64, 0..3_i64, tier, class, 0..2_000_u64).prop_map(|(organization, project, tier, class, input)| {
        // A weight belongs to its organization or project.
        let (weight, project_weight) = (1 + (organization as u32 * 7) % 4, 1 + (project as u32) % 3);
        Ask { tenant: Tenant { organization, project, weight, project_weight, tier }, class, input }
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => asks().prop_map(Step::Join),
        1 => asks().prop_map(Step::Pass),
        1 => any::<usize>().prop_map(Step::Leave),
        5 => prop::array::uniform3(any::<bool>()).prop_map(Step::Serve),
        3 => Just(Step::Serve(ALL)),
        5 => (any::<usize>(), -500..2_000_i64).prop_map(|(which, tokens)| Step::Charge(which, tokens)),
        5 => any::<usize>().prop_map(Step::End),
        2 => (0..40_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..300)
}

const AGING: u64 = 60;

proptest! {
    /// Whatever comes, hangs up, is served, corrected and ends, the same request is next; one is next exactly when
    /// somebody waits whom the slot is open to (work is conserved); and what waits is what has neither been served nor
    /// left.
    #[test]
    fn the_order_is_that_of_the_obvious_model(steps in steps()) {
        let mut fair: Fair<u64> = Fair::default();
        let mut model = Model::default();
        let mut tickets: HashMap<u64, Ticket> = HashMap::new();
        let (mut now, mut number) = (0, 0);
        for step in steps {
            match step {
                Step::Join(ask) => {
                    let ticket = fair.join(ask, now, number);
                    tickets.insert(number, ticket);
                    model.arrives(Waiting { number, ask, tier: ask.tenant.tier, arrived: now });
                    number += 1;
                }
                Step::Pass(ask) => {
                    let account = fair.pass(ask, ALL);
                    let one = Waiting { number: u64::MAX, ask, tier: ask.tenant.tier, arrived: now };
                    model.arrives(one);
                    model.begins(one, ALL);
                    prop_assert_eq!(Some(&account), model.running.last());
                }
                Step::Leave(which) if !model.waiting.is_empty() => {
                    let at = which % model.waiting.len();
                    let one = model.waiting.remove(at);
                    let ticket = tickets[&one.number];
                    prop_assert_eq!(fair.leave(&ticket), Some(one.number));
                    prop_assert_eq!(fair.leave(&ticket), None, "only once");
                    model.forgets(one.ask.tenant.organization, one.ask.tenant.project);
                }
                Step::Serve(open) => {
                    let wanted = model.fairest(open);
                    let served = fair.next(open);
                    prop_assert_eq!(served.as_ref().map(|served| served.what), wanted.map(|one| one.number));
                    let some = model.waiting.iter().any(|one| open[one.ask.class as usize]);
                    prop_assert_eq!(served.is_some(), some, "a slot is never free beside one it could serve");
                    if let (Some(served), Some(one)) = (served, wanted) {
                        model.begins(one, open);
                        prop_assert_eq!(Some(&served.account), model.running.last());
                        prop_assert_eq!(fair.leave(&served.ticket), None, "its turn has come");
                    }
                }
                Step::Charge(which, tokens) if !model.running.is_empty() => {
                    let account = model.running[which % model.running.len()];
                    fair.charge(account, tokens);
                    model.charge(account, tokens);
                }
                Step::End(which) if !model.running.is_empty() => {
                    let account = model.running.remove(which % model.running.len());
                    fair.ended(account);
                    model.ends(account);
                    model.forgets(account.organization, account.project);
                }
                Step::Wait(time) => {
                    now += time;
                    fair.age(now, AGING);
                    while let Some(at) = model
                        .waiting
                        .iter()
                        .position(|one| one.tier == Tier::Flex && one.arrived + AGING <= now)
                    {
                        let mut one = model.waiting.remove(at);
                        one.tier = Tier::Interactive;
                        model.arrives(one);
                    }
                }
                Step::Leave(_) | Step::Charge(..) | Step::End(_) => {}
            }
            prop_assert_eq!(fair.waiting(), model.waiting.len());
            for organization in 0..5 {
                prop_assert_eq!(fair.waiting_of(organization), model.of((organization, None)).count());
            }
            for class in DataClass::ALL {
                prop_assert_eq!(fair.waits(class), model.waiting.iter().any(|one| one.ask.class == class));
            }
        }
    }
}
