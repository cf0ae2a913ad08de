//! Parts of a topic work, or do not, each for itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::publisher::Partition;

/// Keys fall to parts by their hash, as long as the topic has any.
fn part(key: &str, of: u32) -> Option<u32> {
    (of > 0).then(|| u32::from(Shard::of_key(key, 1_000).number()) % of)
}

impl Rig {
    /// An engine for a topic with as many parts as `of` says; 0: nobody knows.
    fn start_with_parts(&mut self, config: EngineConfig, of: &Arc<AtomicU32>) -> usize {
        let n = self.start(config);
        let of = Arc::clone(of);
        let engine = &mut self.nodes[n].engine;
        let config = engine.config.clone();
        // As if it had been started with them: it has not seen a message yet.
        let fresh = Engine::new(self.now, engine.id, engine.name.clone(), n as u64, config);
        *engine = fresh.with_partitions(move |message| {
            let of = of.load(Ordering::SeqCst);
            Some(Partition { number: part(message.key()?, of)?, of })
        });
        self.settle_down();
        n
    }

    fn delivers(&mut self, n: usize, log: &mut Vec<Arc<Message>>, which: impl Fn(&Message) -> bool) {
        log.extend(self.nodes[n].with_publisher.iter().map(|(_, message)| Arc::clone(message)).filter(|m| which(m)));
        self.report(n, which, delivered);
    }
}

#[test]
fn a_silent_part_of_a_topic_holds_up_no_other() {
    let of = Arc::new(AtomicU32::new(3));
    let mut rig = Rig::new(2);
    let node = rig.start_with_parts(EngineConfig { batch_size: 100, window: 100, most_held: 300, ..config() }, &of);
    let keys = |silent: bool| {
        let keys = (0..).map(|n| format!("key-{n}"));
        keys.filter(move |key| (part(key, 3) == Some(0)) == silent)
    };
    rig.store.commit(keys(true).take(1_000).map(|key| event("things", &key)));
    rig.store.commit(keys(false).take(300).map(|key| event("things", &key)));
    rig.handle(node, Event::Woken);
    let silent = |message: &Message| part(message.key().unwrap(), 3) == Some(0);
    let mut others = Vec::new();
    for _ in 0..20 {
        rig.delivers(node, &mut others, |message| !silent(message));
        rig.pass(Duration::from_secs(1));
    }
    assert_eq!(others.len(), 300, "{:?}", rig.nodes[node].engine.snapshot());
    // When it answers again, the rest goes.
    let mut rest = Vec::new();
    for _ in 0..100 {
        rig.delivers(node, &mut rest, |_| true);
        rig.pass(Duration::from_secs(1));
    }
    assert_eq!(rest.len(), 1_000);
    assert!(rig.store.is_empty());
}

#[test]
fn a_part_that_fails_is_paused_alone_and_probed() {
    let of = Arc::new(AtomicU32::new(2));
    let mut rig = Rig::new(1);
    let node = rig.start_with_parts(config(), &of);
    let of_part = |number| (0..).map(|n| format!("key-{n}")).find(|key| part(key, 2) == Some(number)).unwrap();
    let (bad, good) = (of_part(0), of_part(1));
    rig.store.commit([event("things", &bad)]);
    rig.handle(node, Event::Woken);
    rig.report(node, |_| true, unreachable);
    assert_eq!(rig.nodes[node].engine.snapshot().paused[0].0, "things/0");
    rig.store.commit([event("things", &good), event("things", &bad)]);
    rig.handle(node, Event::Woken);
    let mut log = Vec::new();
    rig.delivers(node, &mut log, |_| true);
    assert_eq!(log.iter().map(|message| message.key().unwrap()).collect::<Vec<_>>(), [good.as_str()]);
    for _ in 0..10 {
        rig.pass(Duration::from_secs(1));
        rig.delivers(node, &mut log, |_| true);
    }
    assert_eq!(log.len(), 3);
    assert!(rig.nodes[node].engine.snapshot().paused.is_empty() && rig.store.is_empty());
}

#[test]
fn what_waited_while_the_parts_changed_goes_to_its_new_part() {
    let of = Arc::new(AtomicU32::new(2));
    let mut rig = Rig::new(1);
    let node = rig.start_with_parts(config(), &of);
    let moves = |key: &String| part(key, 2) == Some(0) && part(key, 3) == Some(2);
    let key = (0..).map(|n| format!("key-{n}")).find(moves).unwrap();
    rig.store.commit([event("things", &key)]);
    rig.handle(node, Event::Woken);
    of.store(3, Ordering::SeqCst);
    rig.store.commit([event("things", &key)]);
    rig.handle(node, Event::Woken);
    assert_eq!(rig.report(node, |_| true, delivered), 1);
    assert_eq!(rig.report(node, |_| true, unreachable), 1);
    assert_eq!(rig.nodes[node].engine.snapshot().paused[0].0, "things/2");
}

#[test]
fn others_are_told_what_is_paused() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    rig.store.commit([event("things", "a")]);
    rig.handle(node, Event::Woken);
    rig.report(node, |_| true, unreachable);
    rig.pass(LEASE / 3);
    let state: serde_json::Value = serde_json::from_str(&rig.nodes[node].state).unwrap();
    let expected = serde_json::json!({"reach": "works", "paused": [{"topic": "things", "cause": "away"}]});
    assert_eq!(state, expected);
}

/// Parts fail and recover, become known, become more, and are forgotten: whatever happens, the events of a key are
/// delivered in their order, and everything arrives.
#[test]
fn keys_keep_their_order_while_the_parts_of_their_topic_change() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (of, mut rig) = (Arc::new(AtomicU32::new(0)), Rig::new(2));
        let node = rig.start_with_parts(EngineConfig { window: 30, batch_size: 5, ..config() }, &of);
        let (mut log, mut staged, mut broken) = (Vec::new(), 0, Vec::new());
        for step in 0..150 {
            let healed = step >= 100;
            if random.u8(..10) == 0 && !healed {
                of.store(random.choice([0, 2, 3]).unwrap(), Ordering::SeqCst);
            }
            if random.u8(..5) == 0 || healed {
                broken = (0..3).filter(|_| random.bool() && !healed).collect();
            }
            if random.bool() && !healed {
                let keys = (0..random.usize(1..6)).map(|_| random.u8(..8)).collect::<Vec<_>>();
                staged += keys.len();
                rig.store.commit(keys.iter().map(|key| event("things", &format!("key-{key}"))));
                rig.handle(node, Event::Woken);
            }
            let now = of.load(Ordering::SeqCst);
            let fails =
                |message: &Message| part(message.key().unwrap(), now.max(1)).is_some_and(|n| broken.contains(&n));
            if random.u8(..3) > 0 || healed {
                rig.delivers(node, &mut log, |message| !fails(message));
            }
            if random.u8(..3) == 0 {
                rig.report(node, fails, unreachable);
            }
            rig.pass(Duration::from_millis(if healed { 2_000 } else { random.u64(1..1_500) }));
        }
        assert_eq!((log.len(), rig.store.is_empty()), (staged, true), "seed {seed}");
        let mut last = BTreeMap::new();
        for message in log {
            let before = last.insert(message.key().unwrap().to_owned(), message.seq);
            assert!(before < Some(message.seq), "seed {seed}: {} came after {before:?}", message.seq);
        }
    }
}

/// Events without a key go to any part, and say nothing about the parts that keys are on.
#[test]
fn events_without_a_key_hold_up_no_key() {
    let of = Arc::new(AtomicU32::new(2));
    let mut rig = Rig::new(1);
    let node = rig.start_with_parts(config(), &of);
    // The first that is seen of the topic.
    rig.store.commit([Envelope { key: None, ..event("things", "none") }]);
    rig.handle(node, Event::Woken);
    rig.report(node, |_| true, unreachable);
    rig.store.commit([event("things", "a"), event("things", "b")]);
    rig.handle(node, Event::Woken);
    let with_key = |(_, message): &&(u64, Arc<Message>)| message.key().is_some();
    assert_eq!(rig.nodes[node].with_publisher.iter().filter(with_key).count(), 2);
}

/// As when a broker dies that leads many partitions.
#[test]
fn many_silent_parts_leave_room_for_the_others() {
    const PARTS: u32 = 12;
    let of = Arc::new(AtomicU32::new(PARTS));
    let mut rig = Rig::new(2);
    let node = rig.start_with_parts(EngineConfig { batch_size: 50, window: 320, ..config() }, &of);
    let keys = |number: u32| (0..).map(|n| format!("key-{n}")).filter(move |key| part(key, PARTS) == Some(number));
    let answers = |message: &Message| part(message.key().unwrap(), PARTS) >= Some(PARTS - 2);
    for number in 0..PARTS {
        rig.store.commit(keys(number).take(100).map(|key| event("things", &key)));
    }
    rig.handle(node, Event::Woken);
    let mut log = Vec::new();
    for _ in 0..100 {
        rig.delivers(node, &mut log, answers);
        rig.pass(Duration::from_millis(500));
    }
    assert_eq!(log.len(), 200, "{:?}", rig.nodes[node].engine.snapshot());
    for _ in 0..100 {
        rig.delivers(node, &mut log, |_| true);
        rig.pass(Duration::from_millis(500));
    }
    assert_eq!(log.len(), 1_200);
}
