//! Redis goes away and comes back: requests follow the setting at once, none waits, none is charged twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use guichet::config::limits::WhenStoreDown;
use guichet::policy::limits::clock::Clock;
use guichet::policy::limits::past::Past;
use guichet::policy::limits::rule::{Ask, Used, Window};
use guichet::policy::limits::shared::Settings;
use guichet::policy::limits::ticket::Refused;

use crate::ledger::desk::{Desk, fresh, patient, requests, slots, tokens, until};
use crate::ledger::server::Server;

async fn desk(server: &Server, settings: Settings) -> Desk {
    Desk::on(&server.url(), Clock::system(), settings, fresh()).await
}

fn when(when_down: WhenStoreDown) -> Settings {
    Settings { when_down, lease: Duration::from_secs(60), ..patient() }
}

async fn up(desk: &Desk) {
    until("Redis is back", || async { desk.store.health().unwrap().up }).await;
}

async fn down(desk: &Desk) {
    until("Redis is missed", || async { !desk.store.health().unwrap().up }).await;
}

/// Killed and restarted twice under load: every token is charged exactly once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_under_load_charges_nothing_twice_and_forgets_nothing() {
    let mut server = Server::start().await;
    let desk = Arc::new(desk(&server, when(WhenStoreDown::Share)).await);
    let chain =
        desk.chain(7, vec![tokens(Window::Month, 1_000_000_000), requests(Window::Month, 1_000_000), slots(1_000)]);
    let (over, spent, count) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..16)
        .map(|client| {
            let (desk, chain, over, spent, count) =
                (desk.clone(), chain.clone(), over.clone(), spent.clone(), count.clone());
            let tasks = desk.tasks.clone();
            tasks.spawn(async move {
                let mut random = fastrand::Rng::with_seed(client);
                while !over.load(Ordering::Relaxed) {
                    let asked = random.u64(1..100);
                    let (ticket, _) = desk.store.reserve(&chain, Ask { input: asked, output: 0 }).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(random.u64(0..30))).await;
                    if random.u8(0..10) == 0 {
                        desk.store.release(&ticket);
                    } else {
                        let used = random.u64(0..150);
                        desk.store.settle(&ticket, Used { input: used, output: 0 });
                        spent.fetch_add(used, Ordering::Relaxed);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for _ in 0..2 {
        served(&count, 200).await;
        server.kill();
        down(&desk).await;
        served(&count, 200).await;
        server.restart().await;
        up(&desk).await;
    }
    served(&count, 200).await;
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    desk.told().await;
    assert_eq!(desk.store.health().unwrap().lost, 0);
    let expected = [spent.load(Ordering::Relaxed), count.load(Ordering::Relaxed), 0];
    until("all is told", || async { desk.used(&chain).await == expected }).await;
}

async fn served(count: &AtomicU64, more: u64) {
    let before = count.load(Ordering::Relaxed);
    until("requests are served", || async { count.load(Ordering::Relaxed) >= before + more }).await;
}

/// The host is there and says nothing: one request finds out, within its patience, and none waits after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_silent_redis() {
    let server = Server::start().await;
    let desk = desk(&server, Settings { timeout: Duration::from_millis(50), ..when(WhenStoreDown::Share) }).await;
    let chain = desk.chain(7, vec![tokens(Window::Month, 1_000_000)]);
    up(&desk).await;
    server.freeze();
    let start = Instant::now();
    desk.take(&chain, 1).await;
    let first = start.elapsed();
    for _ in 0..1_000 {
        desk.take(&chain, 1).await;
    }
    let all = start.elapsed();
    assert!(first < Duration::from_millis(500), "{first:?}");
    assert!(all < Duration::from_secs(5), "{all:?} for a thousand");
    assert!(!desk.store.health().unwrap().up);
    server.thaw();
    up(&desk).await;
}

/// A client that leaves while Redis is asked holds nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_before_the_answer_gives_all_back() {
    let server = Server::start().await;
    let desk = desk(&server, Settings { timeout: Duration::from_secs(20), ..when(WhenStoreDown::Closed) }).await;
    let chain = desk.chain(7, vec![tokens(Window::Month, 100), slots(1)]);
    server.freeze();
    let asked = desk.store.reserve(&chain, Ask { input: 100, output: 0 });
    assert!(tokio::time::timeout(Duration::from_millis(100), asked).await.is_err(), "Redis is silent");
    server.thaw();
    desk.told().await;
    assert_eq!(desk.used(&chain).await, [0, 0]);
    desk.take(&chain, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_replica_takes_its_share() {
    let mut server = Server::start().await;
    let one = desk(&server, when(WhenStoreDown::Share)).await;
    let other = Desk::on(&server.url(), Clock::system(), when(WhenStoreDown::Share), one.organization).await;
    let chain = one.chain(7, vec![requests(Window::Day, 21), slots(1_000)]);
    for desk in [&one, &other] {
        until("both are seen", || async { desk.store.health().unwrap().replicas == 2 }).await;
    }
    one.take(&chain, 0).await;
    server.kill();
    for desk in [&one, &other] {
        down(desk).await;
        let mut wanting = desk.store.wanting().unwrap();
        for _ in 0..10 {
            desk.take(&chain, 0).await;
        }
        let bite = desk.refused(&chain, 0).await;
        assert_eq!((bite.used, bite.max), (10, 10), "the half of 21");
        until("its past is asked for", || {
            let asked = wanting.try_recv();
            async move { asked == Ok(one.organization) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_lets_pass_and_charges_later() {
    let mut server = Server::start().await;
    let desk = desk(&server, when(WhenStoreDown::Open)).await;
    let chain = desk.chain(7, vec![tokens(Window::Day, 10), requests(Window::Day, 1_000)]);
    desk.take(&chain, 10).await;
    server.kill();
    down(&desk).await;
    let (kept, left) = (desk.take(&chain, 9).await, desk.take(&chain, 9).await);
    desk.store.settle(&kept, Used { input: 7, output: 0 });
    desk.store.settle(&kept, Used { input: 7, output: 0 });
    desk.store.release(&left);
    assert!(matches!(desk.store.read(&chain).await, Err(Refused::Unavailable)));
    server.restart().await;
    up(&desk).await;
    desk.told().await;
    assert_eq!(desk.used(&chain).await, [17, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_refuses() {
    let mut server = Server::start().await;
    let desk = desk(&server, when(WhenStoreDown::Closed)).await;
    let chain = desk.chain(7, vec![tokens(Window::Day, 10)]);
    let ticket = desk.take(&chain, 10).await;
    server.kill();
    down(&desk).await;
    assert!(matches!(desk.store.reserve(&chain, Ask::default()).await, Err(Refused::Unavailable)));
    // What ends meanwhile is told later.
    desk.store.settle(&ticket, Used { input: 4, output: 0 });
    server.restart().await;
    up(&desk).await;
    desk.told().await;
    assert_eq!(desk.used(&chain).await, [4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_asks_for_the_past() {
    let mut server = Server::start().await;
    let desk = desk(&server, when(WhenStoreDown::Share)).await;
    let chain = desk.chain(7, vec![tokens(Window::Month, 1_000_000), slots(10)]);
    let mut wanting = desk.store.wanting().unwrap();
    let (running, ended) = (desk.take(&chain, 500).await, desk.take(&chain, 70).await);
    assert_eq!(wanting.recv().await, Some(desk.organization));
    assert!(desk.store.preload(desk.organization, &[]).await);
    desk.settle(&ended, 60).await;
    server.kill();
    down(&desk).await;
    let meanwhile = desk.take(&chain, 40).await;
    desk.store.settle(&meanwhile, Used { input: 30, output: 0 });
    server.restart_empty().await;
    up(&desk).await;
    desk.take(&chain, 1).await;
    desk.told().await;
    until("the past is asked for", || {
        let asked = wanting.try_recv();
        async move { asked == Ok(desk.organization) }
    })
    .await;
    // The usage records tell of all that ended before: in the emptied Redis none of it is charged a second time.
    let past = |amount| Past { id: chain.limits[0].id.clone(), project: None, at: ended.at, amount };
    assert!(desk.store.preload(desk.organization, &[past(60), past(30)]).await);
    assert!(desk.store.preload(desk.organization, &[past(60), past(30)]).await);
    desk.settle(&running, 400).await;
    assert_eq!(desk.used(&chain).await, [91, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_starts_without_redis_and_finds_it_later() {
    let mut server = Server::start().await;
    server.kill();
    let desk = desk(&server, when(WhenStoreDown::Share)).await;
    let chain = desk.chain(7, vec![requests(Window::Day, 10)]);
    assert!(!desk.store.health().unwrap().up);
    desk.take(&chain, 0).await;
    server.restart().await;
    up(&desk).await;
    desk.take(&chain, 0).await;
    assert_eq!(desk.store.reserve(&chain, Ask::default()).await.unwrap().1.requests.unwrap().used, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_while_the_gateway_stops_is_told() {
    let server = Server::start().await;
    let desk = desk(&server, Settings { drain: Duration::from_secs(20), ..when(WhenStoreDown::Share) }).await;
    let chain = desk.chain(7, vec![tokens(Window::Day, 100), slots(3)]);
    let ticket = desk.take(&chain, 50).await;
    desk.stop.cancel();
    desk.tasks.close();
    assert!(tokio::time::timeout(Duration::from_millis(300), desk.tasks.wait()).await.is_err(), "a request still runs");
    desk.store.settle(&ticket, Used { input: 20, output: 0 });
    tokio::time::timeout(Duration::from_secs(20), desk.tasks.wait()).await.expect("then all has ended");
    let after = Desk::on(&server.url(), Clock::system(), patient(), desk.organization).await;
    assert_eq!(after.used(&chain).await, [20, 0]);
}
