//! Whether the repeats of a run are within their bound, and what they came after.

use std::collections::HashSet;

use outbox_testkit::Record;
use outbox_testkit::ledger::event_id;

use crate::history::{Happened, Past};
use crate::logs::Said;
use crate::profile::{WAL_WRITER_DELAY, WINDOW};

/// How long after its cause a repeat may come, not counting the time in which faults hinder those who would publish it.
const AFTER: i64 = 20_000;
/// How long before: a lease is lost before its former owner knows.
const BEFORE: i64 = 30_000;

/// Something that may cost a number of repeats within a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) at_most: u64,
}

/// When the records came whose event was there before, in the order of time.
pub(crate) fn times(records: &[Record]) -> Vec<i64> {
    let mut in_order: Vec<&Record> = records.iter().collect();
    in_order.sort_by_key(|record| (record.partition, record.offset));
    let mut seen = HashSet::new();
    let repeated = in_order.into_iter().filter(|record| event_id(record).is_some_and(|id| !seen.insert(id)));
    let mut times: Vec<i64> = repeated.map(|record| record.timestamp.unwrap_or_default()).collect();
    times.sort_unstable();
    times
}

/// All that may cost repeats, by the promise: crashes, lost leases, failed producers, what a graceful stop had to
/// leave open, and the last settles before a crash of the database. Nothing else.
pub(crate) fn causes(happened: &Happened, said: &Said, records: &[Record]) -> Vec<Cause> {
    let around = |at: i64, before, at_most| Cause { from: at - before, to: after(at, &happened.faults), at_most };
    let kills = happened.kills.iter().map(|at| around(*at, 0, WINDOW));
    let leases = said.lost_leases.iter().map(|at| around(*at, BEFORE, WINDOW));
    let producers = said.failed_producers.iter().map(|at| around(*at, BEFORE, WINDOW));
    let stops = happened.stops.iter().map(|(at, abandoned)| around(*at, 0, *abandoned));
    let crashes = happened.database_crashes.iter().map(|(at, since)| {
        let lost = i64::try_from(3 * WAL_WRITER_DELAY.as_millis()).unwrap_or(i64::MAX);
        // Settled up to a moment after it was published, and the last moments of that.
        let recent = since - lost - 1_000..=*at;
        let published = records.iter().filter(|record| record.timestamp.is_some_and(|time| recent.contains(&time)));
        around(*at, 0, published.count() as u64)
    });
    kills.chain(leases).chain(producers).chain(stops).chain(crashes).filter(|cause| cause.at_most > 0).collect()
}

/// When `AFTER` has passed since then without a fault; faults are given in the order of their beginnings.
fn after(at: i64, faults: &[Past]) -> i64 {
    let (mut reached, mut left) = (at, AFTER);
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

/// The repeats, given in the order of time, that no cause accounts for. Each counts for the cause that ends first,
/// which leaves the most to those that come later: if any way of counting explains all, this one does.
pub(crate) fn unexplained(times: &[i64], causes: &[Cause]) -> Vec<i64> {
    let mut causes = causes.to_vec();
    causes.sort_by_key(|cause| cause.to);
    let mut left = Vec::new();
    for time in times {
        let open = |cause: &&mut Cause| cause.at_most > 0 && (cause.from..=cause.to).contains(time);
        match causes.iter_mut().find(open) {
            Some(cause) => cause.at_most -= 1,
            None => left.push(*time),
        }
    }
    left
}

/// For each repeat the kind of the last fault that began before it, among those that can cost repeats.
pub(crate) fn attributed(times: &[i64], happened: &Happened) -> Vec<&'static str> {
    let costly: Vec<_> = happened.faults.iter().filter(|past| past.fault.can_repeat()).collect();
    times
        .iter()
        .map(|time| costly.iter().rfind(|past| past.from <= *time).map_or("no fault", |past| past.fault.kind()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;

    fn cause(from: i64, to: i64, at_most: u64) -> Cause {
        Cause { from, to, at_most }
    }

    #[test]
    fn a_cause_explains_so_many_within_its_time() {
        let causes = [cause(10, 20, 2)];
        assert!(unexplained(&[10, 20], &causes).is_empty());
        assert_eq!(unexplained(&[9, 10, 21], &causes), [9, 21]);
        assert_eq!(unexplained(&[12, 13, 14], &causes), [14]);
        assert_eq!(unexplained(&[12], &[]), [12]);
    }

    #[test]
    fn what_several_causes_explain_together_is_explained() {
        // The later cause is needed for what comes later, whichever is listed first.
        let causes = [cause(10, 30, 2), cause(0, 20, 2)];
        assert!(unexplained(&[15, 15, 25, 25], &causes).is_empty());
        assert_eq!(unexplained(&[15, 15, 15, 25, 25], &causes), [25]);
    }

    #[test]
    fn time_in_which_something_is_broken_does_not_count() {
        let fault = |from, to| Past { fault: Fault::CrashKafka, from, to, struck: true };
        assert_eq!(after(1_000, &[]), 1_000 + AFTER);
        // One that is over, one at the same time, two that overlap, and one that comes too late.
        let faults =
            [fault(0, 900), fault(900, 3_000), fault(5_000, 9_000), fault(6_000, 8_000), fault(90_000, 91_000)];
        assert_eq!(after(1_000, &faults), 1_000 + AFTER + 2_000 + 4_000);
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
        let records = [record(2, a, 7), record(0, a, 5), record(1, b, 6), record(3, b, 8)];
        assert_eq!(times(&records), [7, 8]);
    }
}
