//! What happened, as far as the suite did it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::fault::Fault;
use crate::figures::Figures;
use crate::logs::Line;

/// Written while faults happen, read at the end.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Happened>);

/// Times are milliseconds since 1970, as in Kafka's records.
#[derive(Debug, Clone, Default)]
pub(crate) struct Happened {
    pub(crate) faults: Vec<Past>,
    pub(crate) kills: Vec<Line>,
    /// Of a database that may lose the last settles, each with the time since which its clock may have kept it from
    /// writing them.
    pub(crate) database_crashes: Vec<(i64, i64)>,
    /// By how many seconds the database's clock is before the real time.
    pub(crate) ahead: i64,
    /// When the database's clock first went back, since its server was started.
    pub(crate) went_back: Option<i64>,
    /// Since when a processor was stopping, and how many events it left without an outcome.
    pub(crate) stops: Vec<(i64, u64)>,
    /// Errors that nothing but a crash of the database excuses.
    pub(crate) setbacks: Vec<Setback>,
    /// What must never happen, in words, each once.
    pub(crate) complaints: Vec<String>,
}

/// Something of the suite's own that failed, and from when to when it was under way.
#[derive(Debug, Clone)]
pub(crate) struct Setback {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) what: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Past {
    pub(crate) fault: Fault,
    pub(crate) from: i64,
    pub(crate) to: i64,
    /// Whether it happened to anybody. A trap may have found nobody.
    pub(crate) struck: bool,
}

impl Happened {
    /// How much has happened to whom, without what is counted elsewhere.
    pub(crate) fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        self.faults.iter().filter(|past| past.struck).for_each(|past| figures.count(past.fault));
        figures
    }
}

impl History {
    pub(crate) fn fault(&self, fault: Fault, from: i64, struck: bool) {
        self.write().faults.push(Past { fault, from, to: now(), struck });
    }

    pub(crate) fn killed(&self, place: usize) {
        self.write().kills.push(Line { at: now(), place });
    }

    pub(crate) fn database_crashes(&self) {
        let mut happened = self.write();
        let since = happened.went_back.take().unwrap_or_else(now);
        happened.database_crashes.push((now(), since));
    }

    /// The database's clock is so many seconds before the real time from now on. PostgreSQL's background writer goes by
    /// the clock: one that went back keeps it from writing, until it is started anew.
    pub(crate) fn clock_moved(&self, ahead: i64) {
        let mut happened = self.write();
        if ahead < happened.ahead {
            happened.went_back.get_or_insert_with(now);
        }
        happened.ahead = ahead;
    }

    pub(crate) fn stopped(&self, asked: SystemTime, abandoned: u64) {
        self.write().stops.push((millis(asked), abandoned));
    }

    pub(crate) fn complain(&self, complaint: String) {
        let mut happened = self.write();
        if !happened.complaints.contains(&complaint) {
            happened.complaints.push(complaint);
        }
    }

    /// Something failed that had begun `length` ago.
    pub(crate) fn setback(&self, length: Duration, what: String) {
        let to = now();
        let from = to.saturating_sub(i64::try_from(length.as_millis()).unwrap_or(i64::MAX));
        self.write().setbacks.push(Setback { from, to, what });
    }

    pub(crate) fn figures(&self) -> Figures {
        self.write().figures()
    }

    pub(crate) fn read(&self) -> Happened {
        let mut happened = self.write().clone();
        happened.faults.sort_by_key(|past| past.from);
        happened
    }

    fn write(&self) -> MutexGuard<'_, Happened> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn now() -> i64 {
    millis(SystemTime::now())
}

pub(crate) fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn went_back(moves: &[i64]) -> bool {
        let history = History::default();
        moves.iter().for_each(|ahead| history.clock_moved(*ahead));
        let went_back = history.read().went_back.is_some();
        history.database_crashes();
        assert!(history.read().went_back.is_none(), "a server that was started anew writes again");
        went_back
    }

    #[test]
    fn a_clock_that_goes_back_holds_up_the_background_writer_and_no_other() {
        for moves in [&[][..], &[0], &[100], &[100, 200], &[100, 100], &[100, 3_600]] {
            assert!(!went_back(moves), "{moves:?}");
        }
        for moves in [&[-1][..], &[100, 99], &[100, 0], &[-100, 100, 50], &[-1, 100]] {
            assert!(went_back(moves), "{moves:?}");
        }
    }
}
