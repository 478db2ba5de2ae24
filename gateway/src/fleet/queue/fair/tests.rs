//! The fair order: against a slow obvious model, and against what the paper promises.

mod bound;
mod model;

use super::*;

/// Open to every class.
const ALL: Open = [true; CLASSES];

fn ask(organization: i64, tier: Tier) -> Ask {
    let tenant = Tenant { organization, project: 1, weight: 1, project_weight: 1, tier };
    Ask { tenant, class: DataClass::Public, input: 100 }
}

/// Who is served next, by organization, when each has its slot for as long as it takes to write `output` tokens.
fn serve(fair: &mut Fair<&'static str>, output: i64) -> Option<&'static str> {
    let served = fair.next(ALL)?;
    fair.charge(served.account, output);
    fair.ended(served.account);
    Some(served.what)
}

#[test]
fn a_flood_does_not_delay_a_newcomer() {
    let mut fair = Fair::default();
    for _ in 0..100 {
        fair.join(ask(1, Tier::Interactive), 0, "flood");
    }
    for _ in 0..10 {
        assert_eq!(serve(&mut fair, 500), Some("flood"));
    }
    fair.join(ask(2, Tier::Interactive), 0, "newcomer");
    fair.join(ask(2, Tier::Interactive), 0, "newcomer");
    let order: Vec<_> = (0..4).filter_map(|_| serve(&mut fair, 500)).collect();
    assert_eq!(order, ["newcomer", "flood", "newcomer", "flood"], "in turn, with no credit for its time away");
}

/// An input estimated too high is corrected at the end: who came meanwhile does not wait for that.
#[test]
fn a_newcomer_is_not_lifted_to_an_estimate() {
    let mut fair = Fair::default();
    for _ in 0..20 {
        fair.join(ask(1, Tier::Interactive), 0, "flood");
    }
    let running: Vec<_> = (0..8).filter_map(|_| fair.next(ALL)).collect();
    fair.join(ask(2, Tier::Interactive), 0, "newcomer");
    for one in running {
        fair.charge(one.account, -90);
        fair.ended(one.account);
    }
    assert_eq!(serve(&mut fair, 50), Some("newcomer"));
}

#[test]
fn weights_are_ratios_of_tokens_and_projects_share_their_organizations_part() {
    let mut fair = Fair::default();
    let tenant = |organization, project, weight, project_weight| Ask {
        tenant: Tenant { organization, project, weight, project_weight, tier: Tier::Interactive },
        ..ask(1, Tier::Interactive)
    };
    for _ in 0..400 {
        fair.join(tenant(1, 11, 3, 1), 0, "three, small project");
        fair.join(tenant(1, 12, 3, 2), 0, "three, large project");
        fair.join(tenant(2, 21, 1, 1), 0, "one");
    }
    let mut turns = std::collections::BTreeMap::new();
    for _ in 0..400 {
        *turns.entry(serve(&mut fair, 400).expect("somebody")).or_insert(0) += 1;
    }
    let turns: Vec<_> = turns.into_iter().collect();
    assert_eq!(turns, [("one", 100), ("three, large project", 200), ("three, small project", 100)]);
}

#[test]
fn batches_take_what_is_left_until_they_age() {
    let mut fair = Fair::default();
    fair.join(ask(1, Tier::Flex), 0, "batch");
    for n in 0..50 {
        fair.join(ask(2, Tier::Interactive), n, "people");
    }
    for now in 0..20 {
        fair.age(now, 20);
        assert_eq!(serve(&mut fair, 500), Some("people"), "at {now}");
    }
    fair.age(20, 20);
    assert_eq!(serve(&mut fair, 500), Some("batch"));
    // Alone, a batch has all of the slots, and costs no share of what people wait for.
    let mut fair = Fair::default();
    for _ in 0..10 {
        fair.join(ask(1, Tier::Flex), 0, "batch");
    }
    assert_eq!(serve(&mut fair, 1_000_000), Some("batch"));
    fair.join(ask(2, Tier::Interactive), 0, "people");
    fair.join(ask(1, Tier::Interactive), 0, "people of the batch");
    let order: Vec<_> = (0..3).filter_map(|_| serve(&mut fair, 500)).collect();
    assert_eq!(order, ["people", "people of the batch", "batch"]);
}

#[test]
fn priority_comes_first_and_borrows_a_bounded_part_of_its_share() {
    let mut fair = Fair::default();
    for _ in 0..200 {
        fair.join(ask(1, Tier::Priority), 0, "priority");
        fair.join(ask(2, Tier::Interactive), 0, "people");
    }
    let first = (0..300).position(|_| serve(&mut fair, 900) == Some("people")).expect("people are served");
    let ahead = first as u64 * 1_000;
    assert!((super::super::share::HEAD_START..super::super::share::HEAD_START + 2_000).contains(&ahead), "{ahead}");
    let people = (0..200).filter(|_| serve(&mut fair, 900) == Some("people")).count();
    assert!((99..=101).contains(&people), "then each its half: {people}");
}

#[test]
fn a_line_is_bounded_for_each_and_the_longest_makes_room() {
    let mut fair = Fair::default();
    let bounds = Bounds { length: 6, per_organization: 4 };
    for n in 0..4 {
        assert_eq!(fair.room(1, &bounds), Room::Free);
        fair.join(
            ask(1, if n == 1 { Tier::Flex } else { Tier::Interactive }),
            n,
            ["a", "a batch", "b", "c"][n as usize],
        );
    }
    assert_eq!(fair.room(1, &bounds), Room::Full, "its own bound");
    fair.join(ask(2, Tier::Interactive), 5, "d");
    fair.join(ask(3, Tier::Interactive), 6, "e");
    assert_eq!(fair.room(2, &bounds), Room::InsteadOf(1));
    assert_eq!(fair.turn_away(1), Some("a batch"), "batches first");
    assert_eq!(fair.turn_away(1), Some("c"), "then the last to come");
    assert_eq!((fair.waiting(), fair.waiting_of(1)), (4, 2));
    fair.join(ask(2, Tier::Interactive), 7, "f");
    fair.join(ask(3, Tier::Interactive), 8, "g");
    assert_eq!(fair.room(4, &bounds), Room::InsteadOf(3));
    assert_eq!(fair.room(2, &bounds), Room::Full, "nobody has a longer line than this would make");
}

#[test]
fn what_is_served_while_nobody_waits_is_free_and_the_idle_are_forgotten() {
    let mut fair = Fair::default();
    for organization in 0..10_000 {
        let account = fair.pass(ask(organization, Tier::Interactive), ALL);
        fair.charge(account, 1_000 * organization);
        fair.ended(account);
    }
    assert_eq!(fair.known(), 0);
    for _ in 0..3 {
        fair.join(ask(9_999, Tier::Interactive), 0, "had most");
        fair.join(ask(1, Tier::Interactive), 0, "had little");
    }
    let order: Vec<_> = (0..4).filter_map(|_| serve(&mut fair, 500)).collect();
    assert_eq!(order, ["had little", "had most", "had little", "had most"]);
    // In line, the same is a debt.
    let account = fair.pass(ask(3, Tier::Interactive), ALL);
    fair.charge(account, 5_000);
    fair.ended(account);
    fair.join(ask(3, Tier::Interactive), 0, "owes");
    let order: Vec<_> = (0..3).filter_map(|_| serve(&mut fair, 500)).collect();
    assert_eq!(order, ["had little", "had most", "owes"]);
}
