use super::*;
use crate::publisher::Partition;
use crate::testing::message;

const TRIAL: usize = 8;
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(350));
const NANO: Duration = Duration::from_nanos(1);

fn topics() -> Topics {
    Topics::new(PAUSE, TRIAL, Box::new(|_| None))
}

fn fails(topics: &mut Topics, now: Instant, name: &Destination) -> Failure {
    topics.fails(now, name, "away".to_owned(), None, 1.0)
}

fn key(n: i64) -> Key {
    Key::Loose(n)
}

fn shards<const N: usize>(numbers: [u16; N]) -> impl Fn(&Destination) -> Vec<Shard> {
    move |_| numbers.map(Shard::new).to_vec()
}

#[test]
fn a_topic_is_silent_if_something_is_awaited_and_nothing_was_heard_for_long() {
    let (mut topics, things, now) = (topics(), Destination::of("things"), Instant::now());
    assert!(!topics.is_silent(now, &things));
    topics.sent(now, &things, 1);
    assert!(!topics.is_silent(now + STALL - NANO, &things) && topics.is_silent(now + STALL, &things));
    topics.reported(now, &things, 1);
    assert!(!topics.is_silent(now + 10 * STALL, &things), "nothing is awaited");
}

#[test]
fn pauses_grow_and_are_between_a_half_and_the_whole_of_what_is_allowed() {
    let (things, start) = (Destination::of("things"), Instant::now());
    for (random, parts) in [(0.0, 2), (1.0, 1)] {
        let (mut topics, mut now) = (topics(), start);
        for most in [100, 200, 350, 350].map(Duration::from_millis) {
            assert!(topics.fails(now, &things, String::new(), None, random) != Failure::Known);
            assert_eq!(topics.next_tick(), Some(now + most / parts));
            now += most;
            topics.tick(now, shards([0]));
        }
        topics.works(&things);
        topics.fails(now, &things, String::new(), Some(Duration::from_secs(7)), random);
        assert_eq!(topics.next_tick(), Some(now + Duration::from_secs(7)), "as somebody said");
    }
}

/// A topic that is to be tried with an event of the first of two shards that have some, from the returned time on.
fn half_open() -> (Topics, Destination, Instant) {
    let (mut topics, things, now) = (topics(), Destination::of("things"), Instant::now());
    assert_eq!(fails(&mut topics, now, &things), Failure::News);
    let now = now + PAUSE.0;
    topics.tick(now, shards([0, 1]));
    assert_eq!(probed(&topics), Some(0));
    (topics, things, now)
}

/// Which shard is to find the event that tries a topic, unless it has been found.
fn probed(topics: &Topics) -> Option<u16> {
    (0..4).find(|shard| topics.probe_of(Shard::new(*shard)).is_some())
}

#[test]
fn a_shard_finds_one_event_to_try_a_topic_and_another_if_that_is_lost() {
    let (mut topics, things, _) = half_open();
    assert!(!topics.admit_probe(&things, Shard::new(1)));
    assert!(topics.admit_probe(&things, Shard::new(0)) && !topics.admit_probe(&things, Shard::new(0)));
    topics.probe_lost(&things, Shard::new(1));
    assert!(!topics.admit_probe(&things, Shard::new(0)), "that was another's");
    topics.probe_lost(&things, Shard::new(0));
    assert!(topics.admit_probe(&things, Shard::new(0)));
}

#[test]
fn shards_are_searched_one_after_the_other() {
    let (mut topics, things, now) = half_open();
    topics.tick(now, shards([0, 1]));
    assert_eq!(probed(&topics), Some(0));
    topics.probe_not_found(&things, Shard::new(0));
    topics.tick(now, shards([0, 1]));
    assert_eq!(probed(&topics), Some(1));
    topics.probe_not_found(&things, Shard::new(1));
    assert!(!topics.flows(&things));
    topics.tick(now, shards([0, 1]));
    assert!(topics.flows(&things), "nobody has anything to try it with");
}

#[test]
fn a_search_for_an_event_to_try_a_topic_does_not_last_for_ever() {
    let (mut topics, things, now) = half_open();
    assert_eq!(topics.next_tick(), Some(now + PROBE));
    topics.tick(now + PROBE - NANO, shards([1]));
    assert_eq!(probed(&topics), Some(0));
    topics.tick(now + PROBE, shards([0, 1]));
    assert_eq!(probed(&topics), Some(1));
    // One that was found, and never sent.
    let now = now + PROBE;
    assert!(topics.admit_probe(&things, Shard::new(1)));
    topics.tick(now + PROBE - NANO, shards([0, 1, 2]));
    assert_eq!(probed(&topics), None);
    topics.tick(now + PROBE, shards([0, 1, 2]));
    assert_eq!(probed(&topics), Some(2));
    // One that is under way.
    let now = now + PROBE;
    assert!(topics.admit_probe(&things, Shard::new(2)));
    topics.sent(now, &things, 1);
    assert_eq!(topics.next_tick(), None);
    topics.tick(now + 2 * PROBE, shards([3]));
    assert_eq!(probed(&topics), None);
}

#[test]
fn while_something_is_under_way_a_shard_without_events_is_searched_no_longer() {
    let (mut topics, things, now) = half_open();
    topics.sent(now, &things, 1);
    topics.tick(now, shards([0, 1]));
    assert_eq!(probed(&topics), Some(0));
    topics.tick(now, shards([1]));
    assert_eq!(probed(&topics), Some(1));
}

#[test]
fn with_its_shard_goes_the_event_that_was_to_try_a_topic() {
    let (mut topics, things, now) = half_open();
    topics.forget_shard(now, Shard::new(1));
    assert_eq!(probed(&topics), Some(0));
    topics.sent(now, &things, 1);
    topics.forget_shard(now, Shard::new(0));
    assert_eq!(probed(&topics), Some(0), "what is under way will tell");
    topics.reported(now, &things, 1);
    topics.forget_shard(now, Shard::new(0));
    assert_eq!((probed(&topics), topics.next_tick()), (None, Some(now)));
}

#[test]
fn a_rejection_stops_no_topic_and_ends_a_trial() {
    let (mut topics, things, now) = half_open();
    let others = Destination::of("others");
    topics.sent(now, &others, 1);
    topics.reported(now, &others, 1);
    topics.says_nothing(now, &others);
    assert!(topics.flows(&others));
    topics.says_nothing(now, &things);
    assert_eq!(probed(&topics), Some(0), "it was none of its trial");
    assert!(topics.admit_probe(&things, Shard::new(0)));
    topics.sent(now, &things, 1);
    topics.says_nothing(now, &things);
    assert_eq!(topics.next_tick(), None);
    topics.reported(now, &things, 1);
    topics.says_nothing(now, &things);
    assert_eq!(topics.next_tick(), Some(now));
}

#[test]
fn one_that_is_trusted_with_its_share_may_give_all_of_it_to_one_key_and_else_half() {
    let (mut topics, things, now) = (topics(), Destination::of("things"), Instant::now());
    let mut next = |window: &Window| {
        topics.ready(&things, Shard::new(3), key(1));
        assert_eq!(topics.shards_with_ready(&things), BTreeSet::from([Shard::new(3)]));
        topics.next_ready(now, &things, window).map(|(.., most)| most)
    };
    assert_eq!(next(&Window::new(12, usize::MAX)), Some(8), "the share is what it is trusted with");
    assert_eq!(next(&Window::new(15, usize::MAX)), Some(4));
    assert_eq!(next(&Window::new(9, usize::MAX)), Some(6));
}

#[test]
fn one_that_has_its_share_and_does_not_answer_is_left_alone() {
    let (mut topics, things, now) = (topics(), Destination::of("things"), Instant::now());
    topics.ready(&things, Shard::new(0), key(1));
    let full = Window::new(0, usize::MAX);
    assert_eq!(topics.next_ready(now, &things, &full), None);
    assert_eq!(topics.next_tick(), None, "the room is taken by others");
    topics.sent(now, &things, 1);
    assert_eq!(topics.next_ready(now, &things, &full), None);
    assert_eq!(topics.next_tick(), Some(now + STALL));
    assert!(topics.tick(now + STALL - NANO, shards([])).is_empty() && topics.flows(&things));
    assert_eq!(topics.tick(now + STALL, shards([])), std::slice::from_ref(&things));
    assert!(!topics.flows(&things));
    assert_eq!(topics.next_tick(), None);
    topics.reported(now + STALL, &things, 1);
    assert!(topics.flows(&things));
}

#[test]
fn keys_that_have_nothing_to_send_are_forgotten() {
    let (mut topics, things) = (topics(), Destination::of("things"));
    topics.ready(&things, Shard::new(0), key(1));
    topics.ready(&things, Shard::new(1), key(2));
    topics.keep_ready(|shard, _| shard == Shard::new(1));
    assert!(topics.is_ready(Shard::new(1), &key(2)) && !topics.is_ready(Shard::new(0), &key(1)));
}

#[test]
fn so_many_are_remembered_of_which_nothing_is_known() {
    let (mut topics, now) = (topics(), Instant::now());
    let name = |n: usize| Destination::of(&n.to_string());
    topics.ready(&name(0), Shard::new(0), key(1));
    topics.sent(now, &name(1), 1);
    fails(&mut topics, now, &name(2));
    for n in 3..REMEMBERED {
        topics.works(&name(n));
    }
    topics.tick(now, shards([]));
    assert_eq!(topics.topics.len(), REMEMBERED);
    topics.works(&name(REMEMBERED));
    topics.tick(now, shards([]));
    let left: Vec<&Destination> = topics.topics.keys().collect();
    assert_eq!(left, [&name(0), &name(1), &name(2)]);
}

#[test]
fn what_is_paused_is_named_once() {
    let mut topics = Topics::new(PAUSE, TRIAL, Box::new(|_| Some(Partition { number: 3, of: 4 })));
    let now = Instant::now();
    let places = [message("a", None, 1, "{}"), message("a", Some("k"), 1, "{}"), message("b", None, 1, "{}")];
    for place in places.map(|message| topics.find(&message)) {
        fails(&mut topics, now, &place);
        fails(&mut topics, now, &place.whole());
    }
    let names: Vec<String> = topics.paused().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "a/3", "b"]);
}
