//! Two replicas that tell each other what they served, without Redis.

use proptest::prelude::*;

use super::*;
use crate::config::DataClass;
use crate::fleet::queue::fair::{Account, Ask, CLASSES, Fair, Tenant, Tier};

/// The common totals, in memory.
#[derive(Default)]
struct Totals(HashMap<Entry, i64>, i64);

impl Totals {
    fn round(&mut self, letter: &[(Entry, i64)]) -> Round {
        let add = |(entry, tokens): &(Entry, i64)| {
            let total = self.0.entry(entry.clone()).or_default();
            *total += tokens;
            *total
        };
        Round { epoch: self.1, totals: letter.iter().map(add).collect(), rank: 0, replicas: 2 }
    }
}

/// One replica, whose engine writes one token a step in each of its slots.
struct Replica {
    fair: Fair<u64>,
    exchange: Exchange,
    slots: Vec<Option<(Account, u64)>>,
    /// Organizations that always have something to ask here, and their weights.
    busy: Vec<(i64, u32)>,
    random: u64,
}

const INPUT: u64 = 200;
const OUTPUT: u64 = 60;

impl Replica {
    fn new(slots: usize, busy: &[(i64, u32)], seed: u64) -> Replica {
        let mut fair = Fair::default();
        fair.share_out();
        let (exchange, slots) = (Exchange::default(), vec![None; slots]);
        let mut replica = Replica { fair, exchange, slots, busy: busy.to_vec(), random: seed | 1 };
        for (organization, weight) in busy {
            for _ in 0..3 {
                replica.asks(*organization, *weight);
            }
        }
        replica
    }

    /// From 1 to `most`.
    fn some(&mut self, most: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        1 + self.random % most
    }

    fn asks(&mut self, organization: i64, weight: u32) {
        let tenant = Tenant { organization, project: 0, weight, project_weight: 1, tier: Tier::Interactive };
        let (input, output) = (self.some(INPUT), self.some(OUTPUT));
        self.fair.join(Ask { tenant, class: DataClass::Public, input }, 0, output);
    }

    fn step(&mut self, served: &mut HashMap<i64, u64>) {
        for at in 0..self.slots.len() {
            if self.slots[at].is_none()
                && let Some(next) = self.fair.next([true; CLASSES])
            {
                let organization = next.account.organization;
                *served.entry(organization).or_default() += next.ticket.input();
                self.slots[at] = Some((next.account, next.what));
                let weight = self.busy.iter().find(|(busy, _)| *busy == organization).map_or(1, |(_, weight)| *weight);
                self.asks(organization, weight);
            }
            if let Some((account, left)) = self.slots[at] {
                self.fair.charge(account, 1);
                *served.entry(account.organization).or_default() += 1;
                self.slots[at] = (left > 1).then_some((account, left - 1));
                if left == 1 {
                    self.fair.ended(account);
                }
            }
        }
    }

    fn tell(&mut self, totals: &mut Totals) {
        self.exchange.note(&Arc::from("m"), self.fair.news());
        let letter = self.exchange.letter();
        let round = totals.round(&letter);
        for (entry, tokens) in self.exchange.learn(letter, &round) {
            self.fair.served_elsewhere(entry.organization, entry.lane, tokens);
        }
    }
}

/// A asks of both replicas, B of one only. Told of each other, they get as much each; untold, A gets three times as much.
#[test]
fn who_is_served_by_another_replica_waits_here_for_it() {
    for (told, wanted) in [(true, 0.9..1.1), (false, 2.5..3.5)] {
        let mut totals = Totals::default();
        let mut served = HashMap::new();
        let mut replicas = [Replica::new(4, &[(1, 1), (2, 1)], 7), Replica::new(4, &[(1, 1)], 8)];
        for step in 0..20_000 {
            for replica in &mut replicas {
                replica.step(&mut served);
                if told && step % 10 == 0 {
                    replica.tell(&mut totals);
                }
            }
        }
        let ratio = served[&1] as f64 / served[&2] as f64;
        assert!(wanted.contains(&ratio), "told: {told}, {ratio}");
    }
}

#[test]
fn totals_that_begin_anew_are_no_news_and_what_was_not_told_is_told_later() {
    const NOTHING: [i64; 0] = [];
    let (mut one, mut two) = (Exchange::default(), Exchange::default());
    let model: Arc<str> = Arc::from("m");
    let mut totals = Totals(HashMap::new(), 1);
    let turn = |exchange: &mut Exchange, totals: &mut Totals, tokens: i64| {
        exchange.note(&model, [((7, Lane::Interactive), tokens)]);
        let letter = exchange.letter();
        let round = totals.round(&letter);
        exchange.learn(letter, &round).into_iter().map(|(_, tokens)| tokens).collect::<Vec<_>>()
    };
    assert_eq!(turn(&mut one, &mut totals, 5), NOTHING, "the first time, nothing is known");
    assert_eq!(turn(&mut two, &mut totals, 100), NOTHING);
    assert_eq!(turn(&mut one, &mut totals, 10), [100]);
    assert_eq!(turn(&mut two, &mut totals, -3), [10], "less than nothing takes back an estimate");
    assert_eq!(turn(&mut one, &mut totals, 0), [-3]);
    // Redis is gone for a while, and comes back empty.
    two.note(&model, [((7, Lane::Interactive), 50)]);
    totals = Totals(HashMap::new(), 2);
    assert_eq!(turn(&mut one, &mut totals, 1), NOTHING);
    assert_eq!(turn(&mut two, &mut totals, 1), NOTHING);
    assert_eq!(turn(&mut one, &mut totals, 0), [51]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Two organizations always busy on two replicas, over any window: the bound of one process with the slots of both,
    /// and twice what is served between two exchanges.
    #[test]
    fn replicas_keep_a_weaker_bound_together(
        weights in (1..5_u32, 1..5_u32), slots in (1..5_usize, 1..5_usize), period in 1..60_u64, seed in any::<u64>(),
    ) {
        let busy = [(1, weights.0), (2, weights.1)];
        let mut replicas = [Replica::new(slots.0, &busy, seed), Replica::new(slots.1, &busy, seed.rotate_left(7))];
        let mut totals = Totals::default();
        let mut served = HashMap::from([(1, 0), (2, 0)]);
        let all = (slots.0 + slots.1) as u64;
        let held = all * (INPUT + OUTPUT);
        // In one period each slot writes a token a step, and begins with the input of a request as often as it is free.
        let between = all * (period + (period + 1) * INPUT);
        let bound = 2.0 * (held + between) as f64 / f64::from(weights.0.min(weights.1));
        let mut extreme = (f64::MAX, f64::MIN);
        for step in 0..3_000 {
            for replica in &mut replicas {
                replica.step(&mut served);
                if step % period == 0 {
                    replica.tell(&mut totals);
                }
            }
            let difference = served[&1] as f64 / f64::from(weights.0) - served[&2] as f64 / f64::from(weights.1);
            extreme = (extreme.0.min(difference), extreme.1.max(difference));
            prop_assert!(extreme.1 - extreme.0 <= bound, "{extreme:?} over {bound}");
        }
    }
}
