//! What holds on every store.

use std::time::Duration;

use guichet::policy::limits::past::Past;
use guichet::policy::limits::rule::{Ask, Meter, Scope, Used, Window};

use crate::ledger::desk::on_each_store;
use crate::ledger::desk::{Desk, rate, requests, sharing, slots, tokens};

const DAY: u64 = 86_400_000;
const HOUR: i64 = 3_600_000;

on_each_store!(
    a_refusal_takes_from_none,
    the_hardest_refusal_is_told,
    the_minute_slides,
    a_full_bucket_never_admits_twice,
    what_is_too_much_goes_back_where_it_came_from,
    what_is_too_little_is_charged_when_known,
    a_ticket_ends_once,
    released_is_as_if_never_asked,
    slots_are_held_until_the_end,
    each_meter_counts_its_own,
    days_and_months_follow_the_calendar,
    days_of_changed_clocks_are_whole,
    guaranteed_shares_are_kept_for_their_projects,
    a_guarantee_follows_the_sliding_minute,
    the_tightest_limits_are_told,
    an_ask_larger_than_its_limit_never_passes,
    an_hour_forward_frees_nobody_twice,
    an_hour_back_freezes_nobody,
    the_past_is_counted_once,
    large_numbers_stay_exact,
    organizations_are_apart,
    many_at_once_pass_exactly_to_the_limit,
);

async fn a_refusal_takes_from_none(desk: &Desk) {
    let both = desk.chain(7, vec![requests(Window::Minute, 100), tokens(Window::Day, 50), slots(3)]);
    desk.take(&both, 40).await;
    for _ in 0..10 {
        assert_eq!(desk.refused(&both, 11).await.limit, 1);
    }
    assert_eq!(desk.used(&both).await, [1, 40, 1]);
    desk.take(&both, 10).await;
    assert_eq!(desk.used(&both).await, [2, 50, 2]);
}

async fn the_hardest_refusal_is_told(desk: &Desk) {
    let chain = desk.chain(7, vec![tokens(Window::Month, 10), requests(Window::Minute, 1), tokens(Window::Day, 10)]);
    desk.take(&chain, 10).await;
    let bite = desk.refused(&chain, 1).await;
    assert_eq!((bite.limit, bite.used, bite.max, bite.asked), (0, 10, 10, 1));
    assert_eq!(bite.retry_after, Some(bite.resets_in));
    assert!(bite.resets_in > Duration::from_secs(3 * 86_400), "{bite:?}");
}

async fn the_minute_slides(desk: &Desk) {
    let chain = desk.chain(7, vec![tokens(Window::Minute, 100)]);
    desk.take(&chain, 60).await;
    desk.advance(30_000);
    desk.take(&chain, 40).await;
    let bite = desk.refused(&chain, 50).await;
    // The first 60 leave a minute after they came, to a step of 200 ms.
    assert_eq!(bite.retry_after, Some(Duration::from_millis(30_200)));
    assert_eq!(bite.resets_in, Duration::from_millis(60_200));
    desk.advance(30_199);
    desk.refused(&chain, 50).await;
    desk.advance(1);
    assert_eq!(desk.used(&chain).await, [40]);
    desk.take(&chain, 60).await;
}

async fn a_full_bucket_never_admits_twice(desk: &Desk) {
    let chain = desk.chain(7, vec![requests(Window::Minute, 10)]);
    let mut admitted = Vec::new();
    for at in 0..2_000_u64 {
        if desk.ask(&chain, 0).await.is_ok() {
            admitted.push(at * 100);
        }
        desk.advance(100);
    }
    for from in &admitted {
        let within = admitted.iter().filter(|at| (*from..from + 60_000).contains(*at)).count();
        assert!(within <= 10, "{within} in the minute from {from}");
    }
    assert_eq!(admitted.len(), 40, "a fresh bucket each 60.2 s, over 200 s");
}

async fn what_is_too_much_goes_back_where_it_came_from(desk: &Desk) {
    let chain = desk.chain(7, vec![tokens(Window::Minute, 100), tokens(Window::Day, 1_000)]);
    let early = desk.take(&chain, 80).await;
    desk.advance(40_000);
    desk.take(&chain, 20).await;
    desk.settle(&early, 30).await;
    assert_eq!(desk.used(&chain).await, [50, 50]);
    desk.advance(20_200);
    // What is left of the early one leaves with its own minute.
    assert_eq!(desk.used(&chain).await, [20, 50]);
    // A refund that comes after its minute has passed gives back nothing that is not there.
    let late = desk.take(&chain, 80).await;
    desk.advance(70_000);
    desk.take(&chain, 90).await;
    desk.settle(&late, 1).await;
    assert_eq!(desk.used(&chain).await, [90, 141]);
}

async fn what_is_too_little_is_charged_when_known(desk: &Desk) {
    let chain = desk.chain(7, vec![tokens(Window::Minute, 100), tokens(Window::Day, 1_000)]);
    let low = desk.take(&chain, 10).await;
    desk.advance(59_000);
    desk.settle(&low, 150).await;
    assert_eq!(desk.used(&chain).await, [150, 150]);
    desk.refused(&chain, 1).await;
    desk.advance(1_200);
    assert_eq!(desk.used(&chain).await, [140, 150]);
    desk.advance(59_000);
    assert_eq!(desk.used(&chain).await, [0, 150]);
}

async fn a_ticket_ends_once(desk: &Desk) {
    let chain = desk.chain(7, vec![tokens(Window::Minute, 100), slots(2), requests(Window::Minute, 9)]);
    let one = desk.take(&chain, 50).await;
    let other = desk.take(&chain, 20).await;
    for _ in 0..3 {
        desk.settle(&one, 30).await;
        desk.release(&one).await;
    }
    assert_eq!(desk.used(&chain).await, [50, 1, 2]);
    for _ in 0..3 {
        desk.release(&other).await;
        desk.settle(&other, 90).await;
    }
    assert_eq!(desk.used(&chain).await, [30, 0, 1]);
}

async fn released_is_as_if_never_asked(desk: &Desk) {
    let chain = desk.chain(7, vec![requests(Window::Day, 1), tokens(Window::Month, 10), tokens(Window::Minute, 10)]);
    for _ in 0..5 {
        let ticket = desk.take(&chain, 10).await;
        desk.release(&ticket).await;
    }
    assert_eq!(desk.used(&chain).await, [0, 0, 0]);
}

async fn slots_are_held_until_the_end(desk: &Desk) {
    let chain = desk.chain(7, vec![slots(2)]);
    let one = desk.take(&chain, 0).await;
    let _two = desk.take(&chain, 0).await;
    let bite = desk.refused(&chain, 0).await;
    assert_eq!((bite.used, bite.max, bite.retry_after), (2, 2, Some(Duration::from_secs(1))));
    desk.settle(&one, 1_000).await;
    desk.take(&chain, 0).await;
    desk.refused(&chain, 0).await;
}

async fn each_meter_counts_its_own(desk: &Desk) {
    let on = |meter| rate(Scope::Project(7), meter, Window::Day, 1_000);
    let chain = desk.chain(7, vec![on(Meter::Requests), on(Meter::Input), on(Meter::Output), on(Meter::Tokens)]);
    let (ticket, _) = desk.store.reserve(&chain, Ask { input: 10, output: 500 }).await.unwrap();
    assert_eq!(desk.used(&chain).await, [1, 10, 500, 510]);
    desk.store.settle(&ticket, Used { input: 12, output: 100 });
    desk.told().await;
    assert_eq!(desk.used(&chain).await, [1, 12, 100, 112]);
}

async fn days_and_months_follow_the_calendar(desk: &Desk) {
    let chain = desk.chain(7, vec![tokens(Window::Day, 100), tokens(Window::Month, 150)]);
    desk.take(&chain, 100).await;
    let bite = desk.refused(&chain, 1).await;
    // From noon in Paris to midnight.
    assert_eq!((bite.limit, bite.retry_after), (0, Some(Duration::from_secs(12 * 3_600))));
    desk.advance(12 * 3_600_000 - 1);
    desk.refused(&chain, 1).await;
    desk.advance(1);
    desk.take(&chain, 50).await;
    assert_eq!(desk.used(&chain).await, [50, 150]);
    let bite = desk.refused(&chain, 1).await;
    assert_eq!((bite.limit, bite.retry_after), (1, Some(Duration::from_secs(30 * 86_400))));
    desk.advance(30 * DAY);
    assert_eq!(desk.used(&chain).await, [0, 0]);
}

async fn days_of_changed_clocks_are_whole(desk: &Desk) {
    let chain = desk.chain(7, vec![requests(Window::Day, 1)]);
    // To midnight of the 25th of October 2026, when clocks go back, and of the 28th of March 2027, when they go forward.
    for (until_midnight, hours) in [(115 * DAY + 12 * 3_600_000, 25), (153 * DAY, 23)] {
        desk.advance(until_midnight);
        let ticket = desk.take(&chain, 0).await;
        assert_eq!(desk.refused(&chain, 0).await.retry_after, Some(Duration::from_secs(hours * 3_600)));
        desk.settle(&ticket, 0).await;
        desk.advance(hours * 3_600_000 - 1);
        desk.refused(&chain, 0).await;
        desk.advance(1);
        let ticket = desk.take(&chain, 0).await;
        desk.release(&ticket).await;
    }
}

async fn guaranteed_shares_are_kept_for_their_projects(desk: &Desk) {
    let limit = sharing(tokens(Window::Day, 100), &[(1, 30), (2, 20)]);
    let (one, two, other) =
        (desk.chain(1, vec![limit.clone()]), desk.chain(2, vec![limit.clone()]), desk.chain(3, vec![limit]));
    // Without a guarantee, what is guaranteed to others cannot be had.
    let bite = desk.refused(&other, 51).await;
    assert_eq!(bite.retry_after, None, "never: 50 are others'");
    desk.take(&other, 50).await;
    desk.refused(&other, 1).await;
    // Each finds its share, whatever the others used.
    let held = desk.take(&one, 30).await;
    desk.refused(&one, 1).await;
    desk.take(&two, 20).await;
    desk.refused(&two, 1).await;
    // What one gives back is its own again.
    desk.settle(&held, 10).await;
    desk.refused(&other, 1).await;
    assert_eq!(desk.read(&one).await[0].left, 20);
    assert_eq!(desk.read(&other).await[0].left, 0);
    desk.take(&one, 20).await;
}

async fn a_guarantee_follows_the_sliding_minute(desk: &Desk) {
    let limit = sharing(tokens(Window::Minute, 100), &[(1, 40)]);
    let (one, other) = (desk.chain(1, vec![limit.clone()]), desk.chain(2, vec![limit]));
    desk.take(&one, 40).await;
    desk.advance(10_000);
    desk.take(&other, 60).await;
    // The 40 that leave first are guaranteed again as they do: only its own leaving helps.
    let bite = desk.refused(&other, 10).await;
    assert_eq!(bite.retry_after, Some(Duration::from_millis(60_200)));
    desk.advance(50_200);
    desk.refused(&other, 10).await;
    desk.take(&one, 40).await;
    desk.advance(10_000);
    desk.take(&other, 60).await;
}

async fn the_tightest_limits_are_told(desk: &Desk) {
    let limits = vec![
        requests(Window::Minute, 10),
        requests(Window::Day, 5),
        tokens(Window::Minute, 100),
        tokens(Window::Month, 1_000),
        slots(9),
    ];
    let chain = desk.chain(7, limits);
    let (_, standing) = desk.ask(&chain, 40).await.unwrap();
    let (requests, tokens, fullest) = (standing.requests.unwrap(), standing.tokens.unwrap(), standing.fullest.unwrap());
    assert_eq!((requests.limit, requests.used, requests.left), (1, 1, 4));
    assert_eq!((tokens.limit, tokens.used, tokens.left), (2, 40, 60));
    assert_eq!(tokens.resets_in, Duration::from_millis(60_200));
    assert_eq!((fullest.limit, fullest.used, fullest.max), (1, 1, 5));
}

async fn an_ask_larger_than_its_limit_never_passes(desk: &Desk) {
    let chain =
        desk.chain(7, vec![requests(Window::Minute, 1), tokens(Window::Minute, 100), tokens(Window::Day, 1_000)]);
    let bite = desk.refused(&chain, 101).await;
    assert_eq!((bite.limit, bite.used, bite.asked, bite.retry_after), (1, 0, 101, None));
    // It stays the reason when others refuse as well.
    desk.take(&chain, 100).await;
    assert_eq!(desk.refused(&chain, 101).await.limit, 1);
    assert_eq!(desk.used(&chain).await, [1, 100, 100]);
}

async fn an_hour_forward_frees_nobody_twice(desk: &Desk) {
    let chain = desk.chain(7, vec![requests(Window::Day, 3)]);
    desk.advance(12 * 3_600_000 - 60_000);
    for _ in 0..3 {
        desk.take(&chain, 0).await;
    }
    desk.refused(&chain, 0).await;
    // The wall jumps over midnight and back, again and again: one fresh day, no more.
    let mut admitted = 0;
    for _ in 0..5 {
        desk.clock.jump(HOUR);
        admitted += [desk.ask(&chain, 0).await, desk.ask(&chain, 0).await].iter().filter(|asked| asked.is_ok()).count();
        desk.clock.jump(-HOUR);
        admitted += [desk.ask(&chain, 0).await, desk.ask(&chain, 0).await].iter().filter(|asked| asked.is_ok()).count();
    }
    assert_eq!(admitted, 3);
}

async fn an_hour_back_freezes_nobody(desk: &Desk) {
    let chain = desk.chain(7, vec![requests(Window::Minute, 5), requests(Window::Day, 10)]);
    for _ in 0..5 {
        desk.take(&chain, 0).await;
    }
    desk.clock.jump(-HOUR);
    // Free nobody,
    assert_eq!(desk.refused(&chain, 0).await.limit, 0);
    // and freeze nobody for longer than the window.
    desk.advance(60_200);
    for _ in 0..5 {
        desk.take(&chain, 0).await;
    }
    assert_eq!(desk.used(&chain).await, [5, 10]);
    // A year ahead and back: at most one window is lost.
    desk.advance(60_200);
    desk.clock.jump(365 * 24 * HOUR);
    desk.take(&chain, 0).await;
    desk.clock.jump(-365 * 24 * HOUR);
    desk.take(&chain, 0).await;
    desk.advance(DAY);
    for _ in 0..5 {
        desk.take(&chain, 0).await;
    }
}

async fn the_past_is_counted_once(desk: &Desk) {
    let limits = vec![
        tokens(Window::Minute, 1_000),
        sharing(tokens(Window::Day, 1_000), &[(7, 500)]),
        tokens(Window::Month, 1_000),
        slots(3),
    ];
    let chain = desk.chain(7, limits.clone());
    desk.take(&chain, 1).await;
    assert_eq!(desk.store.wanting().unwrap().recv().await, Some(desk.organization));
    let now = desk.clock.now().wall;
    let mut past = Vec::new();
    for (limit, project) in limits.iter().zip([None, Some(7), None, None]) {
        // A minute and a half ago, half a minute ago, yesterday, last month, and since.
        for (ago, amount) in [(90_000, 100), (30_000, 10), (24 * HOUR, 200), (40 * 24 * HOUR, 400), (-1_000, 800)] {
            past.push(Past { id: limit.id.clone(), project, at: now - ago, amount });
        }
    }
    desk.advance(2_000);
    assert!(desk.store.preload(desk.organization, &past).await);
    // The first of July: yesterday was last month.
    assert_eq!(desk.used(&chain).await, [11, 111, 111, 1]);
    assert_eq!(desk.read(&desk.chain(8, limits)).await[1].left, 1_000 - 111 - (500 - 111));
    desk.advance(28_200);
    assert_eq!(desk.used(&chain).await, [1, 111, 111, 1]);
}

async fn large_numbers_stay_exact(desk: &Desk) {
    let most = guichet::policy::limits::rule::LARGEST;
    let chain = desk.chain(7, vec![tokens(Window::Month, most), tokens(Window::Minute, most)]);
    let ticket = desk.take(&chain, most - 7).await;
    assert_eq!(desk.used(&chain).await, [most - 7, most - 7]);
    desk.refused(&chain, 8).await;
    desk.take(&chain, 7).await;
    desk.settle(&ticket, 3).await;
    assert_eq!(desk.used(&chain).await, [10, 10]);
}

async fn organizations_are_apart(desk: &Desk) {
    let chain = desk.chain(7, vec![requests(Window::Day, 1)]);
    let mut other = chain.clone();
    other.organization += 500_000;
    desk.take(&chain, 0).await;
    desk.refused(&chain, 0).await;
    desk.take(&other, 0).await;
    desk.refused(&other, 0).await;
}

async fn many_at_once_pass_exactly_to_the_limit(desk: &Desk) {
    let chain = desk.chain(7, vec![tokens(Window::Minute, 1_000), slots(1_000), requests(Window::Day, 10_000)]);
    let ask = async || {
        let mut tickets = Vec::new();
        for _ in 0..50 {
            if let Ok((ticket, _)) = desk.ask(&chain, 10).await {
                tickets.push(ticket);
            }
        }
        tickets
    };
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    let tickets: Vec<_> = [a, b, c, d].concat();
    assert_eq!(tickets.len(), 100);
    assert_eq!(desk.used(&chain).await, [1_000, 100, 100]);
    for ticket in &tickets {
        desk.store.settle(ticket, Used { input: 5, output: 0 });
    }
    desk.told().await;
    assert_eq!(desk.used(&chain).await, [500, 0, 100]);
}
