//! What counting comes to over minutes, in simulated time with a seed: no minute takes more than its limit and what was
//! underestimated, and a limit that is always asked for is served in full.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use guichet::policy::limits::rule::{Ask, Window};
use guichet::policy::limits::ticket::{Refused, Ticket};

use crate::ledger::desk::{Desk, Kept, requests, tokens};

const LIMIT: u64 = 10_000;
const MINUTE: u64 = 60_000;
/// Simulated.
const TEN_MINUTES: u64 = 10 * MINUTE;

/// What became of one admitted request.
pub struct Admitted {
    at: u64,
    pub asked: u64,
    pub used: u64,
    ended: u64,
}

enum End {
    Settled(u64),
    /// Left before the engine was called.
    Released,
}

/// 200 clients that ask again as soon as they are answered, some hanging up, whose tokens are what `truth` says of what
/// was asked.
pub async fn run(
    desks: &[&Desk],
    seed: u64,
    limit: u64,
    truth: impl Fn(u64, &mut fastrand::Rng) -> u64,
) -> Vec<Admitted> {
    let mut random = fastrand::Rng::with_seed(seed);
    let chain = desks[0].chain(7, vec![requests(Window::Day, 1_000_000), tokens(Window::Minute, limit)]);
    let mut admitted: Vec<Admitted> = Vec::new();
    let mut running: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut ends: Vec<Option<(&Desk, Ticket, End)>> = Vec::new();
    let mut clients = 200_u32;
    let mut tick = 0;
    while tick < TEN_MINUTES {
        while let Some(Reverse((at, index))) = running.peek().copied()
            && at <= tick
        {
            running.pop();
            clients += 1;
            match ends[index].take() {
                Some((desk, ticket, End::Settled(used))) => desk.settle(&ticket, used).await,
                Some((desk, ticket, End::Released)) => desk.release(&ticket).await,
                None => panic!("a request ends once"),
            }
        }
        for _ in 0..clients.min(8) {
            let asked = random.u64(20..60);
            let desk = desks[random.usize(..desks.len())];
            match desk.store.reserve(&chain, Ask { input: asked, output: 0 }).await {
                Ok((ticket, _)) => {
                    clients -= 1;
                    let ended = tick + random.u64(100..20_000);
                    let end =
                        if random.u8(0..20) == 0 { End::Released } else { End::Settled(truth(asked, &mut random)) };
                    let used = if let End::Settled(used) = end { used } else { 0 };
                    running.push(Reverse((ended, ends.len())));
                    ends.push(Some((desk, ticket, end)));
                    admitted.push(Admitted { at: tick, asked, used, ended });
                }
                Err(Refused::Limit(_)) => break,
                Err(Refused::Unavailable) => panic!("the store is there"),
            }
        }
        let step = random.u64(20..150);
        // All replicas have one clock, as all simulated desks do.
        desks[0].advance(step);
        tick += step;
    }
    admitted
}

/// No minute took more than the limit, and what requests then in flight were underestimated by.
pub fn assert_bound(admitted: &[Admitted], limit: u64) {
    for last in admitted {
        let minute = || admitted.iter().filter(|one| one.at <= last.at && one.at + MINUTE > last.at);
        let used: u64 = minute().map(|one| one.used).sum();
        let under: u64 = minute().filter(|one| one.ended > last.at).map(|one| one.used.saturating_sub(one.asked)).sum();
        assert!(used <= limit + under, "{used} tokens in the minute before {}, of {limit} and {under}", last.at);
    }
}

fn served(admitted: &[Admitted]) -> u64 {
    admitted.iter().map(|one| one.used).sum()
}

#[tokio::test]
async fn tokens_of_any_minute_stay_within_the_stated_bound() {
    for seed in 0..4 {
        let desk = Desk::new(Kept::InProcess).await;
        // From nothing used to three times what was asked.
        let admitted = run(&[&desk], seed, LIMIT, |asked, random| random.u64(0..=3 * asked)).await;
        assert!(admitted.iter().any(|one| one.used > one.asked));
        assert_bound(&admitted, LIMIT);
    }
}

#[tokio::test]
async fn redis_keeps_the_same_bound() {
    let desk = Desk::new(Kept::Redis).await;
    let admitted = run(&[&desk], 9, 2_000, |asked, random| random.u64(0..=3 * asked)).await;
    assert!(admitted.iter().any(|one| one.used > one.asked));
    assert_bound(&admitted, 2_000);
}

#[tokio::test]
async fn a_limit_always_asked_for_is_served_in_full() {
    for seed in 0..4 {
        let desk = Desk::new(Kept::InProcess).await;
        let admitted = run(&[&desk], seed, LIMIT, |asked, _| asked).await;
        assert_bound(&admitted, LIMIT);
        // Ten minutes begin with a full bucket: ten times the limit. What clients gave back is asked for again.
        let share = served(&admitted) as f64 / (10 * LIMIT) as f64;
        println!("seed {seed}: {:.2} % of what the limit allows", 100.0 * share);
        assert!((0.99..=1.0).contains(&share), "{share}");
    }
}

#[tokio::test]
async fn requests_always_asked_for_are_served_in_full() {
    for max in [10, 60, 600, 6_000] {
        let desk = Desk::new(Kept::InProcess).await;
        let chain = desk.chain(7, vec![requests(Window::Minute, max)]);
        let mut passed = 0_u64;
        for _ in 0..TEN_MINUTES / 10 {
            while desk.store.reserve(&chain, Ask::default()).await.is_ok() {
                passed += 1;
            }
            desk.advance(10);
        }
        let share = passed as f64 / (10 * max) as f64;
        println!("{max} requests a minute: {:.2} % of what the limit allows", 100.0 * share);
        assert!((0.99..=1.0).contains(&share), "{share} of {max}");
    }
}
