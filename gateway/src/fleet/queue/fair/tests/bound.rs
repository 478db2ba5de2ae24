//! What the paper promises two organizations that always have something to ask.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
struct Kind {
    weight: u32,
    input: u64,
    output: u64,
}

/// An engine that writes one token a step in each of its slots.
struct World {
    fair: Fair<u64>,
    slots: Vec<Option<(Account, u64)>>,
    kinds: Vec<Kind>,
    served: Vec<u64>,
    random: u64,
}

impl World {
    fn new(kinds: Vec<Kind>, slots: usize, seed: u64) -> World {
        let served = vec![0; kinds.len()];
        let mut world = World { fair: Fair::default(), slots: vec![None; slots], kinds, served, random: seed | 1 };
        for organization in 0..world.kinds.len() {
            for _ in 0..3 {
                world.asks(organization);
            }
        }
        world
    }

    /// From 1 to `most`.
    fn some(&mut self, most: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        1 + self.random % most
    }

    fn asks(&mut self, organization: usize) {
        let Kind { weight, input, output } = self.kinds[organization];
        let (input, output) = (self.some(input), self.some(output));
        let tenant = Tenant {
            organization: organization as i64,
            project: 0,
            weight,
            project_weight: 1,
            tier: Tier::Interactive,
        };
        self.fair.join(Ask { tenant, class: DataClass::Public, input }, 0, output);
    }

    fn step(&mut self) {
        for at in 0..self.slots.len() {
            if self.slots[at].is_none()
                && let Some(served) = self.fair.next(ALL)
            {
                let organization = served.account.organization as usize;
                self.served[organization] += served.ticket.input();
                self.slots[at] = Some((served.account, served.what));
                // Always busy: who is served asks again.
                self.asks(organization);
            }
        }
        for at in 0..self.slots.len() {
            let Some((account, left)) = self.slots[at] else { continue };
            self.fair.charge(account, 1);
            self.served[account.organization as usize] += 1;
            self.slots[at] = (left > 1).then_some((account, left - 1));
            if left == 1 {
                self.fair.ended(account);
            }
        }
    }
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    let kind = (1..6_u32, 1..400_u64, 1..120_u64).prop_map(|(weight, input, output)| Kind { weight, input, output });
    prop::collection::vec(kind, 2..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Over any window, what two of them were served, each divided by its weight, differs by at most
    /// 2·max(L, M) ÷ the smaller weight: L tokens is the longest input, M what all slots may hold at once. A token of
    /// input and one of output count alike (w_in = w_out = 1).
    #[test]
    fn the_always_busy_are_served_by_their_weights_within_the_bound(
        kinds in kinds(), slots in 1..6_usize, seed in any::<u64>(),
    ) {
        let longest = |of: fn(&Kind) -> u64| kinds.iter().map(of).max().unwrap_or(0);
        let held = slots as u64 * (longest(|kind| kind.input) + longest(|kind| kind.output));
        let bound = 2 * longest(|kind| kind.input).max(held);
        let mut world = World::new(kinds.clone(), slots, seed);
        let pairs = |n: usize| (0..n).flat_map(move |one| (0..one).map(move |two| (one, two)));
        // Over any window: from the lowest to the highest point of the difference.
        let mut extremes = vec![(f64::MAX, f64::MIN); kinds.len() * kinds.len()];
        for _ in 0..4_000 {
            world.step();
            prop_assert!(world.slots.iter().all(Option::is_some) || world.fair.waiting() > 0);
            for (one, two) in pairs(kinds.len()) {
                let part = |at: usize| world.served[at] as f64 / f64::from(kinds[at].weight);
                let extreme = &mut extremes[one * kinds.len() + two];
                let difference = part(one) - part(two);
                *extreme = (extreme.0.min(difference), extreme.1.max(difference));
                let smaller = f64::from(kinds[one].weight.min(kinds[two].weight));
                prop_assert!(
                    extreme.1 - extreme.0 <= bound as f64 / smaller,
                    "{:?} and {:?}: {:?} over {}", kinds[one], kinds[two], extreme, bound as f64 / smaller
                );
            }
        }
    }

    /// However the others flood, one that asks now and then is served before any other has been served more than the
    /// bound: nobody starves.
    #[test]
    fn nobody_starves(kinds in kinds(), slots in 1..6_usize, seed in any::<u64>(), weight in 1..6_u32) {
        let longest = |of: fn(&Kind) -> u64| kinds.iter().map(of).max().unwrap_or(0);
        let held = slots as u64 * (longest(|kind| kind.input) + longest(|kind| kind.output));
        let mut world = World::new(kinds.clone(), slots, seed);
        for _ in 0..300 {
            world.step();
        }
        let quiet = kinds.len();
        world.kinds.push(Kind { weight, input: 10, output: 10 });
        world.served.push(0);
        world.asks(quiet);
        let before = world.served.clone();
        let mut steps = 0;
        while world.served[quiet] == 0 {
            world.step();
            steps += 1;
            prop_assert!(steps < 1_000_000);
            if world.served[quiet] == 0 {
                for (at, kind) in kinds.iter().enumerate() {
                    let more = (world.served[at] - before[at]) as f64 / f64::from(kind.weight);
                    prop_assert!(more <= 2.0 * held as f64 / f64::from(kind.weight.min(weight)), "{kind:?}: {more}");
                }
            }
        }
    }
}
