//! Rows that cannot be understood.

use super::*;
use crate::retry::OnDeath;
use crate::store::DeadState;

fn parking() -> EngineConfig {
    let policy = RetryPolicy::fixed(Duration::from_secs(1)).on_death(OnDeath::ParkKey);
    EngineConfig { retry: RetryRules::new(policy), batch_size: 4, ..config() }
}

/// So many events of a key, of which one cannot be understood, and one of another.
fn stage(rig: &mut Rig, count: usize, garbled: usize) -> Vec<EventId> {
    let events: Vec<_> = (0..count).map(|_| event("things", "bad")).collect();
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    rig.garbled.insert(ids[garbled]);
    rig.store.commit(events);
    rig.store.commit([event("things", "good")]);
    ids
}

fn letters(rig: &Rig) -> Vec<(EventId, DeadState)> {
    let mut letters: Vec<_> = rig.store.dead().iter().map(|letter| (letter.envelope.id, letter.state)).collect();
    letters.sort_by_key(|(id, _)| *id.as_uuid());
    letters
}

#[test]
fn one_is_dead_when_its_turn_comes_and_not_before() {
    let mut rig = Rig::new(1);
    let node = rig.start(parking());
    let ids = stage(&mut rig, 3, 1);
    rig.handle(node, Event::Woken);
    rig.pass(Duration::from_secs(10));
    assert_eq!(letters(&rig), [], "the first of its key is still with the publisher");
    let sent: Vec<_> = rig.nodes[node].with_publisher.iter().map(|(_, message)| message.id()).collect();
    assert!(sent.contains(&ids[0]) && !sent.contains(&ids[1]) && !sent.contains(&ids[2]));
    rig.report(node, |_| true, delivered);
    rig.pass(Duration::from_secs(10));
    assert_eq!(letters(&rig), [(ids[1], DeadState::Dead), (ids[2], DeadState::Parked)]);
    assert!(rig.store.is_empty() && rig.nodes[node].with_publisher.is_empty());
}

#[test]
fn one_waits_while_what_is_before_it_waits() {
    let mut rig = Rig::new(1);
    let node = rig.start(parking());
    let ids = stage(&mut rig, 3, 2);
    rig.handle(node, Event::Woken);
    for outcome in [unreachable, rejected] {
        let reported = (0..100).any(|_| {
            rig.pass(Duration::from_millis(100));
            rig.report(node, |message| message.key() == Some("good"), delivered);
            rig.report(node, |message| message.key() == Some("bad"), outcome) > 0
        });
        assert!(reported, "nothing of the key comes to the publisher");
        // The topic is paused, and after that the key waits for a retry.
        rig.pass(Duration::from_millis(50));
        assert_eq!(letters(&rig), []);
    }
    let mut log = Vec::new();
    for _ in 0..100 {
        log.extend(rig.nodes[node].with_publisher.iter().map(|(_, message)| message.id()));
        rig.report(node, |_| true, delivered);
        rig.pass(Duration::from_millis(100));
    }
    log.retain(|id| ids.contains(id));
    assert_eq!(log, ids[..2]);
    assert_eq!(letters(&rig), [(ids[2], DeadState::Dead)]);
    assert!(rig.store.is_empty());
}

#[test]
fn without_parking_its_key_goes_on_in_order() {
    let (mut rig, mut log) = (Rig::new(1), Vec::new());
    let node = rig.start(EngineConfig { batch_size: 4, ..config() });
    let ids = stage(&mut rig, 40, 20);
    rig.handle(node, Event::Woken);
    for _ in 0..100 {
        log.extend(rig.nodes[node].with_publisher.iter().map(|(_, message)| message.id()));
        rig.report(node, |_| true, delivered);
        rig.pass(Duration::from_millis(100));
    }
    log.retain(|id| ids.contains(id));
    let others: Vec<_> = ids.iter().copied().filter(|id| *id != ids[20]).collect();
    assert_eq!(log, others);
    assert_eq!(letters(&rig), [(ids[20], DeadState::Dead)]);
}
