//! Another server takes over that has not heard of the last events, and gives out their numbers again.

use super::*;
use crate::testing::memory_faults::Image;

/// An event that is with the publisher, and is gone with the old server; and two of another key, the first of which has
/// its number now.
fn taken_over(rig: &mut Rig) -> (usize, [EventId; 3]) {
    let events = [event("things", "old"), event("things", "new"), event("things", "new")];
    let ids = events.each_ref().map(|event| event.id);
    let [old, first, second] = events;
    let image = rig.store.image();
    rig.store.commit([old]);
    let one = rig.start(config());
    assert_eq!(with_publisher(rig, one), [ids[0]]);
    rig.store.fail_over(image);
    rig.store.commit([first, second]);
    rig.handle(one, Event::Woken);
    rig.pass(LEASE);
    (one, ids)
}

fn with_publisher(rig: &Rig, n: usize) -> Vec<EventId> {
    rig.nodes[n].with_publisher.iter().map(|(_, message)| message.id()).collect()
}

#[test]
fn an_event_under_an_old_number_waits_for_the_old_one_and_its_key_with_it() {
    let mut rig = Rig::new(1);
    let (one, [old, first, second]) = taken_over(&mut rig);
    assert_eq!(with_publisher(&rig, one), [old], "nothing of the new key passes");
    rig.report(one, |_| true, delivered);
    rig.pass(Duration::from_secs(1));
    assert_eq!(with_publisher(&rig, one), [first, second]);
    rig.report(one, |_| true, delivered);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.store.pending_count(), 0);
}

#[test]
fn an_event_under_the_number_of_a_rejected_one_is_not_forgotten() {
    let mut rig = Rig::new(1);
    let (one, [_, first, second]) = taken_over(&mut rig);
    rig.report(one, |_| true, rejected);
    rig.pass(Duration::from_secs(2));
    assert_eq!(with_publisher(&rig, one), [first, second]);
}

#[test]
fn a_deletion_that_was_lost_before_its_answer_came_is_noticed() {
    let mut rig = Rig::new(1);
    let one = rig.start(config());
    rig.nodes[one].late_answers = Some(Vec::new());
    rig.store.commit([event("things", "key")]);
    rig.handle(one, Event::Woken);
    let image = rig.store.image();
    assert_eq!(rig.report(one, |_| true, delivered), 1);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.store.pending_count(), 0);
    rig.store.fail_over(image);
    rig.handle(one, Event::Woken);
    rig.pass(Duration::from_secs(1));
    for answer in rig.nodes[one].late_answers.take().unwrap() {
        rig.handle(one, answer);
    }
    rig.pass(LEASE);
    assert_eq!(with_publisher(&rig, one).len(), 1, "it is there again, and so is published again");
}

/// Another server takes over; there, what is with the publisher is settled, without an answer.
fn settled_elsewhere(rig: &mut Rig, one: usize, image: Image) {
    rig.store.fail_over(image);
    rig.handle(one, Event::Woken);
    rig.pass(Duration::from_secs(1));
    rig.nodes[one].late_answers = Some(Vec::new());
    assert_eq!(rig.report(one, |_| true, delivered), 1);
    rig.pass(Duration::from_secs(1));
}

/// A scheduled event that is with the publisher. Another server takes over, to which it is not due yet, and its
/// delivery is settled there, without an answer; then it becomes due, under the same number.
fn due_again(rig: &mut Rig) -> (usize, EventId) {
    let scheduled = event("things", "key");
    let one = rig.start(config());
    let image = rig.store.image();
    rig.store.commit([scheduled.clone()]);
    rig.handle(one, Event::Woken);
    assert_eq!(with_publisher(rig, one), [scheduled.id]);
    settled_elsewhere(rig, one, image);
    rig.store.commit([scheduled.clone()]);
    (one, scheduled.id)
}

fn answer_settles(rig: &mut Rig, n: usize) {
    let answers = rig.nodes[n].late_answers.take().unwrap();
    assert_eq!(answers.len(), 1);
    answers.into_iter().for_each(|answer| rig.handle(n, answer));
}

#[test]
fn what_comes_back_before_its_settle_is_answered_is_looked_for() {
    let mut rig = Rig::new(1);
    let (one, id) = due_again(&mut rig);
    rig.handle(one, Event::Woken);
    rig.pass(Duration::from_secs(1));
    answer_settles(&mut rig, one);
    rig.pass(LEASE);
    assert_eq!(with_publisher(&rig, one), [id]);
}

#[test]
fn what_comes_back_in_a_read_during_which_its_settle_is_answered_is_looked_for() {
    let mut rig = Rig::new(1);
    let (one, id) = due_again(&mut rig);
    rig.nodes[one].late_reads = Some(Vec::new());
    rig.handle(one, Event::Woken);
    answer_settles(&mut rig, one);
    let read = rig.nodes[one].late_reads.take().unwrap();
    assert_eq!(read.len(), 1);
    read.into_iter().for_each(|answer| rig.handle(one, answer));
    rig.pass(LEASE);
    assert_eq!(with_publisher(&rig, one), [id]);
}

#[test]
fn what_has_a_number_that_is_looked_for_comes_in_its_turn() {
    let mut rig = Rig::new(1);
    let one = rig.start(config());
    let image = rig.store.image();
    drop(rig.store.begin([event("things", "rolled back")]));
    rig.store.commit([event("things", "old")]);
    rig.handle(one, Event::Woken);
    settled_elsewhere(&mut rig, one, image);
    // The second has the number of the old one, which is looked for, and nobody has read the first, which must be dead
    // before anything of its key goes on.
    let [first, second] = [event("things", "new"), event("things", "new")];
    rig.garbled.insert(first.id);
    rig.store.commit([first, second]);
    answer_settles(&mut rig, one);
    assert_eq!(with_publisher(&rig, one), []);
}

#[test]
fn what_is_held_waits_until_everything_has_been_read_again() {
    let mut rig = Rig::new(1);
    let retry = RetryRules::new(RetryPolicy::fixed(Duration::from_secs(1)));
    let one = rig.start(EngineConfig { batch_size: 10, retry, ..config() });
    rig.store.commit([event("things", "poison")]);
    rig.handle(one, Event::Woken);
    rig.report(one, |_| true, rejected);
    rig.store.commit((0..100).map(|n| event("away", &format!("key-{n}"))));
    rig.handle(one, Event::Woken);
    rig.report(one, |_| true, unreachable);
    rig.pass(Duration::from_millis(500));
    rig.store.restart();
    rig.nodes[one].late_reads = Some(Vec::new());
    rig.nodes[one].reads.clear();
    rig.handle(one, Event::Woken);
    for _ in 0..30 {
        rig.answer_reads(one);
        rig.report(one, |_| true, unreachable);
        rig.pass(Duration::from_millis(500));
    }
    let again = rig.nodes[one].reads.iter().map(|read| &read.lanes[0]).skip_while(|lane| lane.after > 0);
    let (early, late): (Vec<_>, Vec<_>) = again.partition(|lane| lane.after < 101);
    assert!(early.len() > 5 && early.iter().all(|lane| lane.revisit.is_none()), "{early:?}");
    assert!(late.iter().any(|lane| lane.revisit.is_some()), "{late:?}");
}
