//! How much a read asks for.

use super::*;

#[test]
fn reads_grow_while_the_publisher_waits_for_them_and_shrink_when_there_is_nothing_left() {
    const EVENTS: usize = 30_000;
    let mut rig = Rig::new(4);
    rig.store.commit((0..EVENTS).map(|n| event("things", &format!("key-{n}"))));
    let node = rig.start(EngineConfig { batch_size: 8_000, window: 100_000, ..config() });
    let mut delivered_so_far = 0;
    while delivered_so_far < EVENTS {
        let delivered_now = rig.report(node, |_| true, delivered);
        assert!(delivered_now > 0, "{:?}", rig.nodes[node].engine.snapshot());
        delivered_so_far += delivered_now;
    }
    let sizes: Vec<u32> = rig.nodes[node].reads.iter().map(asked).collect();
    assert!(sizes[0] <= 1_000, "the first events come soon: {sizes:?}");
    assert!(sizes.iter().any(|size| *size > 4_000), "{sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 8_000), "{sizes:?}");
    // Nothing is there: each look asks for half of what the one before did, down to the beginning.
    rig.nodes[node].reads.clear();
    rig.pass(Duration::from_secs(60));
    let sizes: Vec<u32> = rig.nodes[node].reads.iter().map(asked).collect();
    assert!(sizes.windows(2).any(|sizes| sizes[0] == 2 * sizes[1]), "{sizes:?}");
    assert!(sizes.last().is_some_and(|size| *size <= 1_000), "{sizes:?}");
}

#[test]
fn reads_do_not_grow_while_what_they_brought_waits_for_the_publisher() {
    let mut rig = Rig::new(4);
    rig.store.commit((0..30_000).map(|n| event("things", &format!("key-{n}"))));
    let node = rig.start(EngineConfig { batch_size: 8_000, window: 500, ..config() });
    for _ in 0..100 {
        rig.report(node, |_| true, delivered);
        rig.pass(Duration::from_millis(20));
    }
    let sizes: Vec<u32> = rig.nodes[node].reads.iter().map(asked).collect();
    assert!(sizes.len() > 5 && sizes.iter().all(|size| *size <= 1_000), "{sizes:?}");
}

#[test]
fn a_shard_that_alone_has_events_gets_the_room_in_bytes_too() {
    const EVENTS: usize = 5_000;
    let mut rig = Rig::new(64);
    rig.store.commit((0..EVENTS).map(|_| event("things", "the only one")));
    let config = EngineConfig { batch_size: 8_000, window: 100_000, ..config() };
    let all = config.window_bytes / 4;
    let node = rig.start(config);
    let mut delivered_so_far = 0;
    while delivered_so_far < EVENTS {
        delivered_so_far += rig.report(node, |_| true, delivered);
        rig.pass(Duration::from_millis(1));
    }
    let largest = |read: &ReadRequest| read.lanes.iter().map(|lane| (lane.limit, lane.bytes)).max();
    let reads: Vec<(u32, usize)> = rig.nodes[node].reads.iter().filter_map(largest).collect();
    assert!(reads.iter().any(|(limit, bytes)| *limit > 500 && *bytes > all / 2), "{reads:?}");
    let together = |read: &ReadRequest| read.lanes.iter().map(|lane| lane.bytes).sum::<usize>();
    assert!(rig.nodes[node].reads.iter().all(|read| together(read) <= all), "more than there is room for");
}

#[test]
fn what_a_topic_has_held_up_is_read_in_as_few_reads_as_what_is_new() {
    const EVENTS: usize = 30_000;
    let reads_for = |away: bool| {
        let mut rig = Rig::new(64);
        let node = rig.start(EngineConfig { batch_size: 8_000, window: 100_000, ..config() });
        if away {
            rig.store.commit([event("things", "key")]);
            rig.handle(node, Event::Woken);
            rig.report(node, |_| true, unreachable);
        }
        rig.store.commit((1..EVENTS).map(|n| event("things", &format!("key-{n}"))));
        if away {
            for _ in 0..600 {
                rig.pass(Duration::from_millis(100));
                rig.report(node, |_| true, unreachable);
            }
        }
        let before = rig.nodes[node].reads.len();
        let (mut delivered_so_far, mut steps) = (0, 0);
        while delivered_so_far + 1 < EVENTS {
            delivered_so_far += rig.report(node, |_| true, delivered);
            rig.pass(Duration::from_millis(1));
            steps += 1;
            assert!(steps < 100_000, "{delivered_so_far}: {:?}", rig.nodes[node].engine.snapshot());
        }
        rig.nodes[node].reads.len() - before
    };
    let (new, held_up) = (reads_for(false), reads_for(true));
    assert!(held_up < 3 * new, "{held_up} reads instead of {new}");
}

#[test]
fn reads_ask_for_as_many_large_events_as_there_is_room_for_and_do_not_wait_until_all_are_gone() {
    const SIZE: usize = 20_000;
    let mut rig = Rig::new(1);
    let large = |n: usize| Envelope { payload: Some(vec![0; SIZE].into()), ..event("things", &format!("key-{n}")) };
    rig.store.commit((0..100).map(large));
    let config = EngineConfig { window: 2, window_bytes: 1 << 20, ..config() };
    let read_ahead = config.window_bytes / 4;
    let node = rig.start(config);
    let mut beside_others = 0;
    for _ in 0..100 {
        let (reads, queued) = (rig.nodes[node].reads.len(), rig.nodes[node].engine.queued().0);
        assert!(rig.report(node, |_| true, delivered) > 0);
        rig.pass(Duration::from_millis(10));
        let after = &rig.nodes[node].reads[reads..];
        // What the publisher took meanwhile is not queued any more.
        beside_others += usize::from(queued > 2 && !after.is_empty());
        assert!(after.iter().all(|read| asked(read) as usize * SIZE <= read_ahead), "{after:?}");
        if rig.store.is_empty() {
            break;
        }
    }
    assert!(rig.store.is_empty());
    assert!(beside_others > 0);
}

#[test]
fn an_event_larger_than_what_may_be_read_ahead_comes_nevertheless() {
    let mut rig = Rig::new(1);
    let large = |n: usize| Envelope { payload: Some(vec![0; 60_000].into()), ..event("things", &format!("key-{n}")) };
    rig.store.commit((0..5).map(large));
    let node = rig.start(EngineConfig { window_bytes: 100_000, ..config() });
    for _ in 0..20 {
        rig.report(node, |_| true, delivered);
        rig.pass(Duration::from_secs(1));
    }
    assert!(rig.store.is_empty());
}

#[test]
fn with_more_than_half_of_the_room_in_use_nothing_is_read() {
    let mut rig = Rig::new(1);
    let node = rig.start(EngineConfig { batch_size: 100, window: 6, ..config() });
    rig.store.commit((0..70).map(|n| event("things", &format!("key-{n}"))));
    rig.handle(node, Event::Woken);
    let queued = rig.nodes[node].engine.queued().0;
    assert!((51..100).contains(&queued), "{queued}");
    let reads = rig.nodes[node].reads.len();
    rig.store.commit([event("things", "more")]);
    rig.handle(node, Event::Woken);
    assert_eq!(rig.nodes[node].reads.len(), reads);
    while rig.nodes[node].engine.queued().0 > 50 {
        let before = rig.nodes[node].engine.queued().0;
        assert!(rig.report(node, |_| true, delivered) > 0);
        rig.pass(Duration::from_millis(10));
        // Up to six went to the publisher before it looked how many there were.
        assert!(before <= 56 || rig.nodes[node].reads.len() == reads, "{before} queued");
        if rig.nodes[node].reads.len() > reads {
            return;
        }
    }
    assert!(rig.nodes[node].reads.len() > reads);
}
