//! What the levels of a transaction share: the staged events, and what has gone wrong.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use outbox_core::Envelope;
use outbox_core::event::{EventId, TakenEvent};

use crate::error::{Breach, OutboxError};
use crate::sync::lock;

/// A staged event. Dropped before it is committed, it goes back to the aggregate it came from.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) taken: Option<TakenEvent>,
}

/// The log itself, to be asked and told things by those who have no level.
#[derive(Debug, Clone)]
pub(crate) struct Log(Arc<Mutex<Entries>>);

#[derive(Debug)]
pub(super) struct Entries {
    pub(super) events: Vec<Staged>,
    pub(super) ids: HashSet<EventId>,
    /// How many of the events, from the first on, are in the table already.
    pub(super) flushed: usize,
    pub(super) marks: Vec<Mark>,
    pub(super) breach: Option<Breach>,
    /// The outermost level in which a statement failed, or was cancelled, since it was last seen to be well.
    pub(super) doubt: Option<usize>,
    /// Whether rolling back to a savepoint undoes a failure inside it (PostgreSQL).
    pub(super) heals: bool,
    pub(super) strict: bool,
}

/// What the log held when a level was opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) events: usize,
    pub(super) flushed: usize,
}

impl Log {
    /// Of a transaction that has just begun.
    pub(super) fn new(strict: bool, heals: bool) -> Self {
        Self(Arc::new(Mutex::new(Entries {
            events: Vec::new(),
            ids: HashSet::new(),
            flushed: 0,
            marks: vec![Mark { events: 0, flushed: 0 }],
            breach: None,
            doubt: None,
            heals,
            strict,
        })))
    }

    /// What is staged and not in the table yet.
    pub(crate) fn unflushed(&self) -> Vec<Arc<Envelope>> {
        let log = self.lock();
        log.events[log.flushed..].iter().map(|event| Arc::clone(&event.envelope)).collect()
    }

    /// The next `count` events are in the table now, as long as the innermost level, or the one it is released into,
    /// lives.
    pub(crate) fn flushed(&self, count: usize) {
        let mut log = self.lock();
        log.flushed = (log.flushed + count).min(log.events.len());
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.lock().strict
    }

    /// A statement of the level `depth` failed or was cancelled: what it did to the transaction is not known.
    pub(crate) fn doubt(&self, depth: usize) {
        let mut log = self.lock();
        log.doubt = Some(log.doubt.map_or(depth, |outermost| outermost.min(depth)));
    }

    pub(crate) fn break_off(&self, breach: Breach) {
        self.lock().breach.get_or_insert(breach);
    }

    pub(crate) fn breach(&self) -> Option<Breach> {
        self.lock().breach
    }

    pub(crate) fn is_in_doubt(&self) -> bool {
        self.lock().doubt.is_some()
    }

    pub(crate) fn trust(&self) {
        self.lock().doubt = None;
    }

    /// Never held across an `.await`, nor while an event is dropped.
    pub(super) fn lock(&self) -> MutexGuard<'_, Entries> {
        lock(&self.0)
    }
}

impl Entries {
    pub(super) fn check(&self, depth: usize) -> Result<(), OutboxError> {
        match self.breach {
            Some(breach) => Err(OutboxError::Broken { breach }),
            None if self.marks.len() != depth => Err(OutboxError::NotInnermost),
            None => Ok(()),
        }
    }

    pub(super) fn truncate(&mut self, events: usize) -> Vec<Staged> {
        let removed = self.events.split_off(events.min(self.events.len()));
        for event in &removed {
            self.ids.remove(&event.envelope.id);
        }
        removed
    }
}
