//! What a search finds before it was read in its turn.

use super::*;

#[test]
fn what_was_committed_late_around_a_search_comes_in_order() {
    let mut rig = Rig::new(1);
    let one = rig.start(config());
    let events = [event("things", "late"), event("things", "late")];
    let [first, second] = events;
    // It must be dead before anything of its key goes on.
    rig.garbled.insert(first.id);
    let first = rig.store.begin([first]);
    rig.store.commit([event("things", "early")]);
    let second = rig.store.begin([second]);
    rig.store.commit([event("others", "front")]);
    rig.handle(one, Event::Woken);
    assert_eq!(rig.report(one, |message| message.envelope.topic == "things", unreachable), 1);
    // The one that is to try the topic.
    rig.pass(Duration::from_secs(1));
    let of = |rig: &Rig, key: &str| -> Vec<EventId> {
        let messages = rig.nodes[one].with_publisher.iter().map(|(_, message)| message);
        messages.filter(|message| message.key() == Some(key)).map(|message| message.id()).collect()
    };
    assert_eq!(of(&rig, "early").len(), 1);
    first.commit();
    second.commit();
    rig.report(one, |message| message.key() == Some("early"), delivered);
    assert_eq!(of(&rig, "late"), []);
}
