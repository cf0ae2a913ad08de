//! An engine that has nothing to do says when it will, and that is never in the past.

use super::*;

#[test]
fn a_batch_that_is_too_small_for_all_shards_is_read_in_turn_and_then_it_rests() {
    let mut rig = Rig::new(64);
    let node = rig.start(EngineConfig { batch_size: 10, ..config() });
    rig.pass(Duration::from_secs(60));
    rig.nodes[node].reads.clear();
    rig.store.commit((0..300).map(|n| event("things", &format!("key-{n}"))));
    rig.handle(node, Event::Woken);
    let mut delivered_so_far = 0;
    for _ in 0..100 {
        delivered_so_far += rig.report(node, |_| true, delivered);
        rig.pass(Duration::from_millis(20));
    }
    assert_eq!(delivered_so_far, 300);
    assert!(rig.nodes[node].reads.iter().all(|read| asked(read) <= 10), "no more than a batch at a time");
    rig.pass(Duration::from_secs(60));
    rig.nodes[node].reads.clear();
    rig.pass(Duration::from_secs(60));
    let read: usize = rig.nodes[node].reads.iter().map(|read| read.lanes.len()).sum();
    assert_eq!(read, 12 * 64, "every shard every 5 s");
}

#[test]
fn with_nothing_to_do_leases_are_renewed_and_events_are_found() {
    let mut rig = Rig::new(1);
    let one = rig.start(EngineConfig { poll: [HOUR; 3], ..config() });
    let other = rig.start(EngineConfig { poll: [HOUR; 3], ..config() });
    rig.nodes[one].lease_rounds = 0;
    rig.pass(4 * LEASE);
    assert_eq!((rig.nodes[one].lease_rounds, rig.shards(one), rig.shards(other)), (12, 1, 0));

    let mut rig = Rig::new(1);
    let one = rig.start(EngineConfig { lease: HOUR, ..config() });
    rig.pass(Duration::from_secs(60));
    rig.store.commit([event("things", "nobody tells of it")]);
    rig.pass(Duration::from_secs(5));
    assert_eq!(rig.nodes[one].with_publisher.len(), 1);
}

#[test]
fn while_a_probe_is_under_way_nothing_is_due() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    rig.store.commit([event("away", "a")]);
    rig.handle(node, Event::Woken);
    assert_eq!(rig.report(node, |_| true, unreachable), 1);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.nodes[node].with_publisher.len(), 1, "the probe");
    rig.turns = 0;
    rig.pass(Duration::from_secs(300));
    assert!(rig.turns < 1_000, "{} turns in five minutes", rig.turns);
    assert_eq!(rig.nodes[node].with_publisher.len(), 1);
    rig.report(node, |_| true, delivered);
    rig.pass(Duration::from_secs(1));
    assert!(rig.store.is_empty());
}

#[test]
fn while_all_shards_are_given_up_nothing_is_due() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    rig.store.commit([event("things", "a"), Envelope { delay: Some(LEASE / 5), ..event("things", "b") }]);
    rig.handle(node, Event::Woken);
    for lane in rig.nodes[node].engine.lanes.values_mut() {
        lane.draining = true;
    }
    rig.turns = 0;
    rig.pass(Duration::from_secs(10));
    assert!(rig.turns < 1_000, "{} turns", rig.turns);
}

#[test]
fn while_leases_cannot_be_renewed_nothing_is_due() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    rig.nodes[node].leases_hang = true;
    rig.turns = 0;
    rig.pass(Duration::from_secs(60));
    assert!(rig.turns < 1_000, "{} turns in a minute", rig.turns);
}

#[test]
fn while_there_is_no_room_a_retry_is_not_due() {
    let mut rig = Rig::new(1);
    let node = rig.start(EngineConfig { batch_size: 10, window: 20, ..config() });
    rig.store.commit([event("things", "poison")]);
    rig.handle(node, Event::Woken);
    rig.report(node, |_| true, rejected);
    rig.store.commit((0..100).map(|n| event("things", &format!("key-{n}"))));
    rig.handle(node, Event::Woken);
    rig.turns = 0;
    rig.pass(Duration::from_secs(30));
    assert!(rig.turns < 1_000, "{} turns", rig.turns);
    while rig.report(node, |_| true, delivered) > 0 {}
    rig.pass(Duration::from_secs(30));
    while rig.report(node, |_| true, delivered) > 0 {}
    assert!(rig.store.is_empty(), "the retry too");
}

#[test]
fn a_retry_is_made_when_it_is_due_although_nothing_else_happens() {
    let mut rig = Rig::new(1);
    let node = rig.start(hardly_polling());
    rig.store.commit([event("things", "poison")]);
    rig.handle(node, Event::Woken);
    rig.pass(HOUR / 2);
    rig.report(node, |_| true, rejected);
    rig.pass(Duration::from_millis(500));
    assert!(rig.nodes[node].with_publisher.is_empty());
    let due = rig.now + Duration::from_millis(500);
    assert_eq!(rig.nodes[node].engine.next_poll(rig.now), Some(due));
    rig.pass(due - rig.now);
    assert_eq!(rig.nodes[node].with_publisher.len(), 1);
}

#[test]
fn what_waits_behind_the_backlog_of_a_slow_key_is_not_left_to_the_next_poll() {
    let mut rig = Rig::new(1);
    let node = rig.start(EngineConfig { batch_size: 100, window: 100, ..hardly_polling() });
    rig.store.commit((0..1_000).map(|_| event("things", "slow")));
    rig.handle(node, Event::Woken);
    rig.store.commit([event("things", "other")]);
    rig.handle(node, Event::Woken);
    let began = rig.now;
    while rig.report(node, |message| message.key() == Some("other"), delivered) == 0 {
        let next = rig.nodes[node].engine.next_poll(rig.now).unwrap();
        assert!(next - began < Duration::from_secs(20), "{:?}", next - began);
        rig.pass(next - rig.now);
    }
}

/// As after the database's clock went back by a day: the wait in the row is longer than the policy ever asked for.
#[test]
fn a_retry_waits_no_longer_than_its_policy_says() {
    let delivered_in_a_minute = |policy| {
        let mut rig = Rig::new(1);
        let with = |policy| EngineConfig { retry: RetryRules::new(policy), ..config() };
        let before = rig.start(with(RetryPolicy::fixed(Duration::from_secs(86_400))));
        rig.store.commit([event("things", "poison"), event("things", "poison")]);
        rig.handle(before, Event::Woken);
        assert_eq!(rig.report(before, |_| true, rejected), 2);
        rig.nodes[before].leases_hang = true;
        let now = rig.start(with(policy));
        let mut delivered = 0;
        for _ in 0..60 {
            rig.pass(Duration::from_secs(1));
            delivered += rig.report(now, |_| true, super::delivered);
        }
        delivered
    };
    assert_eq!(delivered_in_a_minute(RetryPolicy::fixed(Duration::from_secs(1))), 2);
    assert_eq!(delivered_in_a_minute(RetryPolicy::fixed(Duration::from_secs(86_400))), 0);
    // Nobody but the function knows how long that may be.
    assert_eq!(delivered_in_a_minute(RetryPolicy::custom(|_, _| Some(Duration::ZERO))), 0);
}

#[test]
fn a_call_that_always_fails_is_made_more_and_more_seldom_although_others_work() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    rig.nodes[node].settles_fail = Some(0);
    rig.store.commit([event("things", "a")]);
    rig.handle(node, Event::Woken);
    rig.report(node, |_| true, delivered);
    for _ in 0..60 {
        rig.handle(node, Event::Woken);
        rig.pass(Duration::from_secs(1));
        assert!(rig.nodes[node].engine.snapshot().database_fails);
    }
    let failed = rig.nodes[node].settles_fail.take().unwrap();
    assert!(failed < 40, "{failed} times in a minute");
    rig.pass(Duration::from_secs(6));
    assert!(rig.store.is_empty());
    assert!(!rig.nodes[node].engine.snapshot().database_fails);
}
