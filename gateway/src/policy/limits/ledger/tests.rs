//! The ledger against a model that is slow and obvious: it remembers every amount ever counted, and adds up anew each
//! time those that a window holds.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::policy::limits::calendar::Calendar;
use crate::policy::limits::clock::Clock;
use crate::policy::limits::rule::Scope;
use crate::policy::limits::ticket::Home;
use crate::policy::limits::window::{STEP, STEPS};

/// Something counted: when, for whom, how much of it is left.
#[derive(Clone, Debug)]
struct Counted {
    ticket: u64,
    id: CounterId,
    project: i64,
    tick: u64,
    wall: i64,
    amount: u64,
}

#[derive(Default)]
struct Model {
    counted: Vec<Counted>,
    open: Vec<u64>,
}

impl Model {
    fn sum(&self, calendar: &Calendar, tick: u64, wall: i64, id: &CounterId, project: Option<i64>) -> u64 {
        let within = |one: &&Counted| match one.id.kind {
            Kind::Concurrent => true,
            Kind::Rate { window: Window::Minute, .. } => one.tick / STEP + STEPS > tick / STEP,
            Kind::Rate { window: Window::Day, .. } => one.wall >= calendar.at(wall).day.start,
            Kind::Rate { window: Window::Month, .. } => one.wall >= calendar.at(wall).month.start,
        };
        let of = |one: &&Counted| one.id == *id && project.is_none_or(|project| one.project == project);
        self.counted.iter().filter(of).filter(within).map(|one| one.amount).sum()
    }

    fn left(&self, calendar: &Calendar, tick: u64, wall: i64, limit: &Limit, project: i64) -> i128 {
        let others = limit.guarantees.iter().flat_map(|all| &all.by_project).filter(|(of, _)| *of != project);
        let held: u64 =
            others.map(|(of, sure)| sure.saturating_sub(self.sum(calendar, tick, wall, &limit.id, Some(*of)))).sum();
        i128::from(limit.max) - i128::from(held) - i128::from(self.sum(calendar, tick, wall, &limit.id, None))
    }

    fn passes(&self, calendar: &Calendar, tick: u64, wall: i64, limit: &Limit, project: i64, ask: Ask) -> bool {
        let asked = limit.id.kind.weight(ask.input, ask.output);
        i128::from(asked) <= self.left(calendar, tick, wall, limit, project)
    }

    fn count(&mut self, moment: &Moment, chain: &Chain, ticket: u64, ask: Ask) {
        for limit in chain.limits.iter() {
            let amount = limit.id.kind.weight(ask.input, ask.output);
            self.add(moment, &limit.id, chain.project, ticket, amount);
        }
        self.open.push(ticket);
    }

    fn add(&mut self, moment: &Moment, id: &CounterId, project: i64, ticket: u64, amount: u64) {
        let (tick, wall) = (moment.now.tick, moment.now.wall);
        self.counted.push(Counted { ticket, id: id.clone(), project, tick, wall, amount });
    }

    fn end(&mut self, moment: &Moment, ticket: &Ticket, used: Option<Used>) {
        let Some(place) = self.open.iter().position(|open| *open == ticket.id) else { return };
        self.open.swap_remove(place);
        for limit in ticket.chain.limits.iter() {
            let spent = match used {
                Some(used) if limit.id.kind != Kind::Concurrent => limit.id.kind.weight(used.input, used.output),
                _ => 0,
            };
            let held = self
                .counted
                .iter_mut()
                .find(|one| one.ticket == ticket.id && one.id == limit.id)
                .expect("a ticket is counted on each limit of its chain");
            let more = spent.saturating_sub(held.amount);
            held.amount = held.amount.min(spent);
            if more > 0 {
                self.add(moment, &limit.id, ticket.chain.project, 0, more);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Ask {
        chain: usize,
        project: i64,
        input: u64,
        output: u64,
    },
    /// Of a ticket handed out at some time, ended or not.
    Settle {
        which: prop::sample::Index,
        input: u64,
        output: u64,
    },
    Release {
        which: prop::sample::Index,
    },
    Wait(u64),
    Tidy,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![
        6 => 0..500_u64,
        4 => 500..40_000_u64,
        1 => 60_000..7_200_000_u64,
        1 => 20 * 3_600_000..40 * 86_400_000_u64,
    ];
    let step = prop_oneof![
        8 => (0..3_usize, 1..4_i64, 0..40_u64, 0..40_u64)
            .prop_map(|(chain, project, input, output)| Step::Ask { chain, project, input, output }),
        4 => (any::<prop::sample::Index>(), 0..60_u64, 0..60_u64)
            .prop_map(|(which, input, output)| Step::Settle { which, input, output }),
        2 => any::<prop::sample::Index>().prop_map(|which| Step::Release { which }),
        6 => wait.prop_map(Step::Wait),
        1 => Just(Step::Tidy),
    ];
    prop::collection::vec(step, 1..120)
}

fn limit(models: &str, kind: Kind, max: u64, sure: &[(i64, u64)]) -> Limit {
    let guarantees = (!sure.is_empty()).then(|| Arc::new(Guarantees { by_project: sure.to_vec() }));
    Limit { id: CounterId { scope: Scope::Organization(1), models: models.into(), kind }, max, guarantees }
}

fn rate(meter: Meter, window: Window) -> Kind {
    Kind::Rate { meter, window }
}

/// Three models' chains, that share some counters and not others.
fn chains() -> Vec<Arc<[Limit]>> {
    let minute = limit("*", rate(Meter::Tokens, Window::Minute), 150, &[(1, 40), (2, 20)]);
    let day = limit("*", rate(Meter::Output, Window::Day), 400, &[(3, 100)]);
    let month = limit("*", rate(Meter::Requests, Window::Month), 60, &[]);
    let slots = limit("large", Kind::Concurrent, 4, &[(2, 1)]);
    let own = limit("small", rate(Meter::Requests, Window::Minute), 6, &[]);
    let input = limit("small", rate(Meter::Input, Window::Month), 900, &[]);
    vec![
        [minute.clone(), day.clone(), month.clone()].into(),
        [minute, slots, month.clone()].into(),
        [own, day, input, month].into(),
    ]
}

/// Noon in Paris, two days before clocks go back.
const START: i64 = 1_792_749_600_000;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_counts_as_the_model_does(steps in steps()) {
        let (clock, calendar) = (Clock::manual(START), Calendar::new("Europe/Paris").unwrap());
        let (mut ledger, mut model) = (Ledger::default(), Model::default());
        let (chains, mut tickets) = (chains(), Vec::<Ticket>::new());
        for step in steps {
            let now = clock.now();
            let moment = Moment { now, periods: calendar.at(now.wall) };
            match step {
                Step::Ask { chain, project, input, output } => {
                    let chain = Chain { organization: 1, project, limits: chains[chain].clone() };
                    let (ask, id) = (Ask { input, output }, tickets.len() as u64 + 1);
                    let passes = |tick, wall, limit| model.passes(&calendar, tick, wall, limit, project, ask);
                    let expected = chain.limits.iter().all(|limit| passes(now.tick, now.wall, limit));
                    match ledger.reserve(&moment, &chain, ask, id) {
                        Ok(_) => {
                            prop_assert!(expected);
                            model.count(&moment, &chain, id, ask);
                            tickets.push(Ticket { id, chain, ask, at: now.wall, home: Home::Local });
                        }
                        Err(bite) => {
                            prop_assert!(!expected);
                            let limit = &chain.limits[bite.limit];
                            prop_assert!(!passes(now.tick, now.wall, limit));
                            // It will pass exactly then: not a millisecond sooner.
                            if let Some(after) = bite.retry_after && limit.id.kind != Kind::Concurrent {
                                let after = u64::try_from(after.as_millis()).unwrap();
                                let at = |after: u64| (now.tick + after, now.wall + i64::try_from(after).unwrap());
                                prop_assert!(passes(at(after).0, at(after).1, limit));
                                prop_assert!(!passes(at(after - 1).0, at(after - 1).1, limit));
                            }
                        }
                    }
                }
                Step::Settle { which, input, output } => {
                    if !tickets.is_empty() {
                        let (ticket, used) = (which.get(&tickets), Used { input, output });
                        ledger.settle(&moment, ticket, used);
                        model.end(&moment, ticket, Some(used));
                    }
                }
                Step::Release { which } => {
                    if !tickets.is_empty() {
                        ledger.release(which.get(&tickets));
                        model.end(&moment, which.get(&tickets), None);
                    }
                }
                Step::Wait(millis) => clock.advance(Duration::from_millis(millis)),
                Step::Tidy => {
                    ledger.tidy(&moment);
                }
            }
            let now = clock.now();
            let moment = Moment { now, periods: calendar.at(now.wall) };
            for (limits, project) in chains.iter().flat_map(|limits| [1, 2, 3].map(|project| (limits, project))) {
                for (limit, one) in limits.iter().zip(ledger.read(&moment, project, limits)) {
                    prop_assert_eq!(one.used, model.sum(&calendar, now.tick, now.wall, &limit.id, None), "{}", &limit.id);
                    let left = model.left(&calendar, now.tick, now.wall, limit, project);
                    prop_assert_eq!(i128::from(one.left), left.max(0), "{}", &limit.id);
                }
            }
        }
    }

    /// Whatever the wall does, the minute counts as if it had not, and a day stands in nobody's way for more than a day.
    #[test]
    fn jumps_of_the_wall_free_and_freeze_nobody(
        jumps in prop::collection::vec((-30 * 3_600_000..30 * 3_600_000_i64, 0..20_000_u64), 1..60),
    ) {
        let (clock, calendar) = (Clock::manual(START), Calendar::new("Europe/Paris").unwrap());
        let chain = |kind, max| Chain { organization: 1, project: 1, limits: [limit("*", kind, max, &[])].into() };
        let minute = chain(rate(Meter::Requests, Window::Minute), 5);
        let day = chain(rate(Meter::Requests, Window::Day), 5);
        let (mut ledger, mut model, mut id) = (Ledger::default(), Model::default(), 0);
        for (jump, wait) in jumps {
            clock.jump(jump);
            clock.advance(Duration::from_millis(wait));
            let now = clock.now();
            let moment = Moment { now, periods: calendar.at(now.wall) };
            for _ in 0..3 {
                id += 1;
                let expected = model.passes(&calendar, now.tick, now.wall, &minute.limits[0], 1, Ask::default());
                let passed = ledger.reserve(&moment, &minute, Ask::default(), id).is_ok();
                prop_assert_eq!(passed, expected);
                if passed {
                    model.count(&moment, &minute, id, Ask::default());
                }
                id += 1;
                let asked = ledger.reserve(&moment, &day, Ask::default(), id);
                let most = Duration::from_secs(2 * 25 * 3_600);
                prop_assert!(asked.is_ok() || asked.is_err_and(|bite| bite.retry_after.is_some_and(|after| after <= most)));
            }
        }
        clock.advance(Duration::from_secs(2 * 25 * 3_600));
        let now = clock.now();
        let moment = Moment { now, periods: calendar.at(now.wall) };
        for _ in 0..5 {
            id += 1;
            prop_assert!(ledger.reserve(&moment, &day, Ask::default(), id).is_ok());
        }
    }
}

#[test]
fn what_is_at_rest_gives_its_memory_back() {
    let (clock, calendar) = (Clock::manual(START), Calendar::new("Europe/Paris").unwrap());
    let mut ledger = Ledger::default();
    for model in 0..200 {
        let kinds = [rate(Meter::Tokens, Window::Minute), rate(Meter::Requests, Window::Minute), Kind::Concurrent];
        let limits = kinds.map(|kind| limit(&format!("model-{model}"), kind, 100, &[(1, 1)]));
        let chain = Chain { organization: 1, project: 1, limits: limits.into() };
        let now = clock.now();
        let moment = Moment { now, periods: calendar.at(now.wall) };
        ledger.reserve(&moment, &chain, Ask { input: 5, output: 5 }, model).unwrap();
        let ticket = Ticket { id: model, chain, ask: Ask { input: 5, output: 5 }, at: now.wall, home: Home::Local };
        ledger.settle(&moment, &ticket, Used { input: 5, output: 5 });
    }
    assert_eq!(ledger.counters.len(), 600);
    clock.advance(Duration::from_millis(60_200));
    let now = clock.now();
    assert!(ledger.tidy(&Moment { now, periods: calendar.at(now.wall) }));
    assert_eq!((ledger.counters.capacity(), ledger.open.capacity()), (0, 0));
}
