//! A hint may come before what it is about can be seen: one look is not enough.

use super::*;

/// Nothing is seen at the hint; it is there so much later.
fn found_after(late: Duration) -> Duration {
    let mut rig = Rig::new(1);
    let node = rig.start(hardly_polling());
    rig.pass(Duration::from_secs(1));
    rig.handle(node, Event::Woken);
    let hinted = rig.now;
    rig.pass(late);
    rig.store.commit([event("things", "a")]);
    while rig.nodes[node].with_publisher.is_empty() {
        rig.pass(Duration::from_millis(1));
        assert!(rig.now - hinted < HOUR / 2, "{late:?} after its hint, nobody looks for the event");
    }
    rig.now - hinted
}

#[test]
fn an_event_that_is_late_is_found_within_twice_as_long() {
    for late in [1, 9, 11, 30, 100, 1_000, 20_000, 300_000].map(Duration::from_millis) {
        let found = found_after(late);
        assert!(found <= 2 * late + Duration::from_millis(12), "{late:?} late, found after {found:?}");
    }
}

#[test]
fn a_scheduled_event_that_is_late_is_found_too() {
    let mut rig = Rig::new(1);
    let node = rig.start(hardly_polling());
    rig.pass(Duration::from_secs(1));
    rig.handle(node, Event::Woken);
    rig.pass(Duration::from_secs(2));
    rig.store.commit([Envelope { delay: Some(Duration::from_secs(60)), ..event("things", "a") }]);
    rig.pass(Duration::from_secs(64));
    assert_eq!(rig.nodes[node].with_publisher.len(), 1);
}

#[test]
fn looking_again_ends() {
    let mut rig = Rig::new(1);
    let node = rig.start(hardly_polling());
    rig.pass(Duration::from_secs(1));
    let reads = rig.nodes[node].reads.len();
    rig.handle(node, Event::Woken);
    rig.pass(HOUR / 2);
    let reads = rig.nodes[node].reads.len() - reads;
    assert!(reads <= 2 * 20, "{reads} reads for one hint");
}

#[test]
fn where_events_keep_coming_untold_the_next_one_waits_no_longer_than_they_are_apart() {
    for apart in [2, 10, 15, 50, 90].map(Duration::from_millis) {
        let mut rig = Rig::new(1);
        let node = rig.start(config());
        rig.pass(Duration::from_secs(1));
        let reads = rig.nodes[node].reads.len();
        for n in 0..20 {
            rig.store.commit([event("things", "a")]);
            let committed = rig.now;
            while rig.nodes[node].with_publisher.is_empty() {
                rig.pass(Duration::from_millis(1));
            }
            let waited = rig.now - committed;
            assert!(n == 0 || waited <= apart + Duration::from_millis(10), "{apart:?} apart, one waits {waited:?}");
            rig.report(node, |_| true, || Outcome::Delivered);
            rig.pass(apart.saturating_sub(waited));
        }
        let looks = rig.nodes[node].reads.len() - reads;
        assert!(looks <= 20 * 6, "{apart:?} apart, {looks} looks for 20 events");
    }
}

#[test]
fn looks_that_take_long_are_rarer() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    rig.pass(Duration::from_secs(1));
    rig.nodes[node].late_reads = Some(Vec::new());
    let began = rig.now;
    for _ in 0..40 {
        rig.store.commit([event("things", "a")]);
        while rig.nodes[node].late_reads.as_ref().is_some_and(Vec::is_empty) {
            rig.pass(Duration::from_millis(1));
        }
        // By then there is another one, which the answer does not show.
        rig.pass(Duration::from_millis(8));
        for answer in rig.nodes[node].late_reads.replace(Vec::new()).unwrap_or_default() {
            rig.handle(node, answer);
        }
        rig.report(node, |_| true, || Outcome::Delivered);
    }
    // One in 32 ms, and every 100 ms one more, after the scheduled events.
    let took = rig.now - began;
    assert!(took > Duration::from_millis(900), "{took:?} for 40 looks of 8 ms, while nothing else is to be done");
}

#[test]
fn scheduled_events_are_not_looked_for_at_every_hint() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    rig.pass(Duration::from_secs(1));
    let (promotes, reads) = (rig.nodes[node].promotes, rig.nodes[node].reads.len());
    for _ in 0..200 {
        rig.handle(node, Event::Woken);
        rig.pass(Duration::from_millis(5));
    }
    let (promotes, reads) = (rig.nodes[node].promotes - promotes, rig.nodes[node].reads.len() - reads);
    assert!(reads >= 200, "{reads} looks for 200 hints");
    assert!((9..=11).contains(&promotes), "{promotes} looks for scheduled events in a second");
}
