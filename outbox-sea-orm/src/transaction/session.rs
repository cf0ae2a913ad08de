//! One handle's share of the connection: who may use it, and in which order things are closed.

use std::sync::{Arc, Mutex};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr};
use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;

use super::doubt;
use super::level::{Level, Log};
use crate::error::{Breach, OutboxError};
use crate::finish::finish;
use crate::sync::lock;

/// An open transaction or savepoint. The order of the fields is the order of their end: the database forgets first.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) txn: DatabaseTransaction,
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
    txn: DatabaseTransaction,
    depth: usize,
    log: Log,
}

/// The right to use the connection.
pub(super) type Entered = OwnedMutexGuard<()>;

/// The right to run one statement. A statement that fails, or is cancelled, leaves the transaction in doubt.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    level: &'a Level,
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
        Self { open: Some(Open { txn, level }), family }
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

    /// Waits until the connection is free and makes sure that a statement through this handle does what it says.
    pub(super) async fn turn(&self) -> Result<(&DatabaseTransaction, Turn<'_>), DbErr> {
        let open = self.open()?;
        let entered = self.family.enter().await;
        open.level.ensure_innermost()?;
        // PostgreSQL refuses every statement of a failed transaction by itself. The others may have ended it, and
        // would commit each further statement on its own.
        if open.txn.get_database_backend() != DbBackend::Postgres {
            open.settle_doubt().await?;
        }
        Ok((&open.txn, Turn { level: &open.level, fine: false, _entered: entered }))
    }
}

impl Turn<'_> {
    pub(super) fn end<T>(mut self, result: Result<T, DbErr>) -> Result<T, DbErr> {
        self.fine = result.is_ok();
        result
    }

    /// For streams, which end later than they begin.
    pub(super) fn set_fine(&mut self) {
        self.fine = true;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.fine {
            self.level.doubt();
        }
    }
}

impl Open {
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
