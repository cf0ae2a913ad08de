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
        rig.report(guest, |_| true, || Outcome::Failed(PublishError::rejected("poison")));
        rig.pass(Duration::from_millis(100));
    }
    assert!(rig.nodes[guest].engine.is_done(rig.now));
    assert_eq!(rig.store.pending_count(), 50);
}
