//! What is kept in memory, and what goes back to the table.

use super::*;
use crate::engine::key::Key;

#[test]
fn what_waits_in_memory_leaves_less_room_for_the_next_read() {
    assert!(asked_beside(100_000));
    assert!(!asked_beside(150_000), "less than half of the room is left");
}

/// Whether a read asks for more while an event of this size is queued; if it does, for no more than there is room for.
fn asked_beside(size: usize) -> bool {
    let mut rig = Rig::new(1);
    // One is large; most are small and soon gone, so that there still seems to be room for many.
    let large = Envelope { payload: Some(vec![0; size].into()), ..event("things", "large") };
    rig.store.commit((0..30).map(|n| event("things", &format!("key-{n}"))).chain([large]));
    let config = EngineConfig { window: 1, window_bytes: 1 << 20, batch_size: 1_000, ..config() };
    let read_ahead = config.window_bytes / 4;
    let node = rig.start(config);
    for _ in 0..25 {
        assert_eq!(rig.report(node, |_| true, delivered), 1);
        rig.pass(Duration::from_millis(10));
    }
    let (_, queued) = rig.nodes[node].engine.queued();
    assert!(queued > size, "{queued}");
    rig.nodes[node].late_reads = Some(Vec::new());
    rig.store.commit([event("things", "next")]);
    let reads = rig.nodes[node].reads.len();
    rig.handle(node, Event::Woken);
    let asked: Vec<usize> = rig.nodes[node].reads[reads..].iter().map(|read| read.lanes[0].bytes).collect();
    let left = read_ahead - queued;
    assert!(asked.iter().all(|bytes| (1..=left).contains(bytes)), "{asked:?} of {left}");
    !asked.is_empty()
}

#[test]
fn what_was_passed_over_is_not_read_again_while_an_earlier_writer_is_at_work() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    let writer = rig.store.begin([event("things", "late")]);
    rig.store.commit((0..5).map(|n| event("away", &format!("key-{n}"))));
    rig.handle(node, Event::Woken);
    rig.report(node, |_| true, unreachable);
    rig.store.commit((5..10).map(|n| event("away", &format!("key-{n}"))));
    rig.handle(node, Event::Woken);
    rig.handle(node, Event::Woken);
    assert_eq!(rig.nodes[node].reads.last().unwrap().lanes[0].known, (2..=11).collect::<Vec<_>>());
    writer.commit();
    rig.handle(node, Event::Woken);
    assert_eq!(rig.report(node, |_| true, delivered), 1);
    rig.handle(node, Event::Woken);
    assert!(rig.nodes[node].reads.last().unwrap().lanes[0].known.is_empty());
}

#[test]
fn what_is_decided_and_held_for_its_topic_costs_no_memory() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    rig.store.commit((0..10).map(|n| event("away", &format!("key-{n}"))));
    rig.handle(node, Event::Woken);
    assert_eq!(rig.report(node, |_| true, unreachable), 10);
    assert_eq!(rig.nodes[node].engine.snapshot().held, 0);
}

/// Searches for events that were passed over, in the reads that a node made since they were counted last.
fn searches(rig: &mut Rig, node: usize) -> usize {
    rig.nodes[node].reads.drain(..).filter(|read| read.lanes.iter().any(|lane| lane.revisit.is_some())).count()
}

#[test]
fn what_found_no_room_rests_before_it_is_looked_for_again() {
    let mut rig = Rig::new(1);
    let node = rig.start(EngineConfig { batch_size: 100, window: 100, ..config() });
    rig.store.commit((0..300).map(|n| event("things", &format!("key-{n}"))));
    rig.handle(node, Event::Woken);
    let slow = rig.nodes[node].with_publisher[0].1.seq;
    // Something of the topic still moves, so that it is not taken to be silent.
    let step = |rig: &mut Rig| {
        let next = rig.nodes[node].with_publisher.iter().map(|(_, message)| message.seq).find(|seq| *seq != slow);
        rig.report(node, |message| Some(message.seq) == next, delivered);
        rig.pass(Duration::from_millis(500));
    };
    while rig.nodes[node].engine.snapshot().held == 0 {
        step(&mut rig);
    }
    (0..5).for_each(|_| step(&mut rig));
    assert_eq!(searches(&mut rig, node), 0);
    (0..4).for_each(|_| step(&mut rig));
    assert!(searches(&mut rig, node) > 0);
}

#[test]
fn what_was_delivered_is_not_looked_for_again() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    for _ in 0..3 {
        rig.store.commit((0..10).map(|n| event("things", &format!("key-{n}"))));
        rig.handle(node, Event::Woken);
        assert_eq!(rig.report(node, |_| true, delivered), 10);
        rig.pass(Duration::from_secs(1));
    }
    assert_eq!(searches(&mut rig, node), 0);
}

#[test]
fn while_there_is_room_nothing_goes_back_to_the_table() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    rig.store.commit([event("things", "hangs")]);
    rig.handle(node, Event::Woken);
    rig.store.commit([event("things", "hangs")]);
    rig.handle(node, Event::Woken);
    rig.pass(Duration::from_secs(30));
    assert_eq!((rig.nodes[node].engine.queued().0, rig.nodes[node].engine.snapshot().held), (1, 0));
}

#[test]
fn what_waits_for_months_is_not_looked_for_before_and_what_waits_for_ever_does_no_harm() {
    const DAY: Duration = Duration::from_secs(86_400);
    for wait in [100 * DAY, Duration::MAX] {
        let mut rig = Rig::new(1);
        let retry = RetryRules::new(RetryPolicy::custom(move |_, _| Some(wait)));
        let node = rig.start(EngineConfig { retry, ..hardly_polling() });
        rig.store.commit([event("things", "a")]);
        rig.handle(node, Event::Woken);
        assert_eq!(rig.report(node, |_| true, rejected), 1);
        rig.pass(99 * DAY);
        assert_eq!(searches(&mut rig, node), 0);
        rig.pass(2 * DAY);
        assert_eq!(rig.nodes[node].with_publisher.len(), usize::from(wait == 100 * DAY));
    }
}

#[test]
fn where_no_more_can_be_remembered_nothing_new_is_read_until_something_can_be_forgotten() {
    let mut rig = Rig::new(1);
    let node = rig.start(EngineConfig { most_held: 10, ..hardly_polling() });
    rig.pass(HOUR / 2);
    let writer = rig.store.begin([event("things", "late")]);
    rig.store.commit((0..10).map(|n| event("away", &format!("key-{n}"))));
    rig.handle(node, Event::Woken);
    rig.report(node, |_| true, || Outcome::Failed(PublishError::throttled("later", Some(HOUR))));
    assert_eq!(rig.nodes[node].engine.snapshot().held, 10);
    rig.store.commit((10..30).map(|n| event("away", &format!("key-{n}"))));
    for _ in 0..20 {
        rig.handle(node, Event::Woken);
    }
    assert_eq!(rig.nodes[node].engine.snapshot().held, 10);
    assert!(rig.nodes[node].reads.iter().rev().take(20).all(|read| read.lanes[0].limit == 0));
    writer.commit();
    rig.handle(node, Event::Woken);
    assert_eq!(rig.report(node, |_| true, delivered), 1);
    rig.handle(node, Event::Woken);
    assert_eq!(rig.nodes[node].engine.snapshot().held, 0, "all are at or below what is decided");
}

#[test]
fn what_is_looked_for_is_read_once() {
    let mut rig = Rig::new(1);
    let node = rig.start(EngineConfig { batch_size: 20, ..config() });
    rig.store.commit((0..100).map(|n| event("things", &format!("key-{n}"))));
    rig.handle(node, Event::Woken);
    rig.report(node, |_| true, unreachable);
    // One event shows that the topic works again.
    rig.pass(Duration::from_secs(1));
    rig.nodes[node].reads.clear();
    assert_eq!(rig.report(node, |_| true, delivered), 1);
    for _ in 0..100 {
        rig.report(node, |_| true, delivered);
        rig.pass(Duration::from_millis(100));
    }
    assert!(rig.store.is_empty());
    let parts: Vec<_> = rig.nodes[node].reads.iter().filter_map(|read| read.lanes[0].revisit.as_ref()).collect();
    assert!(parts.len() > 4, "{parts:?}");
    for pair in parts.windows(2) {
        assert_eq!(pair[1].from, pair[0].from + i64::from(pair[0].limit), "{parts:?}");
    }
}

#[test]
fn what_is_due_of_a_topic_that_does_not_work_stays_in_the_table() {
    let mut rig = Rig::new(2);
    let node = rig.start(config());
    let poison = |message: &Message| message.shard.number() == 0;
    // It is another shard that finds out, and has events for it.
    rig.store.commit([event("things", &key_of(0, 2)), event("things", &key_of(1, 2))]);
    rig.handle(node, Event::Woken);
    assert_eq!(rig.report(node, poison, rejected), 1);
    rig.report(node, |_| true, || Outcome::Failed(PublishError::throttled("later", Some(HOUR))));
    rig.pass(Duration::from_secs(10));
    assert_eq!(rig.nodes[node].engine.snapshot().queued, 0);
    rig.pass(HOUR);
    for _ in 0..10 {
        rig.report(node, |_| true, delivered);
        rig.pass(Duration::from_secs(1));
    }
    assert!(rig.store.is_empty());
}

#[test]
fn what_comes_behind_a_slow_event_waits_in_the_table() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    rig.store.commit([event("things", "slow")]);
    rig.handle(node, Event::Woken);
    // Its topic is not silent.
    for n in 0..8 {
        rig.store.commit([event("things", &format!("key-{n}"))]);
        rig.handle(node, Event::Woken);
        rig.report(node, |message| message.key() != Some("slow"), delivered);
        rig.pass(Duration::from_millis(500));
    }
    rig.store.commit([event("things", "slow")]);
    rig.handle(node, Event::Woken);
    let snapshot = rig.nodes[node].engine.snapshot();
    assert_eq!((snapshot.queued, snapshot.held), (0, 1));
    rig.report(node, |_| true, delivered);
    assert_eq!(rig.report(node, |_| true, delivered), 1);
}

#[test]
fn what_comes_behind_an_event_does_not_make_it_wait_longer() {
    let mut rig = Rig::new(1);
    let node = rig.start(EngineConfig { batch_size: 100, window: 1, ..config() });
    rig.store.commit([event("others", "takes all the room")]);
    rig.handle(node, Event::Woken);
    let first = event("things", "waits");
    let key = Key::of(&first, 2);
    rig.store.commit([first]);
    rig.handle(node, Event::Woken);
    rig.pass(Duration::from_millis(2_900));
    rig.store.commit([event("things", "waits")]);
    rig.handle(node, Event::Woken);
    let is_queued = |rig: &Rig| rig.nodes[node].engine.lanes.values().any(|lane| lane.is_ready(&key));
    rig.pass(Duration::from_millis(200));
    assert!(is_queued(&rig), "there is room");
    for n in 0..2 {
        rig.store.commit((0..80).map(|_| event("things", &n.to_string())));
        rig.handle(node, Event::Woken);
    }
    assert!(!is_queued(&rig), "it has waited for long, and others want its place");
}
