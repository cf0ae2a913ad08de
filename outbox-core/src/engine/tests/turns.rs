//! What a search finds before it was read in its turn.

use super::*;

/// Two events of a key are committed late, before and behind an event that was held for its topic and is looked for
/// now; with them, `others` of other keys that come before both.
fn committed_late(others: usize, garbled: bool) -> (Rig, usize, [EventId; 2]) {
    let mut rig = Rig::new(1);
    let one = rig.start(config());
    let others = rig.store.begin((0..others).map(|n| event("others", &n.to_string())));
    let events = [event("things", "late"), event("things", "late")];
    let ids = events.each_ref().map(|event| event.id);
    let [first, second] = events;
    rig.garbled.extend(garbled.then_some(first.id));
    let first = rig.store.begin([first]);
    rig.store.commit([event("things", "early")]);
    let second = rig.store.begin([second]);
    rig.store.commit([event("others", "front")]);
    rig.handle(one, Event::Woken);
    let early = |message: &Message| message.key() == Some("early");
    assert_eq!(rig.report(one, early, unreachable), 1);
    // It is to try the topic.
    rig.pass(Duration::from_secs(1));
    others.commit();
    first.commit();
    second.commit();
    assert_eq!(rig.report(one, early, delivered), 1);
    (rig, one, ids)
}

fn late(rig: &Rig, n: usize) -> Vec<EventId> {
    let messages = rig.nodes[n].with_publisher.iter().map(|(_, message)| message);
    messages.filter(|message| message.key() == Some("late")).map(|message| message.id()).collect()
}

#[test]
fn the_second_does_not_pass_a_first_that_no_read_has_come_to() {
    let (mut rig, one, ids) = committed_late(200, false);
    let mut sent = late(&rig, one);
    for _ in 0..10 {
        rig.report(one, |_| true, delivered);
        rig.pass(Duration::from_millis(100));
        sent.extend(late(&rig, one));
    }
    assert_eq!(sent, ids);
}

#[test]
fn the_second_does_not_pass_a_first_that_cannot_be_read() {
    let (rig, one, _) = committed_late(0, true);
    assert_eq!(late(&rig, one), [], "its key may have to be parked");
}
