//! Shards go from one processor to another.

use super::*;
use crate::store::{Lease, LeaseRequest, Reach};

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
    assert!(!rig.nodes[one].engine.is_stopping());
    rig.handle(one, Event::Stop { deadline });
    assert!(rig.nodes[one].engine.is_stopping());
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

#[test]
fn a_lost_shard_leaves_nothing_in_the_window() {
    let mut rig = Rig::new(1);
    let one = rig.start(config());
    rig.store.commit((0..30).map(|n| event("things", &format!("key-{n}"))));
    rig.handle(one, Event::Woken);
    // Some are delivered and some rejected, of neither of which the store has said that it knows, and some are under way.
    rig.nodes[one].late_answers = Some(Vec::new());
    rig.report(one, |message| message.seq <= 10, delivered);
    rig.report(one, |message| message.seq <= 15, rejected);
    rig.pass(Duration::from_secs(1));
    rig.nodes[one].leases_hang = true;
    rig.store.advance(2 * LEASE);
    let other = rig.start(config());
    rig.nodes[one].leases_hang = false;
    rig.nodes[one].engine.handle(
        rig.now,
        Event::Leased { asked: rig.now, answer: Err(StoreError::new(StoreErrorKind::Broken, "leasing", "cut off")) },
    );
    rig.pass(LEASE);
    assert_eq!((rig.shards(one), rig.shards(other)), (0, 1));
    assert_eq!(rig.nodes[one].engine.snapshot().in_flight, 15);
    rig.report(one, |_| true, delivered);
    assert_eq!(rig.nodes[one].engine.snapshot().in_flight, 0);
}

#[test]
fn who_stops_says_so_at_once_and_is_done_as_soon_as_its_last_event_is_reported() {
    let mut rig = Rig::new(1);
    let one = rig.start(config());
    rig.store.commit([event("things", "a")]);
    rig.handle(one, Event::Woken);
    let rounds = rig.nodes[one].lease_rounds;
    rig.handle(one, Event::Stop { deadline: rig.now + 10 * LEASE });
    assert_eq!(rig.nodes[one].lease_rounds, rounds + 1);
    // Somebody else has its shard.
    rig.store.advance(2 * LEASE);
    rig.start(config());
    rig.pass(LEASE / 3);
    assert_eq!(rig.shards(one), 0);
    assert!(!rig.nodes[one].engine.is_done(rig.now));
    rig.report(one, |_| true, delivered);
    assert!(rig.nodes[one].engine.is_done(rig.now));
}

#[test]
fn who_has_too_few_looks_every_second() {
    for later in (0..5).map(Duration::from_secs) {
        let mut rig = Rig::new(8);
        let one = rig.start(config());
        rig.pass(later);
        let other = rig.start(config());
        // The first gives up its excess when it renews.
        rig.pass(LEASE / 3 - later + Duration::from_millis(1_050));
        assert_eq!((rig.shards(one), rig.shards(other)), (4, 4), "{later:?}");
    }
}

/// Somebody has all shards for a moment, and then this node has them again. Its leases must have run out.
pub(super) fn under_another_lease(rig: &Rig, n: usize) -> Event {
    let lease = |processor: Uuid, release: Vec<Lease>| {
        let (leaving, guest, most) = (!release.is_empty(), false, usize::MAX);
        let (name, state, reach, ttl) = (processor.to_string(), String::new(), Reach::Works, LEASE);
        at_once(rig.store.lease(LeaseRequest { processor, name, ttl, release, most, leaving, guest, reach, state }))
    };
    let somebody = Uuid::from_u128(99);
    let held = lease(somebody, Vec::new()).unwrap().held;
    lease(somebody, held).unwrap();
    Event::Leased { asked: rig.now, answer: lease(rig.nodes[n].engine.id, Vec::new()) }
}

#[test]
fn a_shard_that_comes_back_waits_for_all_that_is_still_with_the_publisher_of_a_key() {
    let mut rig = Rig::new(1);
    let one = rig.start(config());
    rig.store.commit((0..3).map(|_| event("things", "a")));
    rig.handle(one, Event::Woken);
    assert_eq!(rig.nodes[one].with_publisher.len(), 3);
    // It does not hear of its leases for too long, and has the shard again, under another lease.
    rig.nodes[one].leases_hang = true;
    rig.store.advance(2 * LEASE);
    rig.nodes[one].leases_hang = false;
    let again = under_another_lease(&rig, one);
    rig.handle(one, again);
    for left in [2, 1] {
        assert_eq!(rig.report(one, |message| message.seq == 3 - left, delivered), 1);
        rig.pass(Duration::from_secs(1));
        assert_eq!(rig.nodes[one].with_publisher.len(), left as usize, "nothing new");
    }
    rig.report(one, |_| true, delivered);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.report(one, |_| true, delivered), 3, "under the new lease");
}

#[test]
fn who_stops_neither_takes_in_what_it_has_asked_for_nor_asks_for_more() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    rig.store.commit([event("things", "a")]);
    rig.handle(node, Event::Woken);
    rig.nodes[node].late_reads = Some(Vec::new());
    rig.store.commit([event("things", "b")]);
    rig.handle(node, Event::Woken);
    rig.handle(node, Event::Stop { deadline: rig.now + LEASE });
    let (reads, promotes) = (rig.nodes[node].reads.len(), rig.nodes[node].promotes);
    for answer in rig.nodes[node].late_reads.take().unwrap() {
        rig.handle(node, answer);
    }
    assert_eq!(rig.nodes[node].engine.snapshot().queued, 0);
    rig.pass(LEASE / 2);
    assert_eq!((rig.nodes[node].reads.len(), rig.nodes[node].promotes), (reads, promotes));
}

#[test]
fn what_was_read_under_an_earlier_lease_is_not_taken_in() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    rig.nodes[node].late_reads = Some(Vec::new());
    rig.store.commit([event("things", "a")]);
    rig.handle(node, Event::Woken);
    rig.nodes[node].leases_hang = true;
    rig.store.advance(2 * LEASE);
    let again = under_another_lease(&rig, node);
    rig.handle(node, again);
    rig.answer_reads(node);
    assert!(rig.nodes[node].with_publisher.is_empty(), "somebody may have delivered it meanwhile");
    rig.answer_reads(node);
    assert_eq!(rig.nodes[node].with_publisher.len(), 1);
}
