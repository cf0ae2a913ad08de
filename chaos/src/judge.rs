//! Holds what was seen against what was promised.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use outbox_core::store::{Admin, DeadState};
use outbox_sea_orm::Outbox;
use outbox_testkit::Record;
use outbox_testkit::ledger::{self, Entry, Findings, check_with_dead};
use uuid::Uuid;

use crate::history::Happened;
use crate::logs::Said;
use crate::reasons;
use crate::repeats::{self, Repeat};
use crate::stage::Stage;
use crate::workload::{Claim, Claims};

/// All that is left of a run.
pub(crate) struct Evidence {
    pub(crate) ledger: Vec<Entry>,
    pub(crate) records: Vec<Record>,
    pub(crate) dead: HashSet<Uuid>,
    pub(crate) pending: HashSet<Uuid>,
    pub(crate) claims: Claims,
    pub(crate) happened: Happened,
    pub(crate) said: Said,
    /// How long it took until nothing was pending; `None` when it never happened in the time given.
    pub(crate) drained: Option<Duration>,
}

/// What came out.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) findings: Findings,
    /// Committed, not delivered, and still pending.
    pub(crate) stuck: usize,
    pub(crate) drained: Option<Duration>,
    /// Entries that are committed or not, against what their writer was told.
    pub(crate) wrong_claims: usize,
    /// Of the commits without an answer: committed, and rolled back.
    pub(crate) unknown: (usize, usize),
    pub(crate) repeats: Vec<Repeat>,
    pub(crate) unexplained: Vec<i64>,
    pub(crate) repeats_allowed: u64,
    pub(crate) repeats_after: BTreeMap<&'static str, usize>,
    /// Producers that lost track of the broker after it had crashed, and repeats that nothing else explains.
    pub(crate) over_crashed_brokers: (usize, usize),
    pub(crate) complaints: Vec<String>,
}

impl Verdict {
    /// Whether every promise held.
    pub(crate) fn holds(&self) -> bool {
        self.findings.are_clean()
            && self.stuck == 0
            && self.drained.is_some()
            && self.wrong_claims == 0
            && self.unexplained.is_empty()
            && self.complaints.is_empty()
    }
}

/// Reads everything from the servers themselves, past the proxies.
pub(crate) async fn collect(
    stage: &Stage,
    claims: Claims,
    said: Said,
    drained: Option<Duration>,
) -> anyhow::Result<Evidence> {
    let store = Outbox::new(stage.database.connection().clone()).store();
    let (mut dead, mut last) = (HashSet::new(), None);
    loop {
        let letters = store.dead_letters(last, 1_000).await?;
        let Some(letter) = letters.last() else { break };
        last = Some(letter.envelope.id);
        let of_state = letters.iter().filter(|letter| letter.state == DeadState::Dead);
        dead.extend(of_state.map(|letter| *letter.envelope.id.as_uuid()));
    }
    let (mut pending, mut after) = (HashSet::new(), 0);
    loop {
        let events = store.pending(after, 1_000).await?;
        let Some(event) = events.last() else { break };
        after = event.seq;
        pending.extend(events.iter().map(|event| *event.envelope.id.as_uuid()));
    }
    Ok(Evidence {
        ledger: ledger::entries(stage.database.connection()).await?,
        // To where the partitions end now, however much that is.
        records: stage.kafka.consume_all(&stage.topic, 0, Duration::from_secs(300)).await,
        dead,
        pending,
        claims,
        happened: stage.history.read(),
        said,
        drained,
    })
}

pub(crate) fn judge(evidence: &Evidence) -> Verdict {
    let Evidence { ledger, records, dead, pending, claims, happened, said, drained } = evidence;
    let mut findings = check_with_dead(ledger, records, dead);
    let (stuck, lost): (Vec<_>, Vec<_>) = findings.lost.drain(..).partition(|entry| pending.contains(&entry.event));
    findings.lost = lost;

    let committed: HashSet<Uuid> = ledger.iter().map(|entry| entry.event).collect();
    let mut verdict = Verdict { stuck: stuck.len(), drained: *drained, findings, ..Verdict::default() };
    for (event, claim) in &claims.entries {
        match (claim, committed.contains(event)) {
            (Claim::Committed, true) | (Claim::RolledBack, false) => {}
            (Claim::Unknown, true) => verdict.unknown.0 += 1,
            (Claim::Unknown, false) => verdict.unknown.1 += 1,
            (Claim::Committed, false) | (Claim::RolledBack, true) => verdict.wrong_claims += 1,
        }
    }
    let (said, unexplained) = reasons::explained(said, happened);
    let causes = repeats::causes(happened, &said, records);
    verdict.repeats = repeats::repeats(records);
    verdict.repeats_allowed = causes.iter().map(|cause| cause.at_most).sum();
    verdict.unexplained = repeats::unexplained(&verdict.repeats, &causes);
    let (mut other, mut over) = (said, 0);
    other.failed_producers.retain(|failure| {
        let is_over_one = reasons::of_a_crashed_broker(failure, happened);
        over += usize::from(is_over_one);
        !is_over_one
    });
    let without = repeats::unexplained(&verdict.repeats, &repeats::causes(happened, &other, records));
    verdict.over_crashed_brokers = (over, without.len() - verdict.unexplained.len());
    for kind in repeats::attributed(&verdict.repeats, happened) {
        *verdict.repeats_after.entry(kind).or_default() += 1;
    }
    verdict.complaints.clone_from(&happened.complaints);
    verdict.complaints.extend(unexplained);
    for (writer, commits) in claims.commits.iter().enumerate().filter(|(_, commits)| **commits == 0) {
        verdict.complaints.push(format!("writer {writer} got {commits} transactions committed in the whole run"));
    }
    if ledger.is_empty() {
        verdict.complaints.push("no event was committed, so nothing was shown".to_owned());
    }
    verdict
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::fault::{Fault, Link};
    use crate::history::Past;
    use crate::logs::{Failure, Line, Reason};
    use crate::repeats::Cause;

    pub(crate) fn evidence() -> Evidence {
        let entry = |version| Entry { event: Uuid::now_v7(), key: "key-0".to_owned(), version, refused: false };
        let ledger: Vec<Entry> = (1..=3).map(entry).collect();
        let record = |(offset, entry): (i64, &Entry)| Record {
            partition: 0,
            offset,
            key: Some(entry.key.clone().into_bytes()),
            value: Some(ledger::payload(&entry.key, entry.version).into_bytes()),
            headers: [
                ("outbox-event-id", entry.event.to_string()),
                (ledger::HEADER, ledger::entry_header(&entry.key, entry.version)),
            ]
            .map(|(name, value)| (name.to_owned(), Some(value.into_bytes())))
            .into(),
            timestamp: Some(1_000 * offset),
        };
        let claims = ledger.iter().map(|entry| (entry.event, Claim::Committed)).collect();
        Evidence {
            records: (0..).zip(&ledger).map(record).collect(),
            ledger,
            dead: HashSet::new(),
            pending: HashSet::new(),
            claims: Claims { entries: claims, ..Claims::default() },
            happened: Happened::default(),
            said: Said::default(),
            drained: Some(Duration::ZERO),
        }
    }

    #[test]
    fn a_run_in_which_all_went_well_holds() {
        assert!(judge(&evidence()).holds());
    }

    #[test]
    fn what_is_pending_is_stuck_and_what_is_nowhere_is_lost() {
        let mut evidence = evidence();
        evidence.records.pop();
        let verdict = judge(&evidence);
        assert!(!verdict.holds() && verdict.findings.lost.len() == 1 && verdict.stuck == 0);
        evidence.pending.insert(evidence.ledger[2].event);
        let verdict = judge(&evidence);
        assert!(!verdict.holds() && verdict.findings.lost.is_empty() && verdict.stuck == 1);
    }

    #[test]
    fn a_backlog_that_does_not_go_away_is_a_violation() {
        assert!(!judge(&Evidence { drained: None, ..evidence() }).holds());
    }

    #[test]
    fn the_ledger_has_the_last_word_on_commits() {
        let claims = |claim| {
            let mut evidence = evidence();
            evidence.claims.entries[0].1 = claim;
            evidence.claims.entries.push((Uuid::now_v7(), claim));
            judge(&evidence)
        };
        assert_eq!((claims(Claim::Unknown).unknown, claims(Claim::Unknown).wrong_claims), ((1, 1), 0));
        assert_eq!(claims(Claim::Committed).wrong_claims, 1);
        assert_eq!(claims(Claim::RolledBack).wrong_claims, 1);
        assert!(!claims(Claim::RolledBack).holds());
    }

    #[test]
    fn a_repeat_needs_a_cause() {
        let mut evidence = evidence();
        let again = Record { offset: 3, timestamp: Some(9_000), ..evidence.records[2].clone() };
        evidence.records.push(again);
        let verdict = judge(&evidence);
        assert!(verdict.findings.are_clean() && !verdict.holds());
        evidence.happened.kills.push(Line { at: 8_000, place: 0 });
        assert!(judge(&evidence).holds());
        // Not one that has nothing to do with it: its event was settled long before.
        evidence.happened.kills = vec![Line { at: 28_000, place: 0 }];
        evidence.records[3].timestamp = Some(29_000);
        assert_eq!(judge(&evidence).unexplained, [29_000]);
    }

    #[test]
    fn what_a_processor_says_is_no_excuse_for_itself() {
        let mut evidence = evidence();
        evidence.records.push(Record { offset: 3, timestamp: Some(9_000), ..evidence.records[2].clone() });
        evidence.said.lost_leases.push(Line { at: 8_000, place: 0 });
        let verdict = judge(&evidence);
        assert!(verdict.unexplained == [9_000] && verdict.complaints.len() == 1, "{verdict:?}");
        let fault = Fault::Pause { place: 0, length: Duration::from_secs(4) };
        evidence.happened.faults.push(Past { fault, from: 3_000, to: 7_500, struck: true });
        assert!(judge(&evidence).holds());
    }

    #[test]
    fn what_a_crashed_broker_costs_is_counted() {
        let mut evidence = evidence();
        evidence.records.push(Record { offset: 3, timestamp: Some(9_000), ..evidence.records[2].clone() });
        let failure = Failure { solo: false, reason: Reason::LostTrack };
        evidence.said.failed_producers.push((Line { at: 8_000, place: 0 }, failure));
        evidence.happened.faults.push(Past { fault: Fault::CrashKafka, from: 3_000, to: 7_500, struck: true });
        let verdict = judge(&evidence);
        assert!(verdict.holds() && verdict.over_crashed_brokers == (1, 1), "{verdict:?}");
        // What something else explains too is not its cost.
        evidence.happened.kills.push(Line { at: 8_000, place: 0 });
        assert_eq!(judge(&evidence).over_crashed_brokers, (1, 0));
    }

    #[test]
    fn a_run_in_which_nothing_was_written_shows_nothing() {
        let mut evidence = evidence();
        evidence.claims.commits = vec![2, 1];
        assert!(judge(&evidence).holds());
        evidence.claims.commits[1] = 0;
        assert_eq!(judge(&evidence).complaints, ["writer 1 got 0 transactions committed in the whole run"]);
        let nothing = Evidence { ledger: Vec::new(), records: Vec::new(), claims: Claims::default(), ..evidence };
        assert_eq!(judge(&nothing).complaints.len(), 1);
    }

    /// Whichever records come again: without a cause each of them is found, and after a kill none is.
    #[test]
    fn repeats_of_random_histories_are_found_unless_something_caused_them() {
        for seed in 0..1_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut evidence = evidence();
            let end = 1_000 * evidence.records.len() as i64;
            let repeats = random.usize(1..4);
            for offset in 0..repeats {
                let (offset, at) = (evidence.records.len() as i64, end + 1_000 * (offset as i64 + 1));
                let record = random.choice(evidence.records.iter().take(3)).unwrap().clone();
                evidence.records.push(Record { offset, timestamp: Some(at), ..record });
            }
            let verdict = judge(&evidence);
            assert_eq!((verdict.unexplained.len(), verdict.holds()), (repeats, false), "seed {seed}");
            evidence.happened.kills.push(Line { at: end, place: 0 });
            assert!(judge(&evidence).holds(), "seed {seed}");
        }
    }

    /// The promise has no repeat after a graceful stop, a hand-over or a restart of the broker, and none after any fault
    /// on the way to it: however near such a repeat is, it has no cause.
    #[test]
    fn what_must_cost_no_repeat_is_no_cause() {
        let past = |fault| Past { fault, from: 5_000, to: 8_000, struck: true };
        let kafka = Link::Kafka(0);
        let innocent = [
            Fault::Roll { place: 0 },
            Fault::CrashKafka,
            Fault::Reset { link: kafka },
            Fault::BlackHole { link: kafka, length: Duration::from_secs(3) },
            Fault::Silence { link: kafka },
            Fault::DropProduceResponse { place: 0, nth: 1 },
            Fault::Reset { link: Link::Writers },
            Fault::StallWriter { length: Duration::from_secs(3) },
            Fault::MoveProcessorsClock { place: 0, ahead: 60 },
        ];
        for fault in innocent {
            let mut evidence = evidence();
            evidence.happened.faults.push(past(fault));
            // As a stop that left nothing open.
            evidence.happened.stops.push((5_000, 0));
            assert!(judge(&evidence).holds(), "{fault}");
            let again = Record { offset: 3, timestamp: Some(9_000), ..evidence.records[2].clone() };
            evidence.records.push(again);
            let verdict = judge(&evidence);
            assert!(!verdict.holds() && verdict.unexplained == [9_000], "{fault}");
            assert_eq!((verdict.repeats.len(), verdict.repeats_allowed), (1, 0), "{fault}");
        }
        // What it did leave open is one.
        let mut evidence = evidence();
        evidence.happened.stops.push((5_000, 1));
        evidence.records.push(Record { offset: 3, timestamp: Some(9_000), ..evidence.records[2].clone() });
        assert!(judge(&evidence).holds());
    }

    #[test]
    fn a_crash_of_the_database_may_repeat_what_was_published_right_before() {
        let mut evidence = evidence();
        evidence.happened.database_crashes.push((2_100, 2_100));
        let causes = repeats::causes(&evidence.happened, &evidence.said, &evidence.records);
        assert_eq!(causes, [Cause { time: 2_100..=32_100, published: 500..=3_100, at_most: 2 }]);
        // More, when its clock was moved long before.
        evidence.happened.database_crashes = vec![(4_000, 1_500)];
        let causes = repeats::causes(&evidence.happened, &evidence.said, &evidence.records);
        assert_eq!(causes, [Cause { time: 4_000..=34_000, published: -100..=5_000, at_most: 3 }]);
    }
}
