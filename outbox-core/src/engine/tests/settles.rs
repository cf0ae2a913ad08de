//! Outcomes are written back.

use super::handover::under_another_lease;
use super::*;
use crate::engine::settling::MOST;
use crate::retry::OnDeath;

#[test]
fn outcomes_are_settled_soon_although_nothing_else_happens() {
    let mut rig = Rig::new(1);
    let node = rig.start(hardly_polling());
    rig.store.commit([event("things", "a")]);
    rig.handle(node, Event::Woken);
    rig.pass(HOUR / 2);
    rig.report(node, |_| true, delivered);
    let due = rig.now + Duration::from_millis(10);
    assert_eq!(rig.nodes[node].engine.next_poll(rig.now), Some(due));
    rig.pass(due - rig.now);
    assert!(rig.store.is_empty());
}

#[test]
fn what_became_of_events_is_counted() {
    let mut rig = Rig::new(1);
    let policy = RetryPolicy::fixed(Duration::from_secs(1)).max_attempts(2).on_death(OnDeath::ParkKey);
    let node = rig.start(EngineConfig { retry: RetryRules::new(policy), ..config() });
    let good = |message: &Message| message.key() != Some("bad");
    rig.store.commit(["a", "b", "c", "bad", "bad", "bad"].map(|key| event("things", key)));
    rig.handle(node, Event::Woken);
    assert_eq!(rig.report(node, good, delivered), 3);
    for _ in 0..2 {
        rig.report(node, |_| true, rejected);
        rig.pass(Duration::from_secs(2));
    }
    let counts = rig.nodes[node].engine.snapshot().counts;
    assert_eq!((counts.delivered, counts.retried, counts.dead, counts.parked), (3, 1, 1, 2));
}

#[test]
fn what_a_new_generation_kept_from_being_written_comes_again_at_once_and_is_not_counted() {
    for retry in [RetryPolicy::never(), RetryPolicy::fixed(HOUR), RetryPolicy::never().on_death(OnDeath::ParkKey)] {
        let mut rig = Rig::new(1);
        let retry = RetryRules::new(retry);
        let node = rig.start(EngineConfig { retry, ..hardly_polling() });
        rig.pass(HOUR / 2);
        rig.store.commit([event("things", "a"), event("things", "b")]);
        rig.handle(node, Event::Woken);
        let key = |key: &'static str| move |message: &Message| message.key() == Some(key);
        rig.pass(HOUR / 2);
        rig.store.restart();
        // The deliveries of such a settle are written.
        rig.nodes[node].late_answers = Some(Vec::new());
        rig.report(node, key("b"), delivered);
        rig.pass(Duration::from_millis(10));
        let reads = rig.nodes[node].reads.len();
        rig.nodes[node].late_reads = Some(Vec::new());
        rig.answer_settles(node);
        assert_eq!(rig.nodes[node].reads.len(), reads + 1, "there is something new");
        rig.report(node, key("a"), rejected);
        rig.answer_settles(node);
        for answer in rig.nodes[node].late_reads.take().unwrap() {
            rig.handle(node, answer);
        }
        assert_eq!(rig.store.pending_count(), 1);
        let counts = rig.nodes[node].engine.snapshot().counts;
        assert_eq!((counts.delivered, counts.retried, counts.dead, counts.parked), (1, 0, 0, 0));
        rig.pass(Duration::from_millis(10));
        assert_eq!(rig.report(node, key("a"), delivered), 1);
    }
}

#[test]
fn a_settle_is_shared_among_shards_and_no_larger_than_it_may_be() {
    let mut rig = Rig::new(3);
    let node = rig.start(EngineConfig { window: 100_000, batch_size: 8_000, ..config() });
    rig.nodes[node].late_answers = Some(Vec::new());
    rig.store.commit([event("things", "the settle that is under way")]);
    rig.handle(node, Event::Woken);
    rig.report(node, |_| true, delivered);
    rig.pass(Duration::from_millis(10));
    // Most are in two shards, and some in each.
    let most = [key_of(0, 3), key_of(1, 3)];
    let key = |n: usize| if n.is_multiple_of(8) { n.to_string() } else { most[n % 2].clone() };
    rig.store.commit((0..14_000).map(|n| event("things", &key(n))));
    rig.handle(node, Event::Woken);
    while rig.report(node, |_| true, delivered) > 0 {}
    let changes = |rig: &Rig| -> Vec<usize> {
        let mut changes: Vec<_> = rig.nodes[node].engine.lanes.values().map(|lane| lane.changes.len()).collect();
        changes.sort_unstable();
        changes
    };
    let [few, some, many] = changes(&rig)[..] else { panic!("three shards") };
    assert!(few > 0 && few < MOST / 3 && some > (MOST - few) / 2, "{:?}", changes(&rig));
    assert!(many > some);
    rig.answer_settles(node);
    let sizes = |request: &SettleRequest| {
        let mut sizes: Vec<_> = request.lanes.iter().map(|lane| lane.changes.len()).collect();
        sizes.sort_unstable();
        sizes
    };
    let half = (MOST - few) / 2;
    assert_eq!(rig.nodes[node].settles.last().map(sizes), Some(vec![few, half, MOST - few - half]));
    assert!(rig.nodes[node].settles.iter().all(|request| sizes(request).iter().sum::<usize>() <= MOST));
}

/// A node that has an event with its publisher, and does not know that its lease has run out.
fn with_a_lease_that_ran_out() -> (Rig, usize) {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    rig.store.commit([event("things", "a")]);
    rig.handle(node, Event::Woken);
    rig.nodes[node].leases_hang = true;
    rig.store.advance(2 * LEASE);
    (rig, node)
}

#[test]
fn who_hears_from_a_settle_that_a_shard_is_lost_gives_it_up() {
    let (mut rig, node) = with_a_lease_that_ran_out();
    let other = rig.start(config());
    assert_eq!((rig.shards(node), rig.shards(other)), (1, 1));
    rig.report(node, |_| true, delivered);
    rig.pass(Duration::from_millis(10));
    assert_eq!((rig.shards(node), rig.shards(other)), (0, 1));
    assert_eq!(rig.nodes[node].engine.snapshot().in_flight, 0);
}

#[test]
fn what_a_settle_says_about_an_earlier_lease_is_no_news() {
    let (mut rig, node) = with_a_lease_that_ran_out();
    let second = under_another_lease(&rig, node);
    // It goes out before the answer about the second one is there.
    rig.nodes[node].late_answers = Some(Vec::new());
    rig.report(node, |_| true, delivered);
    rig.pass(Duration::from_millis(10));
    rig.handle(node, second);
    let lanes = rig.nodes[node].engine.next_lane;
    rig.answer_settles(node);
    assert_eq!((rig.shards(node), rig.nodes[node].engine.next_lane), (1, lanes));
}
