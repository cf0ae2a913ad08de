//! A run for people and for programs.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fault::KINDS;
use crate::figures::Figures;
use crate::judge::{Evidence, Verdict};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) database: String,
    pub(crate) seed: u64,
    pub(crate) minutes: f32,
    pub(crate) processors: usize,
    pub(crate) processors_started: u32,
    pub(crate) transactions: BTreeMap<String, u64>,
    /// Transactions that each writer knows to be committed.
    #[serde(default)]
    pub(crate) commits_of_writers: Vec<u64>,
    pub(crate) events: usize,
    pub(crate) records: usize,
    pub(crate) dead_letters: usize,
    /// Entries whose commit had no answer: committed, rolled back.
    pub(crate) unknown_commits: (usize, usize),
    pub(crate) faults: Vec<Line>,
    /// Processors that were asked to stop, and events that they left without an outcome within their deadline.
    pub(crate) stops: usize,
    pub(crate) abandoned: u64,
    pub(crate) lost_leases: usize,
    #[serde(default)]
    pub(crate) late_hand_overs: usize,
    pub(crate) failed_producers: usize,
    pub(crate) lost: usize,
    pub(crate) stuck: usize,
    pub(crate) phantoms: usize,
    pub(crate) wrong_claims: usize,
    pub(crate) corrupted: usize,
    pub(crate) on_a_second_partition: usize,
    pub(crate) out_of_order: usize,
    pub(crate) dead_without_reason: usize,
    pub(crate) repeats: usize,
    pub(crate) repeats_allowed: u64,
    /// When they came, in milliseconds since 1970.
    pub(crate) repeats_unexplained: Vec<i64>,
    /// Producers that lost track of Kafka after it had crashed, and repeats that nothing else explains.
    #[serde(default)]
    pub(crate) over_crashed_brokers: (usize, usize),
    /// How many events were pending when the writers had stopped.
    pub(crate) backlog: i64,
    pub(crate) drained_after_seconds: Option<f32>,
    pub(crate) drain_limit_seconds: f32,
    pub(crate) complaints: Vec<String>,
    pub(crate) every_promise_held: bool,
    pub(crate) figures: Figures,
    /// Figures that the run was to reach and did not.
    pub(crate) not_enough: Vec<String>,
    /// In the order of time.
    pub(crate) history: Vec<Event>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    fault: String,
    /// Milliseconds since 1970, as in the logs and in the topic.
    from: i64,
    to: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) fault: String,
    pub(crate) times: usize,
    /// Counted for the last fault before them that can cost any.
    pub(crate) repeats_after: usize,
}

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) database: &'static str,
    pub(crate) seed: u64,
    pub(crate) lasted: Duration,
    pub(crate) processors: usize,
    pub(crate) processors_started: u32,
    pub(crate) drain_limit: Duration,
    pub(crate) backlog: i64,
    pub(crate) figures: Figures,
    /// What was to be reached.
    pub(crate) least: Figures,
}

impl Report {
    pub(crate) fn new(setup: &Setup, evidence: &Evidence, verdict: &Verdict) -> Self {
        let times =
            |fault| evidence.happened.faults.iter().filter(|past| past.struck && past.fault.kind() == fault).count();
        let line = |fault: &'static str| Line {
            fault: fault.to_owned(),
            times: times(fault),
            repeats_after: verdict.repeats_after.get(fault).copied().unwrap_or_default(),
        };
        let findings = &verdict.findings;
        Self {
            database: setup.database.to_owned(),
            seed: setup.seed,
            minutes: setup.lasted.as_secs_f32() / 60.0,
            processors: setup.processors,
            processors_started: setup.processors_started,
            transactions: evidence
                .claims
                .transactions
                .iter()
                .map(|(ending, count)| ((*ending).to_owned(), *count))
                .collect(),
            commits_of_writers: evidence.claims.commits.clone(),
            events: evidence.ledger.len(),
            records: evidence.records.len(),
            dead_letters: evidence.dead.len(),
            unknown_commits: verdict.unknown,
            faults: KINDS.into_iter().chain(["no fault"]).map(line).collect(),
            stops: evidence.happened.stops.len(),
            abandoned: evidence.happened.stops.iter().map(|(_, abandoned)| abandoned).sum(),
            lost_leases: evidence.said.lost_leases.len(),
            late_hand_overs: evidence.said.late_hand_overs.len(),
            failed_producers: evidence.said.failed_producers.len(),
            lost: findings.lost.len(),
            stuck: verdict.stuck,
            phantoms: findings.phantom.len(),
            wrong_claims: verdict.wrong_claims,
            corrupted: findings.corrupted.len(),
            on_a_second_partition: findings.moved.len(),
            out_of_order: findings.misordered.len(),
            dead_without_reason: findings.dead.len(),
            repeats: verdict.repeats.len(),
            repeats_allowed: verdict.repeats_allowed,
            repeats_unexplained: verdict.unexplained.clone(),
            over_crashed_brokers: verdict.over_crashed_brokers,
            backlog: setup.backlog,
            drained_after_seconds: verdict.drained.map(|time| time.as_secs_f32()),
            drain_limit_seconds: setup.drain_limit.as_secs_f32(),
            complaints: verdict.complaints.clone(),
            every_promise_held: verdict.holds(),
            figures: setup.figures,
            not_enough: setup.figures.missing(setup.least),
            history: evidence
                .happened
                .faults
                .iter()
                .map(|past| Event { fault: past.fault.to_string(), from: past.from, to: past.to })
                .collect(),
        }
    }
}

impl Report {
    /// Whether every promise held, and enough happened to say so.
    pub(crate) fn holds(&self) -> bool {
        self.every_promise_held && self.not_enough.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}, seed {}, {:.1} min, {} processors at a time, {} in all",
            self.database, self.seed, self.minutes, self.processors, self.processors_started
        )?;
        let mut transactions = String::new();
        for (ending, count) in &self.transactions {
            write!(transactions, "{}{count} {ending}", if transactions.is_empty() { "" } else { ", " })?;
        }
        writeln!(f, "transactions: {transactions}")?;
        if let Some(least) = self.commits_of_writers.iter().min() {
            writeln!(f, "each writer got at least {least} of them committed")?;
        }
        writeln!(f, "events: {} committed, {} records, {} dead letters", self.events, self.records, self.dead_letters)?;
        let (there, not) = self.unknown_commits;
        writeln!(f, "of those whose commit had no answer {there} were committed and {not} rolled back")?;
        writeln!(f, "graceful stops: {}, with {} events left open at their deadline", self.stops, self.abandoned)?;
        let (lost, late, failed) = (self.lost_leases, self.late_hand_overs, self.failed_producers);
        writeln!(f, "leases lost: {lost}, late hand-overs: {late}, producers failed: {failed}")?;
        writeln!(f, "connections cut at COMMIT: {}", self.figures.commits)?;
        writeln!(f, "\n{:<24}{:>7}{:>15}", "fault", "times", "repeats after")?;
        for line in self.faults.iter().filter(|line| line.times + line.repeats_after > 0) {
            writeln!(f, "{:<24}{:>7}{:>15}", line.fault, line.times, line.repeats_after)?;
        }
        let (producers, repeats) = self.over_crashed_brokers;
        writeln!(f, "producers failed over a crash of Kafka: {producers}, with {repeats} repeats of theirs alone")?;
        let drained = self.drained_after_seconds.map_or("never".to_owned(), |time| format!("{time:.1} s"));
        writeln!(
            f,
            "\n{:<12}{} lost, {} stuck, {} dead without a reason",
            "no loss", self.lost, self.stuck, self.dead_without_reason
        )?;
        writeln!(
            f,
            "{:<12}{} phantoms, {} commits or rollbacks that were not",
            "no phantom", self.phantoms, self.wrong_claims
        )?;
        writeln!(
            f,
            "{:<12}{} corrupted, {} keys on a second partition",
            "integrity", self.corrupted, self.on_a_second_partition
        )?;
        writeln!(f, "{:<12}{} out of order", "order", self.out_of_order)?;
        writeln!(
            f,
            "{:<12}{} of at most {}, {} without a cause",
            "repeats",
            self.repeats,
            self.repeats_allowed,
            self.repeats_unexplained.len()
        )?;
        writeln!(
            f,
            "{:<12}{} events pending when the writers stopped, none {drained} after the last fault, of {:.0} s",
            "liveness", self.backlog, self.drain_limit_seconds
        )?;
        for complaint in &self.complaints {
            writeln!(f, "complaint: {complaint}")?;
        }
        for figure in &self.not_enough {
            writeln!(f, "not enough happened: {figure}")?;
        }
        let verdict = if self.every_promise_held { "every promise held" } else { "A PROMISE WAS BROKEN" };
        write!(f, "\n{verdict}")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::judge::judge;
    use crate::judge::tests::evidence;

    /// Of a run in which two processors were killed and nothing else happened.
    pub(crate) fn report() -> Report {
        let evidence = Evidence { drained: Some(Duration::from_millis(1_500)), ..evidence() };
        let setup = Setup {
            database: "postgres",
            seed: 1,
            lasted: Duration::from_secs(60),
            processors: 3,
            processors_started: 5,
            drain_limit: Duration::from_secs(30),
            backlog: 0,
            figures: Figures { kills: 2, ..Figures::default() },
            least: Figures::default(),
        };
        let mut report = Report::new(&setup, &evidence, &judge(&evidence));
        report.faults.iter_mut().filter(|line| line.fault == "kill a processor").for_each(|line| line.times = 2);
        report
    }

    #[test]
    fn a_run_in_which_too_little_happened_shows_nothing() {
        let mut report = report();
        assert!(report.holds());
        report.not_enough = report.figures.missing(Figures::CI);
        assert!(!report.holds() && report.every_promise_held);
        assert!(report.to_string().contains("2 of 10 kills"));
    }
}
