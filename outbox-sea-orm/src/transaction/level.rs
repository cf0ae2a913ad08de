//! Transactions and savepoints: each is a level, with a mark in the one log of staged events.

use std::collections::HashSet;
use std::sync::{Arc, MutexGuard};

use outbox_core::event::{StageError, TakenEvent};
use outbox_core::{Envelope, Limits};

use super::log::{Entries, Log, Mark, Staged};
use crate::error::{Breach, OutboxError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reserved,
    Open,
    Closed,
}

/// One `BEGIN` or `SAVEPOINT`. Dropping an open level forgets what was staged since it was opened, as its rollback
/// forgets the rows.
#[derive(Debug)]
pub(crate) struct Level {
    log: Log,
    depth: usize,
    state: State,
}

impl Level {
    pub(crate) fn root(strict: bool, heals: bool) -> Self {
        Self { log: Log::new(strict, heals), depth: 1, state: State::Open }
    }

    /// Claims the next level before `SAVEPOINT` is sent. Dropped as it is, it breaks the transaction: after a
    /// `SAVEPOINT` that failed or was cancelled the driver is one level off.
    pub(crate) fn reserve(log: &Log, depth: usize) -> Result<Self, OutboxError> {
        let mut entries = log.lock();
        entries.check(depth)?;
        let mark = Mark { events: entries.events.len(), flushed: entries.flushed };
        entries.marks.push(mark);
        Ok(Self { log: log.clone(), depth: depth + 1, state: State::Reserved })
    }

    /// The savepoint exists.
    pub(crate) fn activate(mut self) -> Self {
        self.state = State::Open;
        self
    }

    pub(crate) fn is_root(&self) -> bool {
        self.depth == 1
    }

    /// 1 for a transaction, 2 for a savepoint in it, and so on.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    pub(crate) fn ensure_innermost(&self) -> Result<(), OutboxError> {
        self.lock().check(self.depth)
    }

    /// Adds all events or none.
    pub(crate) fn stage(&self, events: Vec<Staged>, limits: &Limits) -> Result<(), StageError> {
        let mut log = self.lock();
        log.check(self.depth).map_err(|error| StageError::Closed {
            reason: match error {
                OutboxError::NotInnermost => {
                    "a savepoint inside this transaction is still open: stage through it, or close it first"
                }
                _ => "the transaction is broken and cannot be committed any more",
            },
        })?;
        let limit = limits.events_per_transaction;
        if log.events.len() + events.len() > limit {
            return Err(StageError::TooManyEvents { limit });
        }
        let mut new = HashSet::with_capacity(events.len());
        for event in &events {
            let id = event.envelope.id;
            if log.ids.contains(&id) || !new.insert(id) {
                return Err(StageError::DuplicateId { id });
            }
        }
        log.ids.extend(new);
        log.events.extend(events);
        Ok(())
    }

    pub(crate) fn staged(&self) -> Vec<Arc<Envelope>> {
        self.lock().events.iter().map(|event| Arc::clone(&event.envelope)).collect()
    }

    pub(crate) fn set_strict(&self) {
        self.lock().strict = true;
    }

    /// See [`Log::doubt`].
    pub(crate) fn doubt(&self) {
        self.log.doubt(self.depth);
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Released: the events now belong to the level below. Committed: they are done with. Says how many there were.
    pub(crate) fn keep(mut self) -> usize {
        self.state = State::Closed;
        let committed = {
            let mut log = self.lock();
            log.marks.pop();
            if self.depth == 1 { std::mem::take(&mut log.events) } else { Vec::new() }
        };
        let count = committed.len();
        committed.into_iter().filter_map(|event| event.taken).for_each(TakenEvent::settle);
        count
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.log.lock()
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        let mut log = self.lock();
        match self.state {
            State::Closed => return,
            State::Reserved => {
                log.breach.get_or_insert(Breach::SavepointLost);
            }
            State::Open if log.marks.len() != self.depth => {
                log.breach.get_or_insert(Breach::ClosedOutOfOrder);
            }
            State::Open => {}
        }
        // Later levels go with this one; an earlier one that is gone has taken this one along.
        let removed = if log.marks.len() >= self.depth {
            let mark = log.marks[self.depth - 1];
            log.marks.truncate(self.depth - 1);
            log.flushed = mark.flushed;
            log.truncate(mark.events)
        } else {
            Vec::new()
        };
        if log.heals && log.doubt.is_some_and(|depth| depth >= self.depth) {
            log.doubt = None;
        }
        drop(log);
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use outbox_core::{Encoded, EventId, EventOptions, Headers, OutboxEvent};

    use super::*;

    struct Happened;

    impl OutboxEvent for Happened {
        fn aggregate_type(&self) -> Cow<'_, str> {
            "thing".into()
        }
        fn aggregate_id(&self) -> Option<Cow<'_, str>> {
            Some("1".into())
        }
        fn event_type(&self) -> Cow<'_, str> {
            "thing.happened".into()
        }
        fn topic(&self) -> Cow<'_, str> {
            "things".into()
        }
        fn partition_key(&self) -> Option<Cow<'_, str>> {
            None
        }
        fn encode(&self) -> Result<Encoded, Box<dyn std::error::Error + Send + Sync>> {
            Ok(Encoded::tombstone())
        }
    }

    fn stage(level: &Level) -> Result<EventId, StageError> {
        let limits = Limits::default();
        let envelope = Envelope::encode(&Happened, EventOptions::new(), Headers::new(), &limits)?;
        let id = envelope.id;
        level.stage(vec![Staged { envelope: Arc::new(envelope), taken: None }], &limits)?;
        Ok(id)
    }

    fn root() -> Level {
        Level::root(false, true)
    }

    fn inside(level: &Level) -> Level {
        Level::reserve(&level.log, level.depth).unwrap().activate()
    }

    #[test]
    fn a_released_level_leaves_its_events_and_a_dropped_one_takes_them() {
        let root = root();
        let a = stage(&root).unwrap();
        let inner = inside(&root);
        let b = stage(&inner).unwrap();
        assert_eq!(inner.keep(), 0);
        let inner = inside(&root);
        stage(&inner).unwrap();
        drop(inner);
        let c = stage(&root).unwrap();
        let ids: Vec<_> = root.staged().iter().map(|envelope| envelope.id).collect();
        assert_eq!(ids, [a, b, c]);
        assert_eq!(root.keep(), 3);
    }

    #[test]
    fn only_the_innermost_level_may_do_anything() {
        let root = root();
        let inner = inside(&root);
        assert!(matches!(root.ensure_innermost(), Err(OutboxError::NotInnermost)));
        assert!(matches!(Level::reserve(&root.log, 1), Err(OutboxError::NotInnermost)));
        assert!(matches!(stage(&root), Err(StageError::Closed { .. })));
        drop(inner);
        root.ensure_innermost().unwrap();
    }

    #[test]
    fn closing_out_of_order_breaks_the_rest() {
        let root = root();
        let (outer, log) = (inside(&root), root.log().clone());
        let inner = inside(&outer);
        drop(outer);
        for level in [&inner, &root] {
            assert!(matches!(level.ensure_innermost(), Err(OutboxError::Broken { .. })));
            assert!(matches!(stage(level), Err(StageError::Closed { .. })));
        }
        drop((inner, root));
        assert_eq!(log.breach(), Some(Breach::ClosedOutOfOrder));
    }

    #[test]
    fn a_savepoint_that_never_opened_breaks_the_transaction() {
        let root = root();
        drop(Level::reserve(&root.log, 1).unwrap());
        assert!(matches!(root.ensure_innermost(), Err(OutboxError::Broken { breach: Breach::SavepointLost })));
    }

    #[test]
    fn what_a_savepoint_wrote_is_unwritten_when_it_rolls_back() {
        let root = root();
        stage(&root).unwrap();
        root.log.flushed(1);
        stage(&root).unwrap();
        let inner = inside(&root);
        stage(&inner).unwrap();
        assert_eq!(inner.log.unflushed().len(), 2);
        inner.log.flushed(2);
        assert!(inner.log.unflushed().is_empty());
        drop(inner);
        assert_eq!(root.log.unflushed().len(), 1);
        let inner = inside(&root);
        inner.log.flushed(1);
        inner.keep();
        assert!(root.log.unflushed().is_empty());
    }

    #[test]
    fn an_id_is_free_again_after_a_rollback() {
        let (root, limits) = (root(), Limits::default());
        let envelope = Envelope::encode(&Happened, EventOptions::new(), Headers::new(), &limits).unwrap();
        let staged = || vec![Staged { envelope: Arc::new(envelope.clone()), taken: None }];
        let inner = inside(&root);
        inner.stage(staged(), &limits).unwrap();
        assert!(matches!(inner.stage(staged(), &limits), Err(StageError::DuplicateId { .. })));
        drop(inner);
        root.stage(staged(), &limits).unwrap();
        let twice = staged().into_iter().chain(staged()).collect();
        assert!(matches!(inside(&root).stage(twice, &limits), Err(StageError::DuplicateId { .. })));
    }

    #[test]
    fn rolling_back_heals_what_failed_inside_and_nothing_else() {
        for heals in [true, false] {
            let root = Level::root(false, heals);
            let inner = inside(&root);
            inner.doubt();
            drop(inner);
            assert_eq!(root.log().is_in_doubt(), !heals);
            root.doubt();
            drop(inside(&root));
            assert!(root.log().is_in_doubt());
        }
    }
}
