//! Staging: everything about events that needs no database.

use std::sync::Arc;

use outbox_core::event::TakenEvent;
use outbox_core::{AggregateRoot, EventId, EventOptions, OutboxEvent};

use super::OutboxTransaction;
use super::level::Staged;
use crate::error::StageError;

impl OutboxTransaction {
    /// Stages an event: it is encoded at once, and written when the transaction commits.
    ///
    /// # Errors
    ///
    /// What is wrong with the event ([`StageError`]); nothing was staged, and the transaction is unharmed.
    pub fn stage_event(&self, event: &(impl OutboxEvent + ?Sized)) -> Result<EventId, StageError> {
        self.stage_event_with(event, |options| options)
    }

    /// Stages an event with headers, another key or topic, a delay or an id of its own.
    ///
    /// # Errors
    ///
    /// As [`stage_event`](Self::stage_event).
    pub fn stage_event_with(
        &self,
        event: &(impl OutboxEvent + ?Sized),
        options: impl FnOnce(EventOptions) -> EventOptions,
    ) -> Result<EventId, StageError> {
        let staged = self.encode(event, options(EventOptions::new()))?;
        let id = staged.envelope.id;
        self.put(vec![staged])?;
        Ok(id)
    }

    /// Stages several events, all or none of them.
    ///
    /// # Errors
    ///
    /// As [`stage_event`](Self::stage_event), for the first event with a mistake.
    pub fn stage_all<E: OutboxEvent>(&self, events: impl IntoIterator<Item = E>) -> Result<Vec<EventId>, StageError> {
        let encode = |event: E| self.encode(&event, EventOptions::new());
        let staged = events.into_iter().map(encode).collect::<Result<Vec<_>, _>>()?;
        let ids = staged.iter().map(|staged| staged.envelope.id).collect();
        self.put(staged)?;
        Ok(ids)
    }

    /// Stages what an aggregate has recorded, all or nothing, with the ids it was recorded with.
    ///
    /// The events leave the aggregate, and come back to it when the transaction, or the savepoint through which they
    /// were staged, does not commit. They also come back when the outcome of the commit is unknown: staged again,
    /// they have the same ids.
    ///
    /// # Errors
    ///
    /// As [`stage_event`](Self::stage_event); the aggregate then still has all its events.
    pub fn stage_events_of(&self, aggregate: &mut (impl AggregateRoot + ?Sized)) -> Result<Vec<EventId>, StageError> {
        let encode = |taken: TakenEvent| {
            let envelope = self.outbox.encode(taken.event(), EventOptions::new().id(taken.id()))?;
            Ok::<_, StageError>(Staged { envelope: Arc::new(envelope), taken: Some(taken) })
        };
        let taken = aggregate.pending_events().take();
        let staged = taken.into_iter().map(encode).collect::<Result<Vec<_>, _>>()?;
        let ids = staged.iter().map(|staged| staged.envelope.id).collect();
        self.put(staged)?;
        Ok(ids)
    }

    /// The ids of the events that would be committed now, in order: those of this transaction and of everything
    /// around it.
    #[must_use]
    pub fn staged(&self) -> Vec<EventId> {
        self.session.open().map(|open| open.level.ids()).unwrap_or_default()
    }

    /// Makes the commit wait until other `strict` transactions with events of the same order keys have ended, so
    /// that events are delivered in the order of their commits even where writers lock nothing else.
    ///
    /// Holds for the whole transaction. The locks are taken right before COMMIT, sorted, and end with it.
    pub fn strict(&self) {
        if let Ok(open) = self.session.open() {
            open.level.set_strict();
        }
    }

    fn encode(&self, event: &(impl OutboxEvent + ?Sized), options: EventOptions) -> Result<Staged, StageError> {
        Ok(Staged { envelope: Arc::new(self.outbox.encode(event, options)?), taken: None })
    }

    fn put(&self, staged: Vec<Staged>) -> Result<(), StageError> {
        let closed = |_| outbox_core::StageError::Closed { reason: "the transaction is closed" };
        let open = self.session.open().map_err(closed)?;
        Ok(open.level.stage(staged, &self.outbox.config.limits)?)
    }
}
