//! Several replicas on one Redis count as one.

use std::time::Duration;

use guichet::policy::limits::clock::Clock;
use guichet::policy::limits::rule::Window;
use guichet::policy::limits::shared::Settings;

use crate::ledger::desk::{Desk, NOON, fresh, patient, requests, slots, tokens, until};
use crate::ledger::saturation::{assert_bound, run};
use crate::ledger::server::{Server, shared_url};

const LEASE: Duration = Duration::from_secs(60);

/// Two replicas whose simulated clock is one.
async fn two(settings: Settings) -> (Desk, Desk) {
    let (clock, organization) = (Clock::manual(NOON), fresh());
    let one = Desk::on(&shared_url(), clock.clone(), settings, organization).await;
    let other = Desk::on(&shared_url(), clock, settings, organization).await;
    (one, other)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_limit_for_both() {
    let (one, other) = two(patient()).await;
    let chain = one.chain(7, vec![tokens(Window::Minute, 1_000), slots(60), requests(Window::Day, 500)]);
    let ask = async |desk: &Desk| {
        let mut tickets = Vec::new();
        for _ in 0..100 {
            if let Ok((ticket, _)) = desk.ask(&chain, 10).await {
                tickets.push(ticket);
            }
        }
        tickets
    };
    let (mine, theirs) = tokio::join!(ask(&one), ask(&other));
    assert_eq!(mine.len() + theirs.len(), 60);
    assert_eq!(one.used(&chain).await, [600, 60, 60]);
    for ticket in &mine {
        one.settle(ticket, 4).await;
    }
    for ticket in &theirs {
        other.release(ticket).await;
    }
    let count = mine.len() as u64;
    assert_eq!(other.used(&chain).await, [4 * count, 0, count]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_minute_of_both_stays_within_the_stated_bound() {
    let (one, other) = two(patient()).await;
    let admitted = run(&[&one, &other], 11, 2_000, |asked, random| random.u64(0..=3 * asked)).await;
    assert!(admitted.iter().any(|one| one.used > one.asked));
    assert_bound(&admitted, 2_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_replica_holds_expires() {
    let (dead, living) = two(Settings { lease: LEASE, ..patient() }).await;
    let chain = dead.chain(7, vec![slots(3), tokens(Window::Day, 100), requests(Window::Month, 10)]);
    for _ in 0..3 {
        dead.take(&chain, 30).await;
    }
    dead.stop.cancel();
    dead.advance(59_000);
    assert_eq!(living.refused(&chain, 30).await.limit, 1);
    living.advance(1_000);
    for _ in 0..3 {
        living.take(&chain, 30).await;
    }
    assert_eq!(living.used(&chain).await, [3, 90, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_taken_for_dead_that_comes_back_is_charged_once() {
    let (cut, living) = two(Settings { lease: LEASE, ..patient() }).await;
    let chain = cut.chain(7, vec![slots(9), tokens(Window::Day, 1_000), requests(Window::Month, 10)]);
    let (ended, left) = (cut.take(&chain, 30).await, cut.take(&chain, 30).await);
    cut.advance(61_000);
    assert_eq!(living.used(&chain).await, [0, 0, 0]);
    cut.settle(&ended, 25).await;
    cut.settle(&ended, 25).await;
    cut.release(&left).await;
    assert_eq!(living.used(&chain).await, [0, 25, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_answer_keeps_its_slot() {
    // In real time: the lease is renewed behind the scenes.
    let settings = Settings { lease: Duration::from_millis(1_500), ..patient() };
    let organization = fresh();
    let busy = Desk::on(&shared_url(), Clock::system(), settings, organization).await;
    let other = Desk::on(&shared_url(), Clock::system(), settings, organization).await;
    let chain = busy.chain(7, vec![slots(1)]);
    busy.take(&chain, 0).await;
    let start = std::time::Instant::now();
    while start.elapsed() < 3 * settings.lease {
        other.refused(&chain, 0).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    busy.stop.cancel();
    until("the slot of the dead is free", || async { other.ask(&chain, 0).await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_know_how_many_they_are() {
    let server = Server::start().await;
    let organization = fresh();
    let mut desks = Vec::new();
    for _ in 0..3 {
        desks.push(Desk::on(&server.url(), Clock::system(), patient(), organization).await);
    }
    for desk in &desks {
        until("all three are seen", || async { desk.store.health().unwrap().replicas == 3 }).await;
    }
    desks.pop();
    until("one is missed", || async { desks[0].store.health().unwrap().replicas == 2 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_one_round_trip() {
    let server = Server::start().await;
    let desk = Desk::on(&server.url(), Clock::system(), patient(), fresh()).await;
    let chain = desk.chain(7, vec![tokens(Window::Minute, 1_000), requests(Window::Day, 150), slots(1_000)]);
    let before = server.count("evalsha").await;
    let start = std::time::Instant::now();
    for _ in 0..300 {
        let _either_way = desk.ask(&chain, 1).await;
    }
    // And one beat each second, tickets open or not.
    let beats = start.elapsed().as_secs() + 2;
    let told = server.count("evalsha").await - before;
    assert!((300..=300 + beats).contains(&told), "{told} calls and {beats} beats at most");
    assert_eq!((server.count("eval").await, server.count("script|load").await), (0, 1));
}
