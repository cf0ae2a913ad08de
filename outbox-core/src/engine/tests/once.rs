//! Runs that end by themselves, beside others.

use super::*;

fn once() -> EngineConfig {
    EngineConfig { once: Some(usize::MAX), ..config() }
}

#[test]
fn a_run_without_any_shard_ends_and_takes_none_from_others() {
    let mut rig = Rig::new(8);
    let one = rig.start(config());
    rig.store.commit((0..100).map(|n| event("things", &format!("key-{n}"))));
    rig.handle(one, Event::Woken);
    let guest = rig.start(once());
    rig.pass(Duration::from_secs(20));
    assert!(rig.nodes[guest].engine.is_done(rig.now));
    assert_eq!(rig.nodes[guest].with_publisher.len(), 0);
    assert_eq!(rig.shards(one), 8);
    assert!(rig.nodes[one].engine.lanes.values().all(|lane| !lane.draining));
}

#[test]
fn a_run_that_may_remember_no_more_does_not_wait_for_retries() {
    let mut rig = Rig::new(1);
    let retry = RetryRules::new(RetryPolicy::fixed(Duration::from_secs(3600)));
    rig.store.commit((0..50).map(|n| event("things", &format!("key-{n}"))));
    let guest = rig.start(EngineConfig { most_held: 10, batch_size: 10, window: 10, retry, ..once() });
    for _ in 0..100 {
        rig.report(guest, |_| true, rejected);
        rig.pass(Duration::from_millis(100));
    }
    assert!(rig.nodes[guest].engine.is_done(rig.now));
    assert_eq!(rig.store.pending_count(), 50);
}

#[test]
fn a_run_does_not_leave_what_it_gave_back_for_want_of_room() {
    let mut rig = Rig::new(1);
    rig.store.commit((0..150).map(|n| event("things", &format!("key-{n}"))));
    let guest = rig.start(EngineConfig { batch_size: 100, window: 100, ..once() });
    for _ in 0..4 {
        // Slow, and not silent.
        rig.pass(Duration::from_secs(1));
        let first = rig.nodes[guest].with_publisher[0].1.seq;
        rig.report(guest, |message| message.seq == first, delivered);
    }
    for _ in 0..200 {
        rig.report(guest, |_| true, delivered);
        rig.pass(Duration::from_millis(100));
    }
    assert!(rig.nodes[guest].engine.is_done(rig.now));
    assert_eq!(rig.store.pending_count(), 0);
}

/// Each time that scheduled events are looked for, everything must be read again, which takes longer here than it is
/// until the next time.
#[test]
fn a_run_does_not_wait_for_a_topic_that_does_not_work_where_reads_are_slow() {
    let mut rig = Rig::new(1);
    rig.store.commit((0..10).map(|n| event("things", &format!("key-{n}"))));
    let pause = (Duration::from_millis(100), Duration::from_millis(400));
    let guest = rig.start(EngineConfig { pause, ..once() });
    rig.nodes[guest].late_reads = Some(Vec::new());
    let mut answers = Vec::new();
    for _ in 0..100 {
        rig.pass(Duration::from_millis(120));
        rig.report(guest, |_| true, unreachable);
        let late = std::mem::take(rig.nodes[guest].late_reads.as_mut().unwrap());
        for answer in std::mem::replace(&mut answers, late) {
            rig.handle(guest, answer);
        }
    }
    assert!(rig.nodes[guest].engine.is_done(rig.now));
    assert_eq!(rig.store.pending_count(), 10);
}

/// One event is found to try the topic with, and waits for what is still under way, which fails.
#[test]
fn a_run_does_not_wait_for_the_event_that_was_to_try_a_topic() {
    let mut rig = Rig::new(2);
    let in_shard = |shard| event("things", &key_of(shard, 2));
    rig.store.commit([in_shard(0), in_shard(1)]);
    let guest = rig.start(once());
    let of_shard = |shard: u16| move |message: &Message| message.shard == Shard::new(shard);
    assert_eq!(rig.report(guest, of_shard(1), unreachable), 1);
    rig.pass(Duration::from_millis(500));
    assert_eq!(rig.nodes[guest].engine.snapshot().queued, 1, "it is found, and waits");
    assert_eq!(rig.report(guest, of_shard(0), unreachable), 1);
    for _ in 0..100 {
        rig.pass(Duration::from_millis(100));
        rig.report(guest, |_| true, unreachable);
    }
    assert!(rig.nodes[guest].engine.is_done(rig.now), "{:?}", rig.nodes[guest].engine.snapshot());
    assert_eq!(rig.store.pending_count(), 2);
}

#[test]
fn a_run_moves_all_scheduled_events_that_are_due() {
    let mut rig = Rig::new(4);
    let delay = Some(Duration::from_secs(1));
    rig.store.commit((0..350).map(|n| Envelope { delay, ..event("things", &format!("key-{n}")) }));
    rig.store.advance(Duration::from_secs(2));
    let guest = rig.start(once());
    for _ in 0..100 {
        rig.report(guest, |_| true, delivered);
        rig.pass(Duration::from_millis(100));
    }
    assert!(rig.nodes[guest].engine.is_done(rig.now) && rig.store.is_empty());
}

#[test]
fn a_run_that_has_had_what_it_may_reads_no_more() {
    let mut rig = Rig::new(1);
    rig.store.commit((0..100).map(|n| event("things", &format!("key-{n}"))));
    let guest = rig.start(EngineConfig { once: Some(10), ..once() });
    assert_eq!(rig.nodes[guest].with_publisher.len(), 10);
    let reads = rig.nodes[guest].reads.len();
    rig.pass(Duration::from_secs(10));
    assert_eq!(rig.nodes[guest].reads.len(), reads);
    rig.report(guest, |_| true, delivered);
    rig.pass(Duration::from_secs(1));
    assert!(rig.nodes[guest].engine.is_done(rig.now));
    assert_eq!(rig.store.pending_count(), 90);
}
