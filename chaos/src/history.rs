//! What happened, as far as the suite did it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::fault::Fault;
use crate::figures::Figures;

/// Written while faults happen, read at the end.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Happened>);

/// Times are milliseconds since 1970, as in Kafka's records.
#[derive(Debug, Clone, Default)]
pub(crate) struct Happened {
    pub(crate) faults: Vec<Past>,
    pub(crate) kills: Vec<i64>,
    /// Of a database that may lose the last settles, each with the time since which its clock may have kept it from
    /// writing them.
    pub(crate) database_crashes: Vec<(i64, i64)>,
    /// When the database's clock was moved.
    clock_moved: Option<i64>,
    /// Since when a processor was stopping, and how many events it left without an outcome.
    pub(crate) stops: Vec<(i64, u64)>,
    /// What must never happen, in words.
    pub(crate) complaints: Vec<String>,
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

    pub(crate) fn killed(&self) {
        self.write().kills.push(now());
    }

    pub(crate) fn database_crashes(&self) {
        let mut happened = self.write();
        let since = happened.clock_moved.take().unwrap_or_else(now);
        happened.database_crashes.push((now(), since));
    }

    /// PostgreSQL's background writer goes by the clock: one that went back keeps it from writing, until it is started
    /// anew.
    pub(crate) fn clock_moved(&self) {
        self.write().clock_moved.get_or_insert_with(now);
    }

    pub(crate) fn stopped(&self, asked: SystemTime, abandoned: u64) {
        self.write().stops.push((millis(asked), abandoned));
    }

    pub(crate) fn complain(&self, complaint: String) {
        self.write().complaints.push(complaint);
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

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
