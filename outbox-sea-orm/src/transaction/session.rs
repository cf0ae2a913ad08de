//! One handle's share of the connection: who may use it, and whether the transaction is still alive.

use std::sync::Arc;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, MutexGuard};

use super::level::Level;
use crate::error::{Breach, OutboxError};

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
    /// All handles of a transaction share one connection, and whoever holds this may use it. Checks of the level and
    /// the statement that they allow happen under it, so that no savepoint opens or closes in between.
    gate: Arc<Mutex<()>>,
    runtime: Option<Handle>,
}

/// The right to run one statement. A statement that fails, or is cancelled, leaves the transaction in doubt.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    level: &'a Level,
    fine: bool,
    /// The last to go, so that the doubt is there before the next statement.
    _gate: MutexGuard<'a, ()>,
}

impl Session {
    pub(super) fn new(txn: DatabaseTransaction, level: Level, gate: Arc<Mutex<()>>) -> Self {
        Self { open: Some(Open { txn, level }), gate, runtime: Handle::try_current().ok() }
    }

    pub(super) fn open(&self) -> Result<&Open, DbErr> {
        self.open.as_ref().ok_or_else(|| OutboxError::Broken { breach: Breach::ClosedOutOfOrder }.into())
    }

    pub(super) fn gate(&self) -> &Arc<Mutex<()>> {
        &self.gate
    }

    pub(super) fn take(&mut self) -> Option<Open> {
        self.open.take()
    }

    /// Waits until the connection is free and makes sure that a statement through this handle does what it says.
    pub(super) async fn turn(&self) -> Result<(&DatabaseTransaction, Turn<'_>), DbErr> {
        let open = self.open()?;
        let gate = self.gate.lock().await;
        open.level.ensure_innermost()?;
        // PostgreSQL refuses every statement of a failed transaction by itself. The others may have ended it, and
        // would commit each further statement on its own.
        if open.level.is_in_doubt() && open.txn.get_database_backend() != DbBackend::Postgres {
            open.settle_doubt().await?;
        }
        Ok((&open.txn, Turn { level: &open.level, fine: false, _gate: gate }))
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
    /// Asks the database whether the transaction is still open and well, if a statement gave reason to doubt it.
    pub(super) async fn settle_doubt(&self) -> Result<(), DbErr> {
        if !self.level.is_in_doubt() {
            return Ok(());
        }
        match self.txn.get_database_backend() {
            // Any statement will do: a failed transaction refuses it. A savepoint can still be rolled back.
            DbBackend::Postgres => {
                self.txn.execute_unprepared("SELECT 1").await.map_err(|source| OutboxError::Aborted { source })?;
            }
            // A deadlock ends the whole transaction, and so does DDL; the connection then commits by itself.
            DbBackend::MySql => {
                let ask = Statement::from_string(DbBackend::MySql, "SELECT CAST(@@in_transaction AS SIGNED)");
                let alive = match self.txn.query_one_raw(ask).await {
                    Ok(Some(row)) => row.try_get_by_index::<i64>(0).is_ok_and(|alive| alive == 1),
                    _ => false,
                };
                self.alive(alive)?;
            }
            // A full disk ends it, and so does ON CONFLICT ROLLBACK. There is nothing to ask, but a transaction
            // cannot begin within a transaction.
            _ => {
                let ended = self.txn.execute_unprepared("BEGIN").await.is_ok();
                if ended {
                    self.restore_savepoints().await;
                }
                self.alive(!ended)?;
            }
        }
        self.level.trust();
        Ok(())
    }

    /// Makes the driver's idea of a connection true again on which SQLite has ended the transaction: it counts levels,
    /// and a rollback that fails leaves its count one too high, for whoever gets the connection next. So it gets
    /// something to roll back, under the names that it uses.
    async fn restore_savepoints(&self) {
        for depth in 1..self.level.depth() {
            let savepoint = format!("SAVEPOINT _sqlx_savepoint_{depth}");
            if let Err(error) = self.txn.execute_unprepared(&savepoint).await {
                tracing::warn!(%error, "a connection is left with a wrong count of savepoints");
            }
        }
    }

    fn alive(&self, alive: bool) -> Result<(), DbErr> {
        if !alive {
            self.level.break_off(Breach::EndedByDatabase);
            self.level.trust();
        }
        Ok(self.level.ensure_innermost()?)
    }

    /// Before anything is closed: whatever the answer is, the driver can close it then.
    pub(super) async fn prepare_close(&self) {
        if self.txn.get_database_backend() == DbBackend::Sqlite
            && let Err(error) = self.settle_doubt().await
        {
            tracing::debug!(%error, "rolling back a transaction that SQLite has ended");
        }
    }
}

impl Drop for Session {
    /// The rollback is queued and runs when the connection is used next, or returns to the pool.
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        open.level.abandon();
        let doubt = open.level.is_in_doubt() && open.txn.get_database_backend() == DbBackend::Sqlite;
        let gate = Arc::clone(&self.gate).try_lock_owned();
        if gate.is_ok() && !doubt {
            drop(open);
            drop(gate);
        } else if let Some(runtime) = &self.runtime {
            // There is something to ask before, or another handle's statement is under way, in which case SeaORM's
            // own transaction would panic now.
            let waiting = Arc::clone(&self.gate);
            drop(runtime.spawn(async move {
                let gate = match gate {
                    Ok(gate) => gate,
                    Err(_) => waiting.lock_owned().await,
                };
                open.prepare_close().await;
                drop(open);
                drop(gate);
            }));
        }
    }
}
