use super::*;
use crate::history::Setback;

fn happened(fault: Fault, from: i64, to: i64) -> Happened {
    Happened { faults: vec![Past { fault, from, to, struck: true }], ..Happened::default() }
}

/// Whether a lease that place 0 lost at 100 s has a reason.
fn lease(happened: &Happened, unanswered: &[Line]) -> bool {
    let lost = vec![Line { at: 100_000, place: 0 }];
    let said = Said { lost_leases: lost, unanswered: unanswered.to_vec(), ..Said::default() };
    let (with, complaints) = explained(&said, happened);
    assert_eq!(with.lost_leases.len() + complaints.len(), 1);
    complaints.is_empty()
}

fn producer(reason: Reason, happened: &Happened) -> bool {
    let failed = (Line { at: 100_000, place: 0 }, Failure { solo: false, reason });
    let (with, complaints) = explained(&Said { failed_producers: vec![failed], ..Said::default() }, happened);
    assert_eq!(with.failed_producers.len() + complaints.len(), 1);
    complaints.is_empty()
}

fn hand_over(happened: &Happened) -> bool {
    let late = vec![Line { at: 100_000, place: 0 }];
    let (with, complaints) = explained(&Said { late_hand_overs: late, ..Said::default() }, happened);
    assert_eq!(with.late_hand_overs.len() + complaints.len(), 1);
    complaints.is_empty()
}

const SECOND: Duration = Duration::from_secs(1);
const DATABASE: Link = Link::Database(1);

#[test]
fn a_lease_is_lost_after_what_can_cost_it() {
    let costly = [
        Fault::Pause { place: 1, length: SECOND },
        Fault::CrashDatabase,
        Fault::MoveDatabasesClock { ahead: -5 },
        Fault::Reset { link: DATABASE },
        Fault::BlackHole { link: DATABASE, length: SECOND },
        Fault::CutCommit { link: DATABASE, heard: true },
    ];
    for fault in costly {
        assert!(lease(&happened(fault, 90_000, 100_000 - NOTICED), &[]), "{fault}");
        assert!(lease(&happened(fault, 99_000, 101_000), &[]), "{fault} while it lasts");
        assert!(!lease(&happened(fault, 80_000, 99_999 - NOTICED), &[]), "{fault} long before");
        assert!(!lease(&happened(fault, 100_001, 101_000), &[]), "{fault} after it");
    }
    for silence in [Fault::Silence { link: DATABASE }, Fault::SwallowCommit { place: 1 }] {
        assert!(lease(&happened(silence, 35_000, 35_000), &[]), "{silence}");
        assert!(!lease(&happened(silence, 29_999, 29_999), &[]), "{silence}");
    }
}

#[test]
fn nothing_else_costs_a_lease() {
    let innocent = [
        Fault::Kill { place: 1, absent: SECOND },
        Fault::Roll { place: 0 },
        Fault::CrashKafka,
        Fault::BlackHole { link: Link::Kafka(0), length: SECOND },
        Fault::Reset { link: Link::Writers },
        Fault::StallWriter { length: SECOND },
        Fault::MoveProcessorsClock { place: 0, ahead: 60 },
    ];
    for fault in innocent {
        assert!(!lease(&happened(fault, 95_000, 105_000), &[]), "{fault}");
    }
    assert!(!lease(&Happened::default(), &[]));
}

#[test]
fn a_database_that_does_not_answer_costs_the_lease_of_who_waits() {
    let nothing = Happened::default();
    assert!(lease(&nothing, &[Line { at: 99_000, place: 0 }]));
    assert!(!lease(&nothing, &[Line { at: 99_000, place: 1 }]));
    assert!(!lease(&nothing, &[Line { at: 99_999 - NOTICED, place: 0 }]));
}

#[test]
fn a_producer_fails_over_what_happened_on_its_way() {
    let way = Link::Kafka(0);
    let costly = [
        Fault::DropProduceResponse { place: 0, nth: 1 },
        Fault::Silence { link: way },
        Fault::BlackHole { link: way, length: SECOND },
        Fault::CrashKafka,
        Fault::Pause { place: 0, length: SECOND },
    ];
    for fault in costly {
        let recent = happened(fault, 80_000, 100_000 - UNANSWERED);
        assert!(producer(Reason::LostTrack, &recent), "{fault}");
        for reason in [Reason::Refused, Reason::Stalled, Reason::Other] {
            assert!(!producer(reason, &recent), "{fault}: {reason:?}");
        }
        assert!(!producer(Reason::LostTrack, &happened(fault, 80_000, 99_999 - UNANSWERED)), "{fault}");
    }
    for fault in [Fault::DropProduceResponse { place: 1, nth: 1 }, Fault::Pause { place: 1, length: SECOND }] {
        assert!(!producer(Reason::LostTrack, &happened(fault, 90_000, 99_000)), "{fault}");
    }
}

#[test]
fn a_producer_stalls_over_an_outage_that_lasts_as_long_as_its_messages_wait() {
    let timeout = millis(DELIVERY_TIMEOUT);
    assert!(producer(Reason::Stalled, &happened(Fault::CrashKafka, 100_000 - timeout, 100_000)));
    assert!(!producer(Reason::Stalled, &happened(Fault::CrashKafka, 100_001 - timeout, 100_000)));
}

#[test]
fn a_batch_is_refused_after_a_message_that_is_too_large() {
    assert!(producer(Reason::Refused, &happened(Fault::Refuse, 99_000, 99_100)));
    assert!(!producer(Reason::Refused, &happened(Fault::Refuse, 69_000, 69_100)));
    assert!(!producer(Reason::Refused, &happened(Fault::Refuse, 100_001, 100_100)));
    // Nobody who tried it has lived long enough to bury it.
    let dies = |at, refused: &Happened| {
        let failed = (Line { at: 100_000, place: 0 }, Failure { solo: false, reason: Reason::Refused });
        let dead = vec![Line { at, place: 1 }];
        explained(&Said { failed_producers: vec![failed], dead, ..Said::default() }, refused).1.is_empty()
    };
    let long_ago = happened(Fault::Refuse, 9_000, 9_100);
    assert!(dies(100_001, &long_ago) && !dies(99_999, &long_ago) && !dies(100_001 + AFTER, &long_ago));
    assert!(!dies(100_001, &Happened::default()));
    assert!(!producer(Reason::LostTrack, &happened(Fault::Refuse, 99_000, 99_100)));
}

#[test]
fn a_hand_over_is_late_when_something_held_it_up() {
    let since = millis(SHUTDOWN);
    assert!(hand_over(&happened(Fault::CrashKafka, 70_000, 100_000 - since - UNANSWERED)));
    assert!(!hand_over(&happened(Fault::CrashKafka, 70_000, 99_999 - since - UNANSWERED)));
    assert!(hand_over(&happened(Fault::CrashDatabase, 70_000, 100_000 - since - NOTICED)));
    assert!(!hand_over(&happened(Fault::CrashDatabase, 70_000, 99_999 - since - NOTICED)));
    assert!(!hand_over(&happened(Fault::Roll { place: 0 }, 90_000, 100_000)));
    assert!(!hand_over(&Happened::default()));
}

#[test]
fn an_error_of_the_suite_is_excused_by_a_crash_of_the_database() {
    let complains = |fault, from, to| {
        let setback = Setback { from: 95_000, to: 100_000, what: "deadlock".to_owned() };
        let happened = Happened { setbacks: vec![setback], ..happened(fault, from, to) };
        explained(&Said::default(), &happened).1 == ["deadlock"]
    };
    assert!(!complains(Fault::CrashDatabase, 84_000, 95_000 - AFTER_A_CRASH));
    assert!(!complains(Fault::CrashDatabase, 100_000, 110_000));
    assert!(complains(Fault::CrashDatabase, 84_000, 94_999 - AFTER_A_CRASH));
    assert!(complains(Fault::CrashDatabase, 100_001, 110_000));
    assert!(complains(Fault::CrashKafka, 95_000, 100_000));
}
