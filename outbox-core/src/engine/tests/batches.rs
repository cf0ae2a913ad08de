//! What is handed to the publisher at a time.

use super::*;
use crate::retry::OnDeath;
use crate::store::Admin;

/// An engine whose publisher takes no second batch before the test says so.
fn with_slow_publisher(config: EngineConfig) -> (Rig, usize) {
    let mut rig = Rig::new(4);
    let one = rig.start(config);
    rig.nodes[one].publisher_is_slow = true;
    (rig, one)
}

/// The topics of a batch's events.
fn topics(batch: &[Arc<Message>]) -> Vec<&str> {
    batch.iter().map(|message| message.topic()).collect()
}

#[test]
fn no_batch_is_larger_than_it_may_be() {
    let (mut rig, one) = with_slow_publisher(EngineConfig { batch_size: 4, concurrency: 1, ..config() });
    rig.store.commit((0..12).map(|n| event("things", &(n % 4).to_string())));
    rig.handle(one, Event::Woken);
    for _ in 0..12 {
        rig.report(one, |_| true, delivered);
        rig.handle(one, Event::BatchTaken);
    }
    let sizes: Vec<usize> = rig.nodes[one].batches.iter().map(Vec::len).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 12);
    assert!(sizes.iter().all(|size| (1..=4).contains(size)) && sizes.contains(&4), "{sizes:?}");
}

#[test]
fn a_publisher_is_called_no_more_often_at_a_time_than_it_may_be() {
    let (mut rig, one) = with_slow_publisher(EngineConfig { batch_size: 3, concurrency: 2, ..config() });
    rig.store.commit((0..30).map(|n| event("things", &n.to_string())));
    rig.handle(one, Event::Woken);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.nodes[one].batches.len(), 2);
    rig.handle(one, Event::BatchTaken);
    assert_eq!(rig.nodes[one].batches.len(), 3);
}

#[test]
fn nothing_is_handed_over_while_no_lease_is_known_to_last() {
    let (mut rig, one) = with_slow_publisher(EngineConfig { batch_size: 3, concurrency: 1, ..config() });
    rig.store.commit((0..9).map(|n| event("things", &n.to_string())));
    rig.handle(one, Event::Woken);
    rig.nodes[one].leases_hang = true;
    rig.pass(LEASE * 9 / 10);
    rig.handle(one, Event::BatchTaken);
    assert_eq!(rig.nodes[one].batches.len(), 1);
}

#[test]
fn topics_take_turns() {
    let (mut rig, one) = with_slow_publisher(EngineConfig { batch_size: 40, concurrency: 1, ..config() });
    rig.store.commit([event("first", "1")]);
    rig.handle(one, Event::Woken);
    rig.store.commit((0..40).map(|n| event(["a", "b"][n % 2], &n.to_string())));
    rig.handle(one, Event::Woken);
    rig.nodes[one].engine.config.batch_size = 4;
    for _ in 0..4 {
        rig.handle(one, Event::BatchTaken);
    }
    let batches: Vec<_> = rig.nodes[one].batches.iter().skip(1).map(|batch| topics(batch)).collect();
    assert_eq!(batches, [["a"; 4], ["b"; 4], ["a"; 4], ["b"; 4]]);
}

#[test]
fn a_death_parks_its_key_only_if_it_has_one_and_is_to() {
    for (key, then, parked) in
        [(Some("7"), OnDeath::ParkKey, 1), (Some("7"), OnDeath::Continue, 0), (None, OnDeath::ParkKey, 0)]
    {
        let mut rig = Rig::new(1);
        let retry = RetryRules::new(RetryPolicy::never().on_death(then));
        let one = rig.start(EngineConfig { retry, ..config() });
        rig.store.commit([Envelope { id: EventId::new(), ..message("things", key, 1, "{}").envelope }]);
        rig.handle(one, Event::Woken);
        rig.report(one, |_| true, rejected);
        assert_eq!(at_once(rig.store.dead_letters(None, 10)).unwrap().len(), 1);
        assert_eq!(at_once(rig.store.parked_keys(None, 10)).unwrap().len(), parked, "{key:?} {then:?}");
    }
}
