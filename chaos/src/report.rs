//! A run for people and for programs.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use serde::Serialize;

use crate::fault::KINDS;
use crate::judge::{Evidence, Verdict};

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    database: String,
    seed: u64,
    minutes: f32,
    processors: usize,
    processors_started: u32,
    transactions: BTreeMap<&'static str, u64>,
    events: usize,
    records: usize,
    dead_letters: usize,
    /// Entries whose commit had no answer: committed, rolled back.
    unknown_commits: (usize, usize),
    faults: Vec<Line>,
    lost_leases: usize,
    failed_producers: usize,
    lost: usize,
    stuck: usize,
    phantoms: usize,
    wrong_claims: usize,
    corrupted: usize,
    on_a_second_partition: usize,
    out_of_order: usize,
    dead_without_reason: usize,
    repeats: usize,
    repeats_allowed: u64,
    repeats_unexplained: usize,
    drained_after_seconds: Option<f32>,
    drain_limit_seconds: f32,
    complaints: Vec<String>,
    every_promise_held: bool,
    /// In the order of time.
    history: Vec<Event>,
}

#[derive(Debug, Serialize)]
struct Event {
    fault: String,
    /// Milliseconds since 1970, as in the logs and in the topic.
    from: i64,
    to: i64,
}

#[derive(Debug, Serialize)]
struct Line {
    fault: &'static str,
    times: usize,
    /// Counted for the last fault before them that can cost any.
    repeats_after: usize,
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
}

impl Report {
    pub(crate) fn new(setup: &Setup, evidence: &Evidence, verdict: &Verdict) -> Self {
        let line = |fault| Line {
            fault,
            times: evidence.happened.faults.iter().filter(|past| past.fault.kind() == fault).count(),
            repeats_after: verdict.repeats_after.get(fault).copied().unwrap_or_default(),
        };
        let findings = &verdict.findings;
        Self {
            database: setup.database.to_owned(),
            seed: setup.seed,
            minutes: setup.lasted.as_secs_f32() / 60.0,
            processors: setup.processors,
            processors_started: setup.processors_started,
            transactions: evidence.claims.transactions.clone(),
            events: evidence.ledger.len(),
            records: evidence.records.len(),
            dead_letters: evidence.dead.len(),
            unknown_commits: verdict.unknown,
            faults: KINDS.into_iter().chain(["no fault"]).map(line).collect(),
            lost_leases: evidence.said.lost_leases.len(),
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
            repeats_unexplained: verdict.unexplained,
            drained_after_seconds: verdict.drained.map(|time| time.as_secs_f32()),
            drain_limit_seconds: setup.drain_limit.as_secs_f32(),
            complaints: verdict.complaints.clone(),
            every_promise_held: verdict.holds(),
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
    pub(crate) fn holds(&self) -> bool {
        self.every_promise_held
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
        writeln!(f, "events: {} committed, {} records, {} dead letters", self.events, self.records, self.dead_letters)?;
        let (there, not) = self.unknown_commits;
        writeln!(f, "of those whose commit had no answer {there} were committed and {not} rolled back")?;
        writeln!(f, "leases lost: {}, producers failed: {}", self.lost_leases, self.failed_producers)?;
        writeln!(f, "\n{:<24}{:>7}{:>15}", "fault", "times", "repeats after")?;
        for line in self.faults.iter().filter(|line| line.times + line.repeats_after > 0) {
            writeln!(f, "{:<24}{:>7}{:>15}", line.fault, line.times, line.repeats_after)?;
        }
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
            "repeats", self.repeats, self.repeats_allowed, self.repeats_unexplained
        )?;
        writeln!(f, "{:<12}drained {drained} after the last fault, of {:.0} s", "liveness", self.drain_limit_seconds)?;
        for complaint in &self.complaints {
            writeln!(f, "complaint: {complaint}")?;
        }
        let verdict = if self.every_promise_held { "every promise held" } else { "A PROMISE WAS BROKEN" };
        write!(f, "\n{verdict}")
    }
}
