//! Shards go from one processor to another.

use super::*;
use crate::shard::Shard;

#[test]
fn a_shard_with_an_event_that_is_never_reported_is_handed_over_in_time() {
    let mut rig = Rig::new(8);
    let one = rig.start(config());
    rig.store.commit((0..100).map(|n| event("things", &format!("key-{n}"))));
    rig.handle(one, Event::Woken);
    assert_eq!(rig.nodes[one].with_publisher.len(), 100);
    let other = rig.start(config());
    rig.pass(Duration::from_secs(15));
    assert_eq!(rig.shards(other), 0, "there is still time");
    rig.pass(Duration::from_secs(15));
    assert_eq!((rig.shards(one), rig.shards(other)), (4, 4));
    // What comes back late is no business of the first any more.
    let again = rig.report(other, |_| true, delivered);
    assert!((20..80).contains(&again), "{again}");
    rig.report(one, |_| true, delivered);
    rig.pass(Duration::from_secs(1));
    assert!(rig.store.is_empty());
    assert_eq!(rig.nodes[one].engine.snapshot().in_flight, 0);
}

#[test]
fn shards_without_events_under_way_go_first() {
    for seed in 0..10 {
        let mut rig = Rig::new(8);
        let one = rig.start(config());
        rig.nodes[one].engine.random = fastrand::Rng::with_seed(seed);
        rig.store.commit([event("things", "a")]);
        rig.handle(one, Event::Woken);
        let busy = rig.nodes[one].with_publisher[0].1.shard;
        let other = rig.start(config());
        rig.pass(Duration::from_secs(7));
        assert_eq!((rig.shards(one), rig.shards(other)), (4, 4));
        assert!(rig.nodes[one].engine.lanes.contains_key(&busy));
    }
}

#[test]
fn the_shards_of_one_that_stops_are_taken_although_one_of_them_drains() {
    let mut rig = Rig::new(8);
    let (one, other) = (rig.start(config()), rig.start(config()));
    rig.pass(Duration::from_secs(20));
    assert_eq!((rig.shards(one), rig.shards(other)), (4, 4));
    rig.store.commit((0..100).map(|n| event("things", &format!("key-{n}"))));
    rig.handle(one, Event::Woken);
    let busy = rig.nodes[one].with_publisher[0].1.shard;
    rig.report(one, |message| message.shard != busy, delivered);
    let deadline = rig.now + Duration::from_secs(20);
    rig.handle(one, Event::Stop { deadline });
    rig.pass(Duration::from_secs(7));
    assert_eq!((rig.shards(one), rig.shards(other)), (1, 7));
    rig.report(one, |_| true, delivered);
    assert!(rig.nodes[one].engine.is_done(rig.now));
    rig.pass(Duration::from_secs(7));
    assert_eq!(rig.shards(other), 8);
}

#[test]
fn who_has_its_share_looks_for_no_more() {
    let mut rig = Rig::new(2);
    let all: Vec<usize> = (0..3).map(|_| rig.start(config())).collect();
    rig.pass(Duration::from_secs(30));
    assert_eq!(all.iter().map(|n| rig.shards(*n)).collect::<Vec<_>>(), [1, 1, 0]);
    rig.nodes.iter_mut().for_each(|node| node.lease_rounds = 0);
    rig.pass(Duration::from_secs(60));
    for node in &rig.nodes {
        assert!(node.lease_rounds <= 12, "{} rounds in a minute", node.lease_rounds);
    }
}

/// Answers to reads come at once: a processor that asked again at once would not come to rest.
#[test]
fn who_has_lost_a_shard_and_has_not_heard_of_it_does_not_read_it_again_and_again() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    rig.nodes[node].late_reads = Some(Vec::new());
    rig.store.commit((0..500).map(|n| event("things", &format!("key-{n}"))));
    rig.handle(node, Event::Woken);
    // It was suspended with its clock, and somebody else has its shard, of which there was more to read.
    rig.nodes[node].leases_hang = true;
    rig.store.advance(2 * LEASE);
    let other = rig.start(config());
    assert_eq!((rig.shards(node), rig.shards(other)), (1, 1));
    let before = rig.nodes[node].reads.len();
    for answer in rig.nodes[node].late_reads.take().unwrap() {
        rig.handle(node, answer);
    }
    assert_eq!(rig.nodes[node].reads.len() - before, 1, "to learn that it is not its own any more");
    // But again and again with everything, in case that was a mistake.
    rig.pass(LEASE / 3);
    assert!(rig.nodes[node].reads.len() - before > 1);
}

#[test]
fn a_shard_that_comes_back_waits_only_for_the_keys_that_are_still_with_the_publisher() {
    let mut rig = Rig::new(8);
    let one = rig.start(config());
    rig.store.commit((0..100).map(|n| event("things", &format!("key-{n}"))));
    rig.handle(one, Event::Woken);
    let other = rig.start(config());
    rig.pass(Duration::from_secs(30));
    assert_eq!((rig.shards(one), rig.shards(other)), (4, 4));
    let slow = rig.nodes[other].with_publisher[0].1.key().unwrap().to_owned();
    rig.report(other, |_| true, delivered);
    let deadline = rig.now + Duration::from_secs(20);
    rig.handle(other, Event::Stop { deadline });
    rig.pass(Duration::from_secs(10));
    assert_eq!(rig.shards(one), 8);

    let beside = |new: &String| Shard::of_key(new, 8) == Shard::of_key(&slow, 8);
    let new = (0..).map(|n| format!("new-{n}")).find(beside).unwrap();
    rig.store.commit([event("things", &slow), event("things", &new)]);
    rig.handle(one, Event::Woken);
    rig.pass(Duration::from_secs(1));
    let sent = |rig: &Rig, key: &str| -> Vec<i64> {
        let of_key = rig.nodes[one].with_publisher.iter().filter(|(_, message)| message.key() == Some(key));
        of_key.map(|(_, message)| message.seq).collect()
    };
    assert_eq!(sent(&rig, &new), [102]);
    assert_eq!(sent(&rig, &slow).len(), 1, "what is still with the publisher, and nothing behind it");
    rig.report(one, |message| message.key() == Some(&slow), delivered);
    rig.pass(Duration::from_secs(1));
    assert_eq!(sent(&rig, &slow), [101]);
}

#[test]
fn the_shards_of_one_that_died_are_taken_as_soon_as_its_leases_end() {
    for later in (0..5_000).step_by(500).map(Duration::from_millis) {
        let mut rig = Rig::new(8);
        let one = rig.start(config());
        rig.pass(later);
        let other = rig.start(config());
        rig.pass(Duration::from_secs(20));
        assert_eq!((rig.shards(one), rig.shards(other)), (4, 4));
        rig.nodes[other].leases_hang = true;
        rig.pass(LEASE + Duration::from_millis(100));
        assert_eq!(rig.shards(one), 8, "{later:?}");
    }
}
