//! Keys that are parked, with a backlog.

use super::*;
use crate::retry::OnDeath;
use crate::store::Admin;

/// A rig with two shards whose first has a parked key with a backlog, whose outcomes are settled when the test says so;
/// and a key of the other shard.
fn parked() -> (Rig, usize, String) {
    let mut rig = Rig::new(2);
    let (bad, good) = (key_of(0, 2), key_of(1, 2));
    let retry = RetryRules::new(RetryPolicy::never().on_death(OnDeath::ParkKey));
    let node = rig.start(EngineConfig { retry, ..config() });
    rig.store.commit([event("things", &bad)]);
    rig.handle(node, Event::Woken);
    rig.report(node, |_| true, || Outcome::Failed(PublishError::rejected("no")));
    rig.pass(Duration::from_secs(1));
    rig.nodes[node].late_answers = Some(Vec::new());
    rig.store.commit((0..50_000).map(|_| event("things", &bad)));
    rig.handle(node, Event::Woken);
    rig.pass(Duration::from_secs(2));
    (rig, node, good)
}

#[test]
fn a_backlog_is_read_no_faster_than_it_is_settled() {
    let (mut rig, node, _) = parked();
    assert!(rig.nodes[node].engine.unwritten() <= 10_000, "{} outcomes", rig.nodes[node].engine.unwritten());
    for _ in 0..50 {
        rig.answer_settles(node);
        rig.pass(Duration::from_millis(100));
    }
    assert!(rig.store.is_empty());
}

#[test]
fn outcomes_of_others_do_not_wait_behind_a_backlog() {
    let (mut rig, node, good) = parked();
    let last = event("things", &good);
    let id = last.id;
    rig.store.commit([last]);
    let mut settles = 0;
    while at_once(rig.store.pending(0, u32::MAX)).unwrap().iter().any(|pending| pending.envelope.id == id) {
        settles += 1;
        assert!(settles < 6, "its outcome waits for the others");
        rig.answer_settles(node);
        rig.pass(Duration::from_millis(100));
        rig.report(node, |message| message.id() == id, delivered);
    }
}
