//! One run of a migrator: under a lock, and to its end.
//!
//! A run goes through one transaction, which pins one connection. Where the caller gave a pool, the run is a task of
//! its own: a caller who is cancelled does not leave a half-begun transaction in the pool (dropping the future of a
//! `begin` would), and the run still comes to its end.

use std::time::{Duration, Instant};

use sea_orm_migration::SchemaManagerConnection;
use sea_orm_migration::sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, IsolationLevel, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};

use crate::error::MigrateError;
use crate::meta::query;
use crate::options::Options;
use crate::tables;

/// How long a migrator waits for another one, and for whoever uses a table that it drops.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The same for every outbox of a database, so that two of them never make one schema at a time. ("outboxmg")
pub(crate) const POSTGRES_LOCK: i64 = 0x6f75_7462_6f78_6d67;

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// Make the tables.
    Create,
    /// Make the tables and write it down.
    Up,
    /// Drop the tables.
    Down,
    /// Drop the tables and the bookkeeping.
    Reset,
    /// Drop the tables and make them again.
    Refresh,
    /// Drop the table for the bookkeeping.
    Uninstall,
}

/// Do it; `true` if this run changed something.
pub(crate) async fn run(db: SchemaManagerConnection<'_>, options: &Options, job: Job) -> Result<bool, MigrateError> {
    match db {
        SchemaManagerConnection::Connection(db) => on_pool(db, options, job).await,
        SchemaManagerConnection::Transaction(txn) => under_lock(txn, options, job).await,
        // Nobody else is left who could commit it.
        SchemaManagerConnection::OwnedTransaction(txn) => finish(under_lock(&txn, options, job).await, txn).await,
    }
}

/// The same for a connection that stays the caller's.
pub(crate) async fn run_on(
    db: &SchemaManagerConnection<'_>,
    options: &Options,
    job: Job,
) -> Result<bool, MigrateError> {
    match db {
        SchemaManagerConnection::Connection(db) => on_pool(db, options, job).await,
        SchemaManagerConnection::Transaction(txn) => under_lock(txn, options, job).await,
        SchemaManagerConnection::OwnedTransaction(txn) => under_lock(txn, options, job).await,
    }
}

async fn on_pool(db: &DatabaseConnection, options: &Options, job: Job) -> Result<bool, MigrateError> {
    let (db, options) = (db.clone(), options.clone());
    let task = tokio::spawn(async move {
        let txn = begin(&db).await?;
        if txn.get_database_backend() == DbBackend::Postgres {
            let sql = format!("SET LOCAL lock_timeout = '{}s'", PATIENCE.as_secs());
            txn.execute_unprepared(&sql).await.map_err(MigrateError::during("set the lock timeout"))?;
        }
        finish(under_lock(&txn, &options, job).await, txn).await
    });
    task.await.map_err(MigrateError::Interrupted)?
}

async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, MigrateError> {
    let backend = db.get_database_backend();
    let options = TransactionOptions {
        // Each statement must see what the migrator before this one has done.
        isolation_level: (backend != DbBackend::Sqlite).then_some(IsolationLevel::ReadCommitted),
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let since = Instant::now();
    loop {
        match db.begin_with_options(options).await {
            Ok(txn) => return Ok(txn),
            // On SQLite this is the lock, and the driver waits for a few seconds only.
            Err(error) if backend == DbBackend::Sqlite && is_busy(&error) => {
                if since.elapsed() > PATIENCE {
                    return Err(MigrateError::Busy { seconds: PATIENCE.as_secs() });
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(MigrateError::during("begin a transaction")(error)),
        }
    }
}

fn is_busy(error: &DbErr) -> bool {
    error.to_string().contains("database is locked")
}

async fn finish(result: Result<bool, MigrateError>, txn: DatabaseTransaction) -> Result<bool, MigrateError> {
    match result {
        Ok(changed) => {
            txn.commit().await.map_err(MigrateError::during("commit"))?;
            Ok(changed)
        }
        Err(error) => {
            // The first error says more than a rollback on a connection that may be gone.
            if let Err(rollback) = txn.rollback().await {
                tracing::warn!(error = %rollback, "could not roll back the outbox's migration");
            }
            Err(error)
        }
    }
}

async fn under_lock(txn: &DatabaseTransaction, options: &Options, job: Job) -> Result<bool, MigrateError> {
    match txn.get_database_backend() {
        DbBackend::Postgres => {
            // Until the end of the transaction, and so without any state of the session.
            let sql = format!("SELECT pg_catalog.pg_advisory_xact_lock({POSTGRES_LOCK})");
            txn.execute_unprepared(&sql).await.map_err(MigrateError::during("take the migration lock"))?;
            tables::perform(txn, options, job).await
        }
        DbBackend::MySql => {
            lock_mariadb(txn, options).await?;
            let result = tables::perform(txn, options, job).await;
            // The lock belongs to the session, and the session goes back to the pool.
            let sql = format!("DO RELEASE_LOCK({})", mariadb_lock(options));
            let released = txn.execute_unprepared(&sql).await;
            let changed = result?;
            released.map_err(MigrateError::during("release the migration lock"))?;
            Ok(changed)
        }
        // BEGIN IMMEDIATE is the lock.
        DbBackend::Sqlite => tables::perform(txn, options, job).await,
        _ => Err(MigrateError::Unsupported),
    }
}

/// DDL commits on MariaDB, which would free a row lock: only a lock of the session lasts. The transaction pins the
/// session; where a proxy changes it behind our back, every step can still be repeated without harm.
async fn lock_mariadb(txn: &DatabaseTransaction, options: &Options) -> Result<(), MigrateError> {
    let sql = format!("SELECT GET_LOCK({}, {}) AS taken", mariadb_lock(options), PATIENCE.as_secs());
    let rows = query(txn, sql).await.map_err(MigrateError::during("take the migration lock"))?;
    match rows.first().and_then(|row| row.try_get::<Option<i32>>("", "taken").ok().flatten()) {
        Some(1) => Ok(()),
        _ => Err(MigrateError::Busy { seconds: PATIENCE.as_secs() }),
    }
}

/// Such locks are the server's and their names have at most 64 bytes: hash what may be longer.
fn mariadb_lock(options: &Options) -> String {
    let names = options.names();
    let schema = names.schema().map_or_else(|| "COALESCE(DATABASE(), '')".to_owned(), |schema| format!("'{schema}'"));
    format!("CONCAT('outbox-migrate-', MD5(CONCAT({schema}, '.{}')))", names.prefix())
}
