use super::*;
use crate::engine::destination::Directory;
use crate::event::OrderKey;
use crate::publisher::Partition;
use crate::testing::message;

#[test]
fn what_comes_to_light_behind_a_pass_keeps_later_events_of_its_key_back() {
    let (mut holds, now) = (Holds::default(), Instant::now());
    let key = Key::Ordered(OrderKey::new("things", "a"));
    let things = Destination::of("things");
    holds.hold_key(key.clone(), 10);
    holds.release_key(&key, now);
    assert_eq!(holds.revisit(now, 100, |_| true, None).map(|pass| pass.from), Some(10));
    assert_eq!(holds.advance(now, Some(50), |_| true), None);
    assert!(!holds.covers_revisited(&key, &things, 60), "the pass has come for it");
    assert!(holds.covers_key(&key, 30), "committed late, and the pass is beyond it");
    assert!(holds.covers_revisited(&key, &things, 60), "not before the other");
    assert_eq!(holds.advance(now, None, |_| true), None);
    let next = holds.revisit(now, 100, |_| true, None).unwrap();
    assert_eq!((next.from, next.keys), (30, vec!["a".to_owned()]));
}

#[test]
fn a_key_that_leaves_a_pass_is_looked_for_from_where_the_pass_is() {
    let (mut holds, now) = (Holds::default(), Instant::now());
    let key = Key::Ordered(OrderKey::new("things", "a"));
    holds.hold_key(key.clone(), 10);
    holds.release_key(&key, now);
    assert_eq!(holds.revisit(now, 100, |_| true, None).map(|pass| pass.from), Some(10));
    // Held for what came back from the publisher while the pass is under way.
    holds.hold_key(key.clone(), 11);
    holds.release_key(&key, now);
    assert_eq!(holds.advance(now, None, |_| true), None);
    assert_eq!(holds.revisit(now, 100, |_| true, None).map(|pass| pass.from), Some(10));
}

/// A pass that looks for a topic, has found events of it, and has come to 30.
fn filled_by(topic: &Destination, now: Instant) -> Holds {
    let mut holds = Holds::default();
    holds.hold_topic(topic, 10);
    assert_eq!(looks_for(&mut holds, now), Some((10, vec![], vec!["things".to_owned()])));
    assert!(!holds.covers_revisited(&ordered("any"), topic, 20), "it may go");
    assert_eq!(holds.advance(now, Some(30), |_| true), None);
    holds
}

fn ordered(key: &str) -> Key {
    Key::Ordered(OrderKey::new("things", key))
}

/// From where a pass goes on, and for which keys and topics.
fn looks_for(holds: &mut Holds, now: Instant) -> Option<(i64, Vec<String>, Vec<String>)> {
    let next = holds.revisit(now, 100, |_| true, None)?;
    Some((next.from, next.keys, next.topics))
}

#[test]
fn a_topic_that_fills_a_pass_makes_way_for_a_key_that_is_due() {
    let (now, things) = (Instant::now(), Destination::of("things"));
    let mut holds = filled_by(&things, now);
    holds.hold_key(ordered("a"), 5);
    holds.release_key(&ordered("a"), now);
    let in_time = now + SLICE.saturating_sub(Duration::from_millis(1));
    assert_eq!(looks_for(&mut holds, in_time), Some((30, vec![], vec!["things".to_owned()])), "not yet");
    assert_eq!(looks_for(&mut holds, now + SLICE), Some((5, vec!["a".to_owned()], vec![])));
    assert_eq!(holds.advance(now, None, |_| true), None);
    assert_eq!(looks_for(&mut holds, now + SLICE), Some((30, vec![], vec!["things".to_owned()])), "it comes back");
}

#[test]
fn a_topic_that_fills_a_pass_makes_way_for_a_topic_that_waits() {
    let (now, things) = (Instant::now(), Destination::of("things"));
    let mut holds = filled_by(&things, now);
    holds.hold_topic(&Destination::of("others"), 5);
    assert_eq!(looks_for(&mut holds, now + SLICE), Some((5, vec![], vec!["others".to_owned()])));
}

#[test]
fn a_topic_that_fills_a_pass_makes_way_for_the_keys_in_it() {
    let (mut holds, now, things) = (Holds::default(), Instant::now(), Destination::of("things"));
    holds.hold_topic(&things, 10);
    holds.hold_key(ordered("a"), 40);
    holds.release_key(&ordered("a"), now);
    assert_eq!(looks_for(&mut holds, now), Some((10, vec!["a".to_owned()], vec!["things".to_owned()])));
    assert!(!holds.covers_revisited(&ordered("any"), &things, 20));
    assert_eq!(holds.advance(now, Some(30), |_| true), None);
    assert_eq!(looks_for(&mut holds, now + SLICE), Some((30, vec!["a".to_owned()], vec![])));
}

#[test]
fn what_a_pass_is_about_to_come_to_is_not_looked_for_again() {
    let (now, things) = (Instant::now(), Destination::of("things"));
    let mut holds = filled_by(&things, now);
    holds.hold_topic(&things, 30);
    assert_eq!(holds.advance(now, None, |_| true), None);
    assert_eq!(looks_for(&mut holds, now), None);
    holds.hold_key(ordered("a"), 10);
    holds.release_key(&ordered("a"), now);
    assert_eq!(looks_for(&mut holds, now).map(|(from, ..)| from), Some(10));
    assert_eq!(holds.advance(now, Some(50), |_| true), None);
    assert!(holds.covers_key(&ordered("a"), 50));
    assert_eq!(holds.advance(now, None, |_| true), None);
    assert_eq!(looks_for(&mut holds, now), None);
}

#[test]
fn the_first_that_came_to_light_may_go_when_the_pass_comes_back_to_it() {
    let (mut holds, now) = (Holds::default(), Instant::now());
    let (things, others) = (Destination::of("things"), Destination::of("others"));
    holds.hold_topic(&others, 40);
    holds.hold_key(ordered("a"), 10);
    holds.release_key(&ordered("a"), now);
    assert_eq!(looks_for(&mut holds, now).map(|(from, ..)| from), Some(10));
    assert!(!holds.covers_revisited(&Key::Loose(45), &others, 45));
    assert_eq!(holds.advance(now, Some(50), |_| true), None);
    assert!(holds.covers_key(&ordered("a"), 30), "committed late");
    holds.hold_key(ordered("b"), 5);
    holds.release_key(&ordered("b"), now);
    assert_eq!(looks_for(&mut holds, now + SLICE).map(|(from, ..)| from), Some(5));
    assert!(!holds.covers_revisited(&ordered("a"), &things, 30));
    assert!(holds.covers_revisited(&ordered("a"), &things, 31), "not before it");
}

#[test]
fn a_pass_looks_for_so_many_keys() {
    let (mut holds, now) = (Holds::default(), Instant::now());
    for n in 0..=PASS_KEYS {
        let key = ordered(&n.to_string());
        holds.hold_key(key.clone(), 10);
        holds.release_key(&key, now);
    }
    assert_eq!(looks_for(&mut holds, now).map(|(_, keys, _)| keys.len()), Some(PASS_KEYS));
    assert_eq!(holds.advance(now, None, |_| true), None);
    assert_eq!(looks_for(&mut holds, now).map(|(_, keys, _)| keys.len()), Some(1));
}

#[test]
fn a_topic_stays_held_if_it_stopped_meanwhile_or_was_only_probed() {
    let (now, things) = (Instant::now(), Destination::of("things"));
    let mut holds = filled_by(&things, now);
    assert_eq!(holds.advance(now, None, |_| false), None);
    assert_eq!(looks_for(&mut holds, now).map(|(from, ..)| from), Some(10), "it stopped");
    assert_eq!(holds.advance(now, None, |_| true), None);
    assert_eq!(looks_for(&mut holds, now), None);

    holds.hold_topic(&things, 10);
    assert!(holds.revisit(now, 100, |_| false, Some(&things)).is_some());
    assert!(holds.is_probe() && holds.is_probing(&things) && !holds.is_probing(&Destination::of("others")));
    assert_eq!(holds.advance(now, None, |_| true), Some(things));
    assert!(!holds.is_probe());
    assert_eq!(looks_for(&mut holds, now).map(|(from, ..)| from), Some(10), "the probe was for one event");
}

/// A part of a topic that is divided into so many.
fn part(number: u32, of: u32) -> Destination {
    let mut directory = Directory::new(Box::new(move |_| Some(Partition { number, of })));
    directory.find(&message("things", Some("key"), 1, "{}"))
}

#[test]
fn a_part_of_a_topic_waits_for_another_only_if_they_may_share_keys() {
    let now = Instant::now();
    for (other, waits) in [(part(1, 2), false), (part(1, 3), true), (Destination::of("things"), true)] {
        let (mut holds, works) = (Holds::default(), part(0, 2));
        holds.hold_topic(&works, 10);
        holds.hold_topic(&other, 20);
        let flows = |destination: &Destination| *destination == works;
        assert_eq!(holds.revisit(now, 100, flows, None).is_none(), waits, "{other}");
        assert!(holds.revisit(now, 100, |_| true, None).is_some());
    }
}

#[test]
fn a_topic_that_fills_a_pass_alone_goes_on() {
    let (now, things) = (Instant::now(), Destination::of("things"));
    let mut holds = filled_by(&things, now);
    assert!(!holds.covers_revisited(&ordered("any"), &things, 40));
    assert_eq!(holds.advance(now, Some(50), |_| true), None);
    assert_eq!(looks_for(&mut holds, now + SLICE), Some((50, vec![], vec!["things".to_owned()])));
}
