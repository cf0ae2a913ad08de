//! What happened to a service.

use std::time::SystemTime;

/// What happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct History {
    /// In the order of their beginnings. What happened to nobody is not among them: a way without a connection was
    /// troubled, or nobody went into a trap.
    pub faults: Vec<Past>,
    /// What a service must never do: end by itself, or not stop when asked to. Also why a way was troubled for nothing:
    /// nobody ever came to its proxy, or clients go [past](crate::Proxy::bypassed) it.
    pub complaints: Vec<String>,
}

/// A fault that is over. Times are milliseconds since 1970, as in Kafka's records.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Past {
    /// In words.
    pub fault: String,
    /// How many windows of events may have been repeated because of it: one for each place whose process or leases it
    /// may have cost. [`Verdict::new`](crate::Verdict::new) says which these are.
    pub windows: usize,
    /// When it began.
    pub from: i64,
    /// When it was healed.
    pub to: i64,
}

impl History {
    /// How many windows of events may have been repeated because of all of it.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.faults.iter().fold(0, |sum, past| sum.saturating_add(past.windows))
    }

    /// Adds what you know and the nemesis does not: that a producer failed for good, say, by the log of the service. It
    /// may have cost so many windows of repeats, one for each place.
    pub fn add(&mut self, fault: impl Into<String>, windows: usize) {
        let at = now();
        self.faults.push(Past { fault: fault.into(), windows, from: at, to: at });
    }
}

pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
