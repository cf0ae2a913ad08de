//! What does not move holds up nothing else.

use std::collections::HashMap;

use super::*;
use crate::store::Admin;

fn small() -> EngineConfig {
    EngineConfig { batch_size: 100, window: 100, ..config() }
}

fn keyed(key: &str) -> impl Fn(&Message) -> bool + '_ {
    move |message| message.envelope.key.as_deref() == Some(key)
}

#[test]
fn one_slow_key_with_a_backlog_holds_up_no_other() {
    let mut rig = Rig::new(2);
    let node = rig.start(small());
    rig.store.commit((0..1_000).map(|_| event("things", "slow")));
    rig.handle(node, Event::Woken);
    rig.pass(Duration::from_secs(1));
    rig.store.commit((0..300).map(|n| event("things", &format!("key-{n}"))));
    rig.handle(node, Event::Woken);
    let mut others = 0;
    for _ in 0..60 {
        others += rig.report(node, |message| !keyed("slow")(message), delivered);
        rig.pass(Duration::from_secs(1));
    }
    assert_eq!(others, 300);
    // It comes back, as a whole and in order.
    let mut seqs = Vec::new();
    while rig.nodes[node].with_publisher.iter().any(|(_, message)| keyed("slow")(message)) {
        let sent = rig.nodes[node].with_publisher.iter().map(|(_, message)| message.seq);
        seqs.extend(sent);
        rig.report(node, keyed("slow"), delivered);
        rig.pass(Duration::from_secs(1));
    }
    assert_eq!(seqs.len(), 1_000);
    assert!(seqs.is_sorted());
    assert!(rig.store.is_empty());
}

#[test]
fn keys_of_a_dead_partition_hold_up_neither_other_topics_nor_retries() {
    let mut rig = Rig::new(2);
    let node = rig.start(small());
    let dead = |message: &Message| message.envelope.key.as_deref().is_some_and(|key| key.starts_with("dead"));
    let poison = keyed("poison");
    rig.store.commit([event("other", "poison")]);
    rig.handle(node, Event::Woken);
    rig.report(node, poison, rejected);
    rig.store.commit((0..1_000).map(|n| event("things", &format!("dead-{n}"))));
    rig.store.commit((0..20).map(|n| event("other", &format!("key-{n}"))));
    rig.handle(node, Event::Woken);
    let mut others = 0;
    for _ in 0..100 {
        // Something of the topic still moves, so that it is not taken to be silent.
        let first = rig.nodes[node].with_publisher[0].1.seq;
        rig.report(node, |message| message.seq == first, delivered);
        others += rig.report(node, |message| !dead(message), delivered);
        rig.pass(Duration::from_secs(1));
    }
    let left = rig.nodes[node].engine.snapshot();
    assert!(others >= 21, "{others} {left:?}");
    let pending = at_once(Admin::pending(&rig.store, 0, u32::MAX)).unwrap();
    assert!(pending.iter().all(|event| event.envelope.topic == "things"), "{left:?}");
    // When the partition is back, everything goes.
    while !rig.nodes[node].with_publisher.is_empty() {
        rig.report(node, |_| true, delivered);
        rig.pass(Duration::from_secs(4));
    }
    assert!(rig.store.is_empty(), "{:?}", rig.nodes[node].engine.snapshot());
}

#[test]
fn a_silent_topic_holds_up_no_other_that_comes_later() {
    let mut rig = Rig::new(1);
    let node = rig.start(small());
    rig.store.commit((0..500).map(|n| event("silent", &format!("key-{n}"))));
    rig.handle(node, Event::Woken);
    rig.pass(Duration::from_secs(1));
    rig.store.commit([event("other", "a")]);
    rig.pass(Duration::from_secs(10));
    assert_eq!(rig.report(node, |message| message.envelope.topic == "other", delivered), 1);
}

/// Few enough keys that the topic has not used up what it is trusted with, and large backlogs, one behind the other.
#[test]
fn keys_of_a_silent_topic_with_backlogs_hold_up_no_other_one_after_the_other() {
    let mut rig = Rig::new(1);
    let node = rig.start(EngineConfig { batch_size: 100, ..config() });
    for key in 0..30 {
        rig.store.commit((0..100).map(|_| event("silent", &format!("key-{key}"))));
    }
    rig.store.commit([event("other", "a")]);
    rig.handle(node, Event::Woken);
    rig.pass(Duration::from_secs(8));
    assert_eq!(rig.report(node, |message| message.envelope.topic == "other", delivered), 1);
    // When it answers, all of it goes, in the order of each key.
    let mut last = HashMap::new();
    while !rig.nodes[node].with_publisher.is_empty() {
        for (_, message) in &rig.nodes[node].with_publisher {
            let before = last.insert(message.order_key(), message.seq);
            assert!(before.is_none_or(|before| before < message.seq), "{before:?} before {}", message.seq);
        }
        rig.report(node, |_| true, delivered);
        rig.pass(Duration::from_secs(4));
    }
    assert!(rig.store.is_empty(), "{:?}", rig.nodes[node].engine.snapshot());
}

#[test]
fn what_is_held_comes_back_in_few_reads_even_if_no_more_can_be_remembered() {
    let mut rig = Rig::new(1);
    let retry = RetryRules::new(RetryPolicy::fixed(Duration::from_secs(60)));
    let node = rig.start(EngineConfig { most_held: 50, retry, ..config() });
    rig.store.commit((0..50).map(|n| event("things", &format!("key-{n}"))));
    rig.handle(node, Event::Woken);
    rig.report(node, |_| true, rejected);
    rig.pass(Duration::from_secs(55));
    assert_eq!(rig.nodes[node].engine.snapshot().held, 50);
    rig.nodes[node].reads.clear();
    rig.pass(Duration::from_secs(10));
    assert_eq!(rig.report(node, |_| true, delivered), 50);
    let reads = rig.nodes[node].reads.iter().filter(|read| read.lanes[0].revisit.is_some()).count();
    assert!(reads <= 3, "{reads} reads");
}

#[test]
fn a_large_event_does_not_wait_for_the_end_of_a_backlog_of_small_ones() {
    let mut rig = Rig::new(1);
    let node = rig.start(EngineConfig { window_bytes: 1_000_000, ..config() });
    let sized = |topic: &str, n: usize, bytes: usize| Envelope {
        payload: Some(vec![0; bytes].into()),
        ..event(topic, &format!("key-{n}"))
    };
    rig.store.commit((0..200).map(|n| sized("small", n, 9_000)));
    rig.store.commit([sized("large", 0, 100_000)]);
    rig.store.commit((200..1_000).map(|n| sized("small", n, 9_000)));
    rig.handle(node, Event::Woken);
    let large = |message: &Message| message.envelope.topic == "large";
    let mut before = 0;
    while rig.report(node, large, delivered) == 0 {
        let first = rig.nodes[node].with_publisher[0].1.seq;
        before += rig.report(node, |message| message.seq == first, delivered);
        rig.pass(Duration::from_millis(20));
    }
    assert!(before < 300, "{before} small ones first");
    while rig.report(node, |_| true, delivered) > 0 {
        rig.pass(Duration::from_millis(200));
    }
    assert!(rig.store.is_empty());
}

#[test]
fn a_topic_that_is_tried_again_and_again_is_no_reason_to_look_for_others_often() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    rig.store.commit((0..10).map(|n| event("away", &format!("key-{n}"))));
    rig.handle(node, Event::Woken);
    for second in 0..60 {
        if second == 30 {
            rig.nodes[node].reads.clear();
        }
        for _ in 0..10 {
            rig.report(node, |_| true, unreachable);
            rig.pass(Duration::from_millis(100));
        }
    }
    // One each 5 s, and one for each time that it is tried.
    let reads = rig.nodes[node].reads.len();
    assert!((6..=25).contains(&reads), "{reads} reads");
}

#[test]
fn a_rejection_does_not_say_that_a_topic_works_again() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    rig.store.commit((0..20).map(|n| event("away", &format!("key-{n}"))));
    rig.handle(node, Event::Woken);
    rig.report(node, |_| true, unreachable);
    for _ in 0..3 {
        while rig.nodes[node].with_publisher.is_empty() {
            rig.pass(Duration::from_millis(100));
        }
        assert_eq!(rig.nodes[node].with_publisher.len(), 1, "a probe");
        rig.report(node, |_| true, || Outcome::Failed(PublishError::rejected("too large for this side")));
        assert_eq!(rig.nodes[node].engine.snapshot().paused.len(), 1);
    }
    for _ in 0..20 {
        rig.pass(Duration::from_secs(1));
        rig.report(node, |_| true, delivered);
    }
    assert!(rig.store.is_empty());
}

#[test]
fn a_topic_that_fails_and_recovers_does_not_wait_for_a_key_that_hangs() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    rig.store.commit([event("things", "hangs")]);
    rig.handle(node, Event::Woken);
    rig.store.commit((0..20).map(|n| event("things", &format!("key-{n}"))));
    rig.handle(node, Event::Woken);
    let others = |message: &Message| message.key() != Some("hangs");
    assert_eq!(rig.report(node, others, unreachable), 20);
    let mut arrived = 0;
    for _ in 0..50 {
        rig.pass(Duration::from_millis(500));
        arrived += rig.report(node, others, delivered);
    }
    assert_eq!(arrived, 20, "{:?}", rig.nodes[node].engine.snapshot());
    assert_eq!(rig.report(node, |_| true, delivered), 1);
    rig.pass(Duration::from_secs(1));
    assert!(rig.store.is_empty());
}

#[test]
fn the_backlog_of_one_topic_does_not_keep_another_paused() {
    let mut rig = Rig::new(1);
    let node = rig.start(EngineConfig { batch_size: 100, window: 100, ..config() });
    rig.store.commit((0..30_000).map(|n| event("big", &format!("key-{n}"))));
    rig.store.commit([event("small", "s")]);
    rig.handle(node, Event::Woken);
    let big = |message: &Message| message.topic() == "big";
    for _ in 0..30 {
        rig.report(node, |_| true, unreachable);
        rig.pass(Duration::from_millis(500));
    }
    while rig.nodes[node].engine.snapshot().paused.iter().any(|(topic, _)| topic == "big") {
        rig.report(node, big, delivered);
        rig.report(node, |message| !big(message), unreachable);
        rig.pass(Duration::from_millis(50));
    }
    rig.report(node, |message| !big(message), unreachable);
    let (mut rounds, mut found) = (0, false);
    while !found {
        rounds += 1;
        // Its longest pause is 5 s.
        assert!(rounds < 150, "it waits for the events of another topic");
        rig.pass(Duration::from_millis(100));
        found = rig.report(node, |message| !big(message), delivered) > 0;
        rig.report(node, big, delivered);
    }
    assert!(!rig.store.is_empty());
}

#[test]
fn a_retry_does_not_wait_for_the_backlog_of_a_topic() {
    let mut rig = Rig::new(1);
    let node = rig.start(EngineConfig { batch_size: 100, window: 100, ..config() });
    rig.store.commit((0..30_000).map(|n| event("big", &format!("key-{n}"))));
    rig.handle(node, Event::Woken);
    rig.report(node, |_| true, unreachable);
    rig.store.commit([event("small", "s")]);
    rig.pass(Duration::from_secs(1));
    let small = |message: &Message| message.topic() == "small";
    let mut rounds = 0;
    while rig.report(node, small, rejected) == 0 {
        rounds += 1;
        assert!(rounds < 100);
        rig.report(node, |message| !small(message), delivered);
        rig.pass(Duration::from_millis(100));
    }
    // It is due again after a second.
    let found = (0..60).any(|_| {
        rig.report(node, |message| !small(message), delivered);
        rig.pass(Duration::from_millis(100));
        rig.report(node, small, delivered) > 0
    });
    assert!(found && !rig.store.is_empty());
}

#[test]
fn a_new_generation_where_no_more_can_be_remembered_stops_nothing() {
    let mut rig = Rig::new(1);
    let retry = RetryRules::new(RetryPolicy::fixed(Duration::from_secs(60)));
    let node = rig.start(EngineConfig { most_held: 50, retry, ..config() });
    rig.store.commit((0..200).map(|n| event("things", &format!("key-{n}"))));
    rig.handle(node, Event::Woken);
    assert_eq!(rig.report(node, |_| true, rejected), 200);
    rig.pass(Duration::from_secs(1));
    rig.store.restart();
    for _ in 0..180 {
        rig.pass(Duration::from_secs(1));
        rig.report(node, |_| true, delivered);
    }
    assert!(rig.store.is_empty(), "{:?}", rig.nodes[node].engine.snapshot());
}

#[test]
fn a_probe_whose_event_is_gone_is_not_looked_for_without_a_pause() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    let (one, other) = (event("away", "a"), event("away", "b"));
    let id = one.id;
    rig.store.commit([one, other]);
    rig.handle(node, Event::Woken);
    assert_eq!(rig.report(node, |message| message.id() == id, unreachable), 1);
    let tick = rig.nodes[node].engine.topics.next_tick().unwrap();
    rig.pass(tick - rig.now - Duration::from_nanos(1));
    assert!(at_once(rig.store.give_up(id, "never")).unwrap());
    rig.pass(Duration::from_secs(1)); // comes to rest
    rig.report(node, |_| true, delivered);
    rig.pass(Duration::from_secs(1));
    assert!(rig.store.is_empty());
}

#[test]
fn a_key_that_is_withheld_again_and_again_rests() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    rig.store.commit([event("things", "a")]);
    rig.handle(node, Event::Woken);
    for _ in 0..4 {
        assert_eq!(rig.report(node, |_| true, || Outcome::Withheld), 1);
    }
    assert!(rig.nodes[node].with_publisher.is_empty());
    rig.pass(Duration::from_millis(300));
    assert_eq!(rig.nodes[node].with_publisher.len(), 1);
}
