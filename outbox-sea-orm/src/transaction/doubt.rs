//! Whether a transaction in which something failed is still what the driver takes it for.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement};

use super::log::Log;
use crate::error::{Breach, OutboxError};

/// Asks the database whether the transaction is still open and well, if a statement gave reason to doubt it. `depth`
/// is the innermost level's.
pub(super) async fn settle(txn: &DatabaseTransaction, depth: usize, log: &Log) -> Result<(), DbErr> {
    if !log.is_in_doubt() {
        return Ok(());
    }
    // Cancelled half-way, nobody will know.
    let presumed = Presumed { log: Some(log) };
    let ended = match txn.get_database_backend() {
        // Any statement will do: a failed transaction refuses it. A savepoint can still be rolled back.
        DbBackend::Postgres => {
            let answer = txn.execute_unprepared("SELECT 1").await;
            presumed.refuted();
            answer.map_err(|source| OutboxError::Aborted { source })?;
            log.trust();
            return Ok(());
        }
        // A deadlock ends the whole transaction, and so does DDL; the connection then commits by itself.
        DbBackend::MySql => {
            let ask = Statement::from_string(DbBackend::MySql, "SELECT CAST(@@in_transaction AS SIGNED)");
            match txn.query_one_raw(ask).await {
                Ok(Some(row)) => row.try_get_by_index::<i64>(0).is_ok_and(|open| open == 0),
                _ => true,
            }
        }
        // A full disk ends it, and so does ON CONFLICT ROLLBACK. There is nothing to ask, but a transaction cannot
        // begin within a transaction.
        _ => {
            let ended = txn.execute_unprepared("BEGIN").await.is_ok();
            if ended {
                restore_savepoints(txn, depth).await;
            }
            ended
        }
    };
    log.trust();
    if ended {
        drop(presumed);
    } else {
        presumed.refuted();
    }
    log.breach().map_or(Ok(()), |breach| Err(OutboxError::Broken { breach }.into()))
}

/// Whether [`prepare_close`] has something to do.
pub(super) fn must_ask(txn: &DatabaseTransaction, log: &Log) -> bool {
    txn.get_database_backend() == DbBackend::Sqlite && log.is_in_doubt()
}

/// Before anything is closed: whatever the answer is, the driver can close it then.
pub(super) async fn prepare_close(txn: &DatabaseTransaction, depth: usize, log: &Log) {
    if must_ask(txn, log)
        && let Err(error) = settle(txn, depth, log).await
    {
        tracing::debug!(%error, "rolling back a transaction that SQLite has ended");
    }
}

/// Makes the driver's idea of a connection true again on which SQLite has ended the transaction: it counts levels, and
/// a rollback that fails leaves its count one too high, for whoever gets the connection next. So it gets something to
/// roll back, under the names that it uses.
async fn restore_savepoints(txn: &DatabaseTransaction, depth: usize) {
    for outer in 1..depth {
        if let Err(error) = txn.execute_unprepared(&format!("SAVEPOINT _sqlx_savepoint_{outer}")).await {
            tracing::warn!(%error, "a connection is left with a wrong count of savepoints");
        }
    }
}

/// The transaction has ended, unless it is found alive.
struct Presumed<'a> {
    log: Option<&'a Log>,
}

impl Presumed<'_> {
    fn refuted(mut self) {
        self.log = None;
    }
}

impl Drop for Presumed<'_> {
    fn drop(&mut self) {
        if let Some(log) = self.log {
            log.break_off(Breach::EndedByDatabase);
        }
    }
}
