//! Both stores give the same answers, to the millisecond, over random schedules with a seed.

use std::time::Duration;

use guichet::policy::limits::rule::{Ask, Chain, Meter, Scope, Used, Window};
use guichet::policy::limits::ticket::{Refused, Ticket};

use crate::ledger::desk::{Desk, Kept, rate, requests, sharing, slots, tokens};

/// Two models' chains that share some counters, for three projects.
fn chains(desk: &Desk) -> Vec<Chain> {
    let shared = sharing(tokens(Window::Minute, 2_000), &[(1, 500), (2, 300)]);
    let month = rate(Scope::Member(4), Meter::Output, Window::Month, 40_000);
    let large = vec![shared.clone(), sharing(requests(Window::Day, 90), &[(3, 20)]), slots(6)];
    let small = vec![shared, month, rate(Scope::Project(1), Meter::Input, Window::Minute, 900)];
    [1, 2, 3]
        .into_iter()
        .flat_map(|project| [desk.chain(project, large.clone()), desk.chain(project, small.clone())])
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_stores_answer_alike() {
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (local, redis) = (Desk::new(Kept::InProcess).await, Desk::new(Kept::Redis).await);
        let (ours, theirs) = (chains(&local), chains(&redis));
        let mut tickets: Vec<(Ticket, Ticket)> = Vec::new();
        let (mut passed, mut refused) = (0, 0);
        for _ in 0..250 {
            match random.u8(0..10) {
                0..5 => {
                    let (chain, ask) =
                        (random.usize(..ours.len()), Ask { input: random.u64(0..300), output: random.u64(0..300) });
                    let answers =
                        (local.store.reserve(&ours[chain], ask).await, redis.store.reserve(&theirs[chain], ask).await);
                    match answers {
                        (Ok((ticket, standing)), Ok((other, theirs))) => {
                            assert_eq!(standing, theirs, "seed {seed}");
                            tickets.push((ticket, other));
                            passed += 1;
                        }
                        (Err(Refused::Limit(bite)), Err(Refused::Limit(theirs))) => {
                            assert_eq!(bite, theirs, "seed {seed}");
                            refused += 1;
                        }
                        answers => panic!("seed {seed}: {answers:?}"),
                    }
                }
                5..8 if !tickets.is_empty() => {
                    // Ended ones too: ending again does nothing.
                    let (ticket, other) = &tickets[random.usize(..tickets.len())];
                    let used = Used { input: random.u64(0..400), output: random.u64(0..400) };
                    if random.u8(0..4) == 0 {
                        local.store.release(ticket);
                        redis.release(other).await;
                    } else {
                        local.store.settle(ticket, used);
                        redis.store.settle(other, used);
                        redis.told().await;
                    }
                }
                _ => {
                    let longest = [500, 15_000, 90_000, 50_000_000][random.usize(..4)];
                    let wait = Duration::from_millis(random.u64(0..longest));
                    local.clock.advance(wait);
                    redis.clock.advance(wait);
                }
            }
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert_eq!(local.read(ours).await, redis.read(theirs).await, "seed {seed}");
            }
        }
        assert!(passed > 40 && refused > 10, "seed {seed}: {passed} passed, {refused} refused");
    }
}
