//! Whether the repeats of a run are within their bound, and what they came after.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use outbox_testkit::Record;
use outbox_testkit::ledger::event_id;

use crate::history::{Happened, Past};
use crate::logs::{Line, Said};
use crate::profile::{SHUTDOWN, SOLO, WAL_WRITER_DELAY, WINDOW};
use crate::reasons::cut_off_since;

/// How long after its cause a repeat may come, not counting the time in which faults hinder those who would publish it:
/// as long as it may take after the last fault until nothing is pending.
pub(crate) const AFTER: i64 = 30_000;
/// How long before: a lease is lost before its former owner knows.
const BEFORE: i64 = 30_000;
/// How long before its cause an event may have been published that was not settled by then. Its acknowledgement takes
/// up to 5 s, the socket's timeout, if it has to be asked for again, and the settle up to a lease, 3 s, if it has to be
/// made again, and 5 s in between; with these it is no more than this. Time with faults does not count: while the
/// database is away, nothing is settled.
const UNSETTLED: i64 = 15_000;
/// How long after it was ordered a crash takes place.
const ORDERED: i64 = 1_000;

/// A record whose event was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Repeat {
    pub(crate) at: i64,
    /// When the copy before it came: what could still be repeated when something happened was published and not
    /// settled then.
    pub(crate) before: i64,
}

/// Something that may cost a number of repeats within a time, of events that were published within another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) time: RangeInclusive<i64>,
    pub(crate) published: RangeInclusive<i64>,
    pub(crate) at_most: u64,
}

impl Cause {
    fn explains(&self, repeat: Repeat) -> bool {
        self.time.contains(&repeat.at) && self.published.contains(&repeat.before)
    }
}

/// In the order of time.
pub(crate) fn repeats(records: &[Record]) -> Vec<Repeat> {
    let mut in_order: Vec<&Record> = records.iter().collect();
    in_order.sort_by_key(|record| (record.partition, record.offset));
    let mut seen = HashMap::new();
    let repeated = in_order.into_iter().filter_map(|record| {
        let at = record.timestamp.unwrap_or_default();
        seen.insert(event_id(record)?, at).map(|before| Repeat { at, before })
    });
    let mut repeats: Vec<Repeat> = repeated.collect();
    repeats.sort_unstable_by_key(|repeat| repeat.at);
    repeats
}

/// All that may cost repeats, by the promise: crashes, lost leases, hand-overs that were not over in time, failed
/// producers, what a graceful stop had to leave open, and the last settles before a crash of the database. Nothing else.
/// What was `said` must have a reason ([`explained`](crate::reasons::explained)).
pub(crate) fn causes(happened: &Happened, said: &Said, records: &[Record]) -> Vec<Cause> {
    let faults = &happened.faults;
    // Published before what began then, and lasted until the other moment. Or later, by one who has the shards now, while
    // the copy that was on its way at that time comes last.
    let of = |(began, at): (i64, i64), early: i64, at_most| Cause {
        time: at - early..=after(at, AFTER, faults),
        published: before(began, UNSETTLED, faults)..=after(at, AFTER, faults),
        at_most,
    };
    let shutdown = i64::try_from(SHUTDOWN.as_millis()).unwrap_or(i64::MAX);
    // One that was cut off before may have lost its leases and did not live to say so.
    let kills = happened.kills.iter().map(|kill| {
        let since = cut_off_since(kill, happened);
        of((since, kill.at), kill.at - since, WINDOW)
    });
    let leases = said.lost_leases.iter().map(|Line { at, .. }| of((*at, *at), BEFORE, WINDOW));
    let late = said.late_hand_overs.iter().map(|Line { at, .. }| of((at - shutdown, *at), 0, WINDOW));
    let producers = said.failed_producers.iter().map(|(Line { at, .. }, failure)| {
        let at_most = if failure.solo { SOLO } else { WINDOW };
        of((*at, *at), 0, at_most)
    });
    let stops = happened.stops.iter().map(|(at, abandoned)| {
        let published = before(*at, UNSETTLED, faults)..=after(at + shutdown, AFTER, faults);
        Cause { published, ..of((*at, *at), 0, *abandoned) }
    });
    let crashes = happened.database_crashes.iter().map(|(at, since)| {
        let lost = i64::try_from(3 * WAL_WRITER_DELAY.as_millis()).unwrap_or(i64::MAX);
        // Settled up to a moment after it was published, and the last moments of that.
        let recent = since - lost - 1_000..=at + ORDERED;
        let published = records.iter().filter(|record| record.timestamp.is_some_and(|time| recent.contains(&time)));
        let at_most = published.count() as u64;
        Cause { published: recent, ..of((*at, *at), 0, at_most) }
    });
    let all = kills.chain(leases).chain(late).chain(producers).chain(stops).chain(crashes);
    all.filter(|cause| cause.at_most > 0).collect()
}

/// When so much time has passed since then without a fault; faults are given in the order of their beginnings.
pub(crate) fn after(at: i64, calm: i64, faults: &[Past]) -> i64 {
    let (mut reached, mut left) = (at, calm);
    for fault in faults.iter().filter(|fault| fault.to > at) {
        let calm = fault.from - reached;
        if calm >= left {
            break;
        }
        left -= calm.max(0);
        reached = reached.max(fault.to);
    }
    reached + left
}

/// The same, back from then.
fn before(at: i64, calm: i64, faults: &[Past]) -> i64 {
    let mut by_end: Vec<&Past> = faults.iter().filter(|fault| fault.from < at).collect();
    by_end.sort_by_key(|fault| std::cmp::Reverse(fault.to));
    let (mut reached, mut left) = (at, calm);
    for fault in by_end {
        let calm = reached - fault.to;
        if calm >= left {
            break;
        }
        left -= calm.max(0);
        reached = reached.min(fault.from);
    }
    reached - left
}

/// When those repeats came that no cause accounts for; they are given in the order of time. If any way of counting
/// explains all, this one does.
pub(crate) fn unexplained(repeats: &[Repeat], causes: &[Cause]) -> Vec<i64> {
    let mut counted = Counted { repeats, causes: causes.to_vec(), of: Vec::new(), tried: Vec::new() };
    // Those first that end first, which leaves the most to what comes later.
    counted.causes.sort_by_key(|cause| *cause.time.end());
    counted.of.resize(causes.len(), Vec::new());
    counted.tried.resize(causes.len(), false);
    let mut left = Vec::new();
    for (repeat, Repeat { at, .. }) in repeats.iter().enumerate() {
        let tried = counted.tried.clone();
        if counted.count(repeat) {
            counted.tried = tried;
        } else {
            // Where it was tried in vain nothing gets free any more: not to be tried again.
            left.push(*at);
        }
    }
    left
}

/// Which repeats count for which cause: a matching that is extended by augmenting paths.
struct Counted<'r> {
    repeats: &'r [Repeat],
    causes: Vec<Cause>,
    of: Vec<Vec<usize>>,
    tried: Vec<bool>,
}

impl Counted<'_> {
    fn count(&mut self, repeat: usize) -> bool {
        let explains = |this: &Self, cause: &usize| this.causes[*cause].explains(this.repeats[repeat]);
        let fitting: Vec<usize> =
            (0..self.causes.len()).filter(|cause| !self.tried[*cause] && explains(self, cause)).collect();
        let has_room = |cause: &&usize| (self.of[**cause].len() as u64) < self.causes[**cause].at_most;
        if let Some(cause) = fitting.iter().find(has_room) {
            self.of[*cause].push(repeat);
            return true;
        }
        for cause in fitting {
            if std::mem::replace(&mut self.tried[cause], true) {
                continue;
            }
            for slot in 0..self.of[cause].len() {
                if self.count(self.of[cause][slot]) {
                    self.of[cause][slot] = repeat;
                    return true;
                }
            }
        }
        false
    }
}

/// For each repeat the kind of the last fault that began before it, among those that can cost repeats.
pub(crate) fn attributed(repeats: &[Repeat], happened: &Happened) -> Vec<&'static str> {
    let costly: Vec<_> = happened.faults.iter().filter(|past| past.fault.can_repeat()).collect();
    repeats
        .iter()
        .map(|repeat| costly.iter().rfind(|past| past.from <= repeat.at).map_or("no fault", |past| past.fault.kind()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fault::{Fault, Link};

    fn cause(from: i64, to: i64, at_most: u64) -> Cause {
        Cause { time: from..=to, published: 0..=to, at_most }
    }

    fn at<const N: usize>(times: [i64; N]) -> [Repeat; N] {
        times.map(|at| Repeat { at, before: 0 })
    }

    #[test]
    fn a_cause_explains_so_many_within_its_time() {
        let causes = [cause(10, 20, 2)];
        assert!(unexplained(&at([10, 20]), &causes).is_empty());
        assert_eq!(unexplained(&at([9, 10, 21]), &causes), [9, 21]);
        assert_eq!(unexplained(&at([12, 13, 14]), &causes), [14]);
        assert_eq!(unexplained(&at([12]), &[]), [12]);
    }

    #[test]
    fn a_cause_explains_what_was_published_within_its_time() {
        let causes = [Cause { published: 5..=12, ..cause(10, 20, 9) }];
        let repeat = |before| Repeat { at: 15, before };
        assert!(unexplained(&[repeat(5), repeat(12)], &causes).is_empty());
        assert_eq!(unexplained(&[repeat(4)], &causes), [15]);
        assert_eq!(unexplained(&[repeat(13)], &causes), [15]);
    }

    #[test]
    fn what_several_causes_explain_together_is_explained() {
        // The later cause is needed for what comes later, whichever is listed first.
        let causes = [cause(10, 30, 2), cause(0, 20, 2)];
        assert!(unexplained(&at([15, 15, 25, 25]), &causes).is_empty());
        assert_eq!(unexplained(&at([15, 15, 15, 25, 25]), &causes), [25]);
        // The one that ends first is needed for what was published long ago.
        let causes = [Cause { published: 0..=9, ..cause(10, 20, 1) }, Cause { published: 5..=9, ..cause(10, 30, 1) }];
        let repeat = |before| Repeat { at: 15, before };
        assert!(unexplained(&[repeat(7), repeat(1)], &causes).is_empty());
        assert_eq!(unexplained(&[repeat(7), repeat(1), repeat(7)], &causes), [15]);
    }

    fn fault(from: i64, to: i64) -> Past {
        Past { fault: Fault::CrashKafka, from, to, struck: true }
    }

    #[test]
    fn time_in_which_something_is_broken_does_not_count() {
        assert_eq!(after(1_000, AFTER, &[]), 1_000 + AFTER);
        // One that is over, one at the same time, two that overlap, and one that comes too late.
        let faults =
            [fault(0, 900), fault(900, 3_000), fault(5_000, 9_000), fault(6_000, 8_000), fault(90_000, 91_000)];
        assert_eq!(after(1_000, AFTER, &faults), 1_000 + AFTER + 2_000 + 4_000);
        assert_eq!(before(95_000, UNSETTLED, &[]), 95_000 - UNSETTLED);
        assert_eq!(before(95_000, UNSETTLED, &faults), 95_000 - UNSETTLED - 1_000);
        assert_eq!(before(10_000, UNSETTLED, &faults), 10_000 - UNSETTLED - 4_000 - 2_100 - 900);
    }

    #[test]
    fn a_kill_explains_what_was_published_shortly_before_it() {
        let kill = |faults: &[Past], repeat| {
            let kills = vec![Line { at: 100_000, place: 0 }];
            let happened = Happened { kills, faults: faults.to_vec(), ..Happened::default() };
            unexplained(&[repeat], &causes(&happened, &Said::default(), &[])).is_empty()
        };
        let repeat = |before| Repeat { at: 105_000, before };
        assert!(kill(&[], repeat(100_000)) && kill(&[], repeat(100_000 - UNSETTLED)));
        assert!(!kill(&[], repeat(100_000 - UNSETTLED - 1)));
        // While something is broken events may stay unsettled.
        assert!(kill(&[fault(90_000, 95_000)], repeat(100_000 - UNSETTLED - 5_000)));
        assert!(!kill(&[fault(90_000, 95_000)], repeat(100_000 - UNSETTLED - 5_001)));
        // What it had on its way may come last.
        assert!(kill(&[], Repeat { at: 119_000, before: 118_000 }));
    }

    #[test]
    fn who_is_killed_right_after_a_pause_could_not_say_that_its_leases_were_lost() {
        let repeat = |at| Repeat { at, before: 89_000 };
        let explains = |fault, to, repeat| {
            let faults = vec![Past { fault, from: 90_000, to, struck: true }];
            let kills = vec![Line { at: 100_000, place: 0 }];
            let happened = Happened { kills, faults, ..Happened::default() };
            unexplained(&[repeat], &causes(&happened, &Said::default(), &[])).is_empty()
        };
        let length = Duration::from_secs(10);
        let pause = |place| Fault::Pause { place, length };
        assert!(explains(pause(0), 100_000, repeat(94_000)) && explains(pause(0), 100_000, repeat(101_000)));
        assert!(!explains(pause(0), 100_000, repeat(89_999)), "nothing had happened yet");
        assert!(!explains(pause(1), 100_000, repeat(94_000)), "another was paused");
        assert!(!explains(Fault::CrashKafka, 100_000, repeat(94_000)), "that costs no lease");
        let hole = |place| Fault::BlackHole { link: Link::Database(place), length };
        assert!(explains(hole(0), 97_000, repeat(94_000)) && !explains(hole(1), 97_000, repeat(94_000)));
    }

    #[test]
    fn a_repeat_is_a_record_whose_event_was_there_before() {
        let record = |offset, id: &str, timestamp| Record {
            partition: 0,
            offset,
            key: None,
            value: None,
            headers: vec![("outbox-event-id".to_owned(), Some(id.as_bytes().to_vec()))],
            timestamp: Some(timestamp),
        };
        let (a, b) = ("00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b");
        let records = [record(2, a, 7), record(0, a, 5), record(1, b, 6), record(3, b, 8), record(4, a, 9)];
        let repeat = |at, before| Repeat { at, before };
        assert_eq!(repeats(&records), [repeat(7, 5), repeat(8, 6), repeat(9, 7)]);
    }
}
