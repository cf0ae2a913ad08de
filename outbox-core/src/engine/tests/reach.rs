//! What becomes of a processor from which nothing reaches the broker.

use super::*;

/// An event that fails each time it is tried, until `until`.
fn fails_until(rig: &mut Rig, node: usize, until: Instant) {
    while rig.now < until {
        rig.report(node, |_| true, unreachable);
        rig.pass(Duration::from_millis(500));
    }
}

#[test]
fn who_alone_has_the_shards_keeps_them_and_finds_out_by_itself() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    rig.store.commit([event("things", "a")]);
    rig.handle(node, Event::Woken);
    let until = rig.now + 10 * LEASE;
    fails_until(&mut rig, node, until);
    assert_eq!((rig.nodes[node].checks, rig.shards(node)), (1, 1));
    rig.pass(Duration::from_secs(10));
    assert_eq!(rig.report(node, |_| true, delivered), 1);
}

#[test]
fn rejections_say_nothing_about_the_way_to_the_broker() {
    let mut rig = Rig::new(1);
    let retry = RetryRules::new(RetryPolicy::fixed(Duration::from_millis(100)).max_attempts(1_000));
    let node = rig.start(EngineConfig { retry, ..config() });
    let poison = |message: &Message| message.topic() == "poison";
    rig.store.commit([event("poison", "a")]);
    rig.handle(node, Event::Woken);
    for _ in 0..40 {
        rig.report(node, poison, || Outcome::Failed(PublishError::rejected("not this")));
        rig.pass(LEASE / 10);
    }
    assert_eq!(rig.nodes[node].checks, 0, "nothing is wrong with it");
    rig.store.commit([event("things", "a")]);
    rig.handle(node, Event::Woken);
    for _ in 0..12 {
        rig.report(node, |message| !poison(message), unreachable);
        rig.report(node, poison, || Outcome::Failed(PublishError::rejected("not this")));
        rig.pass(LEASE / 10);
    }
    assert_eq!(rig.nodes[node].checks, 1, "nor is it mended");
}

#[test]
fn a_broker_that_asks_for_patience_is_reached() {
    let mut rig = Rig::new(1);
    let node = rig.start(config());
    let throttled = |message: &Message| message.topic() == "throttled";
    rig.store.commit([event("throttled", "a"), event("away", "a")]);
    rig.handle(node, Event::Woken);
    for _ in 0..40 {
        rig.report(node, |message| !throttled(message), unreachable);
        rig.report(node, throttled, || Outcome::Failed(PublishError::throttled("later", Some(LEASE / 20))));
        rig.pass(LEASE / 10);
    }
    assert_eq!(rig.nodes[node].checks, 0);
}
