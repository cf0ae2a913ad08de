//! Staging: everything about events that needs no database.

use std::sync::Arc;

use outbox_core::event::{HasStaged, TakenEvent};
use outbox_core::{AggregateRoot, Envelope, EventId, EventOptions, OutboxEvent};

use super::OutboxTransaction;
use super::log::Staged;
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

    /// The events that would be committed now, in the order of staging: those of this transaction or savepoint and of
    /// everything around it.
    ///
    /// For tests there is `assert_staged!`, with the feature `testing`, which takes an open
    /// transaction and typed events. It needs no database:
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use outbox_sea_orm::testing::assert_staged;
    /// use outbox_sea_orm::{Outbox, OutboxEvent, OutboxTransaction};
    /// use sea_orm::{DatabaseBackend, DbErr, MockDatabase};
    ///
    /// #[derive(serde::Serialize, OutboxEvent)]
    /// #[outbox(aggregate = "order", topic = "orders", aggregate_id = "order_id")]
    /// struct OrderPlaced {
    ///     order_id: u64,
    /// }
    ///
    /// async fn place(txn: &OutboxTransaction, order_id: u64) -> Result<(), DbErr> {
    ///     txn.stage_event(&OrderPlaced { order_id })?;
    ///     Ok(())
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let mock = MockDatabase::new(DatabaseBackend::Postgres).into_connection();
    /// let txn = Outbox::new(mock).begin().await?;
    /// place(&txn, 7).await?;
    /// assert_staged!(txn, [OrderPlaced { order_id: 7 }]);
    /// # Ok::<(), DbErr>(())
    /// # }).unwrap();
    /// # }
    /// ```
    #[must_use]
    pub fn staged(&self) -> Vec<Arc<Envelope>> {
        self.session.open().map(|open| open.level.staged()).unwrap_or_default()
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

    /// Stages what was encoded without knowing that it comes here.
    pub(super) fn stage_recorded(&self, event: Envelope) -> Result<EventId, StageError> {
        let envelope = Arc::new(self.outbox.adopt(event)?);
        let id = envelope.id;
        self.put(vec![Staged { envelope, taken: None }])?;
        Ok(id)
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

impl HasStaged for OutboxTransaction {
    fn staged_envelopes(&self) -> Vec<Envelope> {
        self.staged().iter().map(|envelope| (**envelope).clone()).collect()
    }
}
