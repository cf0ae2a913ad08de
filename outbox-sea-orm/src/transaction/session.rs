//! One handle's share of the connection: who may use it, and in which order things are closed.

use std::sync::{Arc, Mutex};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr};
use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;

use super::doubt;
use super::level::Level;
use super::log::Log;
use crate::error::{Breach, OutboxError};
use crate::finish::finish;
use crate::sync::lock;

/// An open transaction or savepoint. The order of the fields is the order of their end: the database forgets first.
#[derive(Debug)]
pub(super) struct Open {
    /// Shared with the statement that is under way, and with nobody once the gate is entered.
    pub(super) txn: Arc<DatabaseTransaction>,
    pub(super) level: Level,
}

#[derive(Debug)]
pub(super) struct Session {
    /// Empty only while `commit` or `rollback` consumes the handle.
    open: Option<Open>,
    family: Arc<Family>,
}

/// What all handles of a transaction share besides the log.
#[derive(Debug, Default)]
pub(super) struct Family {
    /// They share one connection, and whoever holds this may use it. Checks of the level and the statement that they
    /// allow happen under it, so that no savepoint opens or closes in between.
    gate: Arc<tokio::sync::Mutex<()>>,
    /// Handles that were dropped while the connection could not be used at once, the first one first. Whoever enters
    /// the gate closes them before anything else, so for everybody they are closed already.
    dropped: Mutex<Vec<Dropped>>,
}

#[derive(Debug)]
struct Dropped {
    txn: Arc<DatabaseTransaction>,
    depth: usize,
    log: Log,
}

/// The right to use the connection.
pub(super) type Entered = OwnedMutexGuard<()>;

/// The right to run one statement. A statement that fails, or is cancelled, leaves the transaction in doubt.
#[derive(Debug)]
pub(super) struct Turn {
    log: Log,
    depth: usize,
    fine: bool,
    /// The last to go, so that the doubt is there before the next statement.
    _entered: Entered,
}

impl Family {
    pub(super) async fn enter(self: &Arc<Self>) -> Entered {
        let entered = Arc::clone(&self.gate).lock_owned().await;
        if self.dropped().is_empty() {
            return entered;
        }
        let family = Arc::clone(self);
        finish(async move {
            family.close_dropped().await;
            entered
        })
        .await
    }

    async fn close_dropped(&self) {
        let dropped = std::mem::take(&mut *self.dropped());
        for Dropped { txn, depth, log } in dropped {
            doubt::prepare_close(&txn, depth, &log).await;
            drop(txn);
        }
    }

    fn dropped(&self) -> std::sync::MutexGuard<'_, Vec<Dropped>> {
        lock(&self.dropped)
    }
}

impl Session {
    pub(super) fn new(txn: DatabaseTransaction, level: Level, family: Arc<Family>) -> Self {
        Self { open: Some(Open { txn: Arc::new(txn), level }), family }
    }

    pub(super) fn open(&self) -> Result<&Open, DbErr> {
        self.open.as_ref().ok_or_else(|| OutboxError::Broken { breach: Breach::ClosedOutOfOrder }.into())
    }

    pub(super) fn family(&self) -> &Arc<Family> {
        &self.family
    }

    pub(super) fn take(&mut self) -> Option<Open> {
        self.open.take()
    }

    /// Waits until the connection is free, and lets nobody else use it while `work` does, which runs to its end: a
    /// statement that is dropped between request and answer can cost the pool its connection (MariaDB, whose driver
    /// then waits for ever for an answer that it has read already).
    pub(super) async fn alone<T, F>(&self, work: impl FnOnce(Inside) -> F) -> Result<T, DbErr>
    where
        F: Future<Output = Result<T, DbErr>> + Send + 'static,
        T: Send + 'static,
    {
        let open = self.open()?;
        let entered = self.family.enter().await;
        open.level.ensure_innermost()?;
        let (log, depth) = (open.level.log().clone(), open.level.depth());
        finish(work(Inside { txn: Arc::clone(&open.txn), log, depth, entered })).await
    }

    /// Runs a statement that does what it says.
    pub(super) async fn run<T, F>(
        &self,
        statement: impl FnOnce(Arc<DatabaseTransaction>) -> F + Send + 'static,
    ) -> Result<T, DbErr>
    where
        F: Future<Output = Result<T, DbErr>> + Send + 'static,
        T: Send + 'static,
    {
        self.alone(|inside| async move {
            let (txn, mut turn) = inside.turn().await?;
            let result = statement(txn).await;
            turn.fine = result.is_ok();
            result
        })
        .await
    }

    /// The turn of a stream of rows, which ends when it is dropped.
    pub(super) async fn turn(&self) -> Result<(&DatabaseTransaction, Turn), DbErr> {
        let turn = self.alone(|inside| async move { inside.turn().await.map(|(_, turn)| turn) }).await?;
        Ok((&self.open()?.txn, turn))
    }
}

/// What one has who is alone with the connection.
pub(super) struct Inside {
    // The first to go: who enters next has it alone.
    pub(super) txn: Arc<DatabaseTransaction>,
    pub(super) log: Log,
    pub(super) depth: usize,
    pub(super) entered: Entered,
}

impl Inside {
    pub(super) async fn settle_doubt(&self) -> Result<(), DbErr> {
        doubt::settle(&self.txn, self.depth, &self.log).await
    }

    async fn turn(self) -> Result<(Arc<DatabaseTransaction>, Turn), DbErr> {
        // PostgreSQL refuses every statement of a failed transaction by itself. The others may have ended it, and
        // would commit each further statement on its own.
        if self.txn.get_database_backend() != DbBackend::Postgres {
            self.settle_doubt().await?;
        }
        let Self { txn, log, depth, entered } = self;
        Ok((txn, Turn { log, depth, fine: false, _entered: entered }))
    }
}

impl Turn {
    /// For streams, which end later than they begin.
    pub(super) fn set_fine(&mut self) {
        self.fine = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.fine {
            self.log.doubt(self.depth);
        }
    }
}

impl Open {
    /// Who has entered the gate has it alone.
    pub(super) fn unshared(self) -> Result<(DatabaseTransaction, Level), OutboxError> {
        let txn =
            Arc::try_unwrap(self.txn).map_err(|_shared| OutboxError::Broken { breach: Breach::ClosedOutOfOrder })?;
        Ok((txn, self.level))
    }

    pub(super) async fn settle_doubt(&self) -> Result<(), DbErr> {
        doubt::settle(&self.txn, self.level.depth(), self.level.log()).await
    }

    pub(super) async fn prepare_close(&self) {
        doubt::prepare_close(&self.txn, self.level.depth(), self.level.log()).await;
    }
}

impl Drop for Session {
    /// The driver queues the rollback, and runs it when the connection is used next or returns to the pool.
    fn drop(&mut self) {
        let Some(Open { txn, level }) = self.open.take() else { return };
        let log = level.log().clone();
        let mut dropped = self.family.dropped();
        let entered = self.family.gate.try_lock();
        // With a doubt there is something to ask before. Without the gate somebody's statement is under way, and
        // SeaORM's own transaction would panic now.
        if entered.is_ok() && dropped.is_empty() && !doubt::must_ask(&txn, &log) {
            drop(txn);
            drop(level);
            return;
        }
        dropped.push(Dropped { txn, depth: level.depth(), log });
        drop(level);
        drop(entered);
        drop(dropped);
        if let Ok(runtime) = Handle::try_current() {
            // Others close it if they come first; if nobody comes, the connection still gets back to its pool.
            let family = Arc::clone(&self.family);
            drop(runtime.spawn(async move { drop(family.enter().await) }));
        }
    }
}
