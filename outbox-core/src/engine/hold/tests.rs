use super::*;
use crate::event::OrderKey;

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
