//! Ending a transaction or savepoint, and writing its events.

use std::sync::Arc;

use async_trait::async_trait;
use outbox_core::Envelope;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, TransactionSession};

use super::OutboxTransaction;
use super::log::Log;
use super::session::{Inside, Open};
use crate::error::{Breach, OutboxError};
use crate::failpoint::failpoint;
use crate::finish::finish;
use crate::flush;
use crate::lost::is_lost;
use crate::outbox::Shared;

impl OutboxTransaction {
    /// Commits rows and events together, or, on a savepoint, hands both to the transaction around it.
    ///
    /// The events are written in one INSERT per 1,000, in the order of staging, as the last thing before COMMIT. The
    /// first commit with events of an [`Outbox`](crate::Outbox) reads `outbox_meta` before.
    ///
    /// # Errors
    ///
    /// After an error nothing is committed, unless [`commit_outcome`](crate::commit_outcome) says that it is unknown.
    /// What the database refuses, when it writes the events or at COMMIT, is passed on as it is, so that a
    /// serialization failure can be recognized; [`OutboxError`] is what the outbox itself refuses.
    ///
    /// # Cancel safety
    ///
    /// Once it has been polled it runs to its end, in the background if need be, and commits if it can. Dropped
    /// before, it rolls back.
    pub async fn commit(self) -> Result<(), DbErr> {
        finish(self.close(true)).await
    }

    /// Rolls back, and forgets what was staged since the beginning of this transaction or savepoint.
    ///
    /// Dropping does the same, without waiting for it.
    ///
    /// # Errors
    ///
    /// What the database says; it then rolls back when the connection is closed.
    ///
    /// # Cancel safety
    ///
    /// Once it has been polled it runs to its end.
    pub async fn rollback(self) -> Result<(), DbErr> {
        finish(self.close(false)).await
    }

    /// Writes what is staged so far, now instead of at the commit. It still commits or rolls back with everything
    /// else, savepoint by savepoint.
    ///
    /// Needed only before statements that are to find the events in their tables, for example in SQL of your own.
    ///
    /// # Errors
    ///
    /// What the database says; the transaction can then not be committed.
    ///
    /// # Cancel safety
    ///
    /// Once it has the connection it runs to its end.
    pub async fn flush(&self) -> Result<(), DbErr> {
        let outbox = Arc::clone(&self.outbox);
        let flush = |inside: Inside| async move {
            inside.settle_doubt().await?;
            let attempt = Attempt { log: Some(&inside.log) };
            write_events(&inside.txn, &inside.log, &outbox).await?;
            attempt.succeeded();
            Ok(())
        };
        self.session.alone(flush).await
    }

    async fn close(mut self, commit: bool) -> Result<(), DbErr> {
        let entered = self.session.family().enter().await;
        let Some(open) = self.session.take() else { return Ok(()) };
        open.prepare_close().await;
        let result = match (commit, open.level.is_root()) {
            (true, true) => commit_root(open, &self.outbox).await,
            (true, false) => release(open).await,
            (false, _) => roll_back(open).await,
        };
        drop(entered);
        result
    }
}

async fn commit_root(open: Open, outbox: &Shared) -> Result<(), DbErr> {
    open.level.ensure_innermost()?;
    open.settle_doubt().await?;
    write_events(&open.txn, open.level.log(), outbox).await?;
    failpoint!("writer::commit::before");
    let backend = open.txn.get_database_backend();
    let (txn, level) = open.unshared()?;
    if let Err(source) = txn.commit().await {
        return Err(if is_lost(&source, backend) { OutboxError::CommitUnknown { source }.into() } else { source });
    }
    // As if the answer were lost.
    #[cfg(feature = "failpoints")]
    crate::failpoint::reach("writer::commit::after").await.map_err(|source| OutboxError::CommitUnknown { source })?;
    if level.keep() > 0 {
        outbox.announce();
    }
    Ok(())
}

async fn release(open: Open) -> Result<(), DbErr> {
    open.level.ensure_innermost()?;
    let (txn, level) = open.unshared()?;
    match txn.commit().await {
        Ok(()) => {
            level.keep();
            Ok(())
        }
        // The driver rolls it back; whether it could is seen before the next statement or commit.
        Err(error) => {
            level.doubt();
            Err(error)
        }
    }
}

async fn roll_back(open: Open) -> Result<(), DbErr> {
    match open.level.ensure_innermost() {
        Ok(()) => {}
        // It is what the caller wants, and it happens when the handles are dropped.
        Err(OutboxError::Broken { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let (txn, level) = open.unshared()?;
    let result = txn.rollback().await;
    if result.is_err() && !level.is_root() {
        level.log().break_off(Breach::SavepointLost);
    }
    result
}

async fn write_events(txn: &DatabaseTransaction, log: &Log, outbox: &Shared) -> Result<(), DbErr> {
    let events = log.unflushed();
    if events.is_empty() {
        return Ok(());
    }
    failpoint!("writer::flush::before");
    let events: Vec<&Envelope> = events.iter().map(|event| &**event).collect();
    flush::write(txn, outbox, &events, flush::Mode { strict: log.is_strict(), inside: true }).await?;
    failpoint!("writer::flush::after");
    log.flushed(events.len());
    Ok(())
}

/// A flush in the middle of a transaction. Left half-way, nobody knows which events are in the table.
struct Attempt<'a> {
    log: Option<&'a Log>,
}

impl Attempt<'_> {
    fn succeeded(mut self) {
        self.log = None;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(log) = self.log {
            log.break_off(Breach::FlushFailed);
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl TransactionSession for OutboxTransaction {
    async fn commit(self) -> Result<(), DbErr> {
        Self::commit(self).await
    }

    async fn rollback(self) -> Result<(), DbErr> {
        Self::rollback(self).await
    }
}
