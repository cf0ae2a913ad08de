use std::fmt;

use crate::history::History;
use crate::ledger::Findings;

/// Whether every promise was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// What consumers saw, held against the ledger.
    pub findings: Findings,
    /// How many repeats what happened allows.
    pub repeats_allowed: usize,
    /// What went wrong besides: processes that ended by themselves, or badly, and runs that show nothing.
    pub complaints: Vec<String>,
}

impl Verdict {
    /// Of a run whose processors have at most `window` events published and not settled, those of one place together:
    /// their [`window`](outbox_core::processor::ProcessorBuilder::window), 10,000 each unless set.
    ///
    /// A run in which nothing was committed, no record of it was seen, or no fault touched anybody shows nothing, which
    /// is a complaint.
    ///
    /// # How many repeats are allowed
    ///
    /// As many as fill these windows; a window each time that a place may have lost its process or its leases:
    ///
    /// | for each | windows |
    /// |---|---|
    /// | process that was killed or paused, or had ended by itself before | 1 |
    /// | process that was replaced and stopped [gracefully](crate::Stopped::Gracefully) | 0 |
    /// | process that was replaced and did not: too late, badly, or [at once](crate::Stopped::Abruptly) | 1 |
    /// | trouble on a [way](crate::Nemesis::way_of) to a database | 1 for each place that takes it, at most 1 for each connection that was touched |
    /// | trouble on a way to Kafka, or to another broker | 0 |
    /// | fault of your own | 1 for each place that it may strike ([`fault_of`](crate::Nemesis::fault_of)) |
    ///
    /// It bounds the sum of all repeats: which one came after what is not looked at. Nor can it know what costs repeats
    /// too, and only the service's own log tells, so [add](History::add) that if you allow it: a producer that failed
    /// for good, after lost answers or an event that the broker refuses; a lease that a process lost because another
    /// one stood still with locks that it needed; a process that ends with success although its stop left events open
    /// ([`Report::abandoned`](outbox_core::processor::Report::abandoned)); and what PostgreSQL forgets in a crash, the
    /// settles of the last moments.
    #[must_use]
    pub fn new(findings: Findings, history: &History, window: usize) -> Self {
        let mut complaints = history.complaints.clone();
        if findings.entries == 0 {
            complaints.push("nothing was committed to the ledger, so nothing was shown".to_owned());
        } else if findings.records == 0 {
            complaints.push("no record of an entry was seen, so nothing was shown".to_owned());
        }
        if history.faults.is_empty() {
            complaints.push("no fault touched anybody, so nothing was shown: let more time pass".to_owned());
        }
        Self { findings, repeats_allowed: window.saturating_mul(history.windows()), complaints }
    }

    /// Whether nothing was lost, invented, changed, moved or out of order, nothing went wrong besides, something
    /// happened, and there were no more repeats than [allowed](Self::new).
    #[must_use]
    pub fn holds(&self) -> bool {
        self.findings.are_clean() && self.findings.repeats <= self.repeats_allowed && self.complaints.is_empty()
    }
}

/// A table for people.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Findings { lost, phantom, corrupted, misordered, moved, dead, repeats, foreign, entries, records } =
            &self.findings;
        writeln!(f, "committed       {entries}")?;
        writeln!(f, "seen            {records}")?;
        writeln!(f, "of others       {foreign}")?;
        writeln!(f, "lost            {}", lost.len())?;
        writeln!(f, "invented        {}", phantom.len())?;
        writeln!(f, "changed         {}", corrupted.len())?;
        writeln!(f, "out of order    {}", misordered.len())?;
        writeln!(f, "moved           {}", moved.len())?;
        writeln!(f, "wrongly dead    {}", dead.len())?;
        writeln!(f, "repeats         {repeats}, of at most {}", self.repeats_allowed)?;
        for complaint in &self.complaints {
            writeln!(f, "complaint       {complaint}")?;
        }
        write!(f, "{}", if self.holds() { "every promise was kept" } else { "A PROMISE WAS BROKEN" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(windows: usize) -> History {
        let mut history = History::default();
        history.add("kill", windows);
        history
    }

    /// Of a run in which something happened.
    fn findings() -> Findings {
        Findings { entries: 20, records: 20, ..Findings::default() }
    }

    #[test]
    fn repeats_need_a_cause_and_have_a_bound() {
        let of = |repeats, windows| Verdict::new(Findings { repeats, ..findings() }, &history(windows), 10);
        assert!(of(0, 0).holds() && of(10, 1).holds() && of(20, 2).holds());
        assert!(!of(1, 0).holds() && !of(11, 1).holds() && !of(21, 2).holds());
        assert!(of(11, 1).to_string().contains("11, of at most 10"));
    }

    #[test]
    fn causes_add_up_and_never_overflow() {
        let mut history = history(2);
        history.add("another", 3);
        assert_eq!(Verdict::new(findings(), &history, 10).repeats_allowed, 50);
        history.add("a mistake", usize::MAX);
        assert_eq!(Verdict::new(findings(), &history, 10).repeats_allowed, usize::MAX);
    }

    #[test]
    fn findings_and_complaints_break_promises() {
        let phantom = vec![uuid::Uuid::nil()];
        assert!(!Verdict::new(Findings { phantom, ..findings() }, &history(1), 10).holds());
        let history = History { complaints: vec!["it ended".to_owned()], ..history(1) };
        let verdict = Verdict::new(findings(), &history, 10);
        assert!(!verdict.holds() && verdict.to_string().contains("it ended"));
    }

    #[test]
    fn a_run_in_which_nothing_happened_shows_nothing() {
        let of = |findings, history: &History| {
            let verdict = Verdict::new(findings, history, 10);
            assert_eq!(verdict.holds(), verdict.complaints.is_empty(), "{verdict}");
            verdict.complaints
        };
        assert_eq!(of(findings(), &history(1)), [] as [&str; 0]);
        let only = |complaints: Vec<String>, reason: &str| {
            assert!(complaints.len() == 1 && complaints[0].starts_with(reason), "{complaints:?}");
        };
        only(of(findings(), &History::default()), "no fault touched anybody");
        only(of(Findings { records: 0, ..findings() }, &history(1)), "no record of an entry was seen");
        only(of(Findings::default(), &history(1)), "nothing was committed");
        assert_eq!(of(Findings::default(), &History::default()).len(), 2);
    }
}
