use std::fmt;

use crate::ledger::Findings;
use crate::nemesis::History;

/// Whether every promise was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What consumers saw, held against the ledger.
    pub findings: Findings,
    /// How many repeats what happened allows.
    pub repeats_allowed: usize,
    /// What went wrong besides: processes that ended by themselves, or badly.
    pub complaints: Vec<String>,
}

impl Verdict {
    /// Of a run whose processors have at most `window` events published and not settled, each: their
    /// [`window`](outbox_core::processor::ProcessorBuilder::window), 10,000 unless set.
    #[must_use]
    pub fn new(findings: Findings, history: &History, window: usize) -> Self {
        let repeats_allowed = window.saturating_mul(history.causes_of_repeats());
        Self { findings, repeats_allowed, complaints: history.complaints.clone() }
    }

    /// Whether nothing was lost, invented, changed, moved or out of order, nothing went wrong besides, and there were
    /// no more repeats than allowed.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.findings.are_clean() && self.findings.repeats <= self.repeats_allowed && self.complaints.is_empty()
    }
}

/// A table for people.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Findings { lost, phantom, corrupted, misordered, moved, dead, repeats } = &self.findings;
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
    use crate::nemesis::Past;

    fn history(repeats: bool) -> History {
        let past = Past { fault: "kill".to_owned(), can_repeat: repeats, from: 1, to: 2 };
        History { faults: vec![past], complaints: Vec::new() }
    }

    #[test]
    fn repeats_need_a_cause_and_have_a_bound() {
        let of = |repeats, cause| Verdict::new(Findings { repeats, ..Findings::default() }, &history(cause), 10);
        assert!(of(0, false).holds() && of(10, true).holds());
        assert!(!of(11, true).holds() && !of(1, false).holds());
        assert!(of(11, true).to_string().contains("11, of at most 10"));
    }

    #[test]
    fn findings_and_complaints_break_promises() {
        let phantom = vec![uuid::Uuid::nil()];
        assert!(!Verdict::new(Findings { phantom, ..Findings::default() }, &history(true), 10).holds());
        let history = History { complaints: vec!["it ended".to_owned()], ..history(true) };
        let verdict = Verdict::new(Findings::default(), &history, 10);
        assert!(!verdict.holds() && verdict.to_string().contains("it ended"));
    }
}
