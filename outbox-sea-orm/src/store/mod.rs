//! The outbox's tables, as a processor sees them: [`SeaOrmStore`].
//!
//! Nothing here leaves state in a session of the pool, so proxies that lend out connections per transaction work. Nothing here
//! asks the host's clock: all times are the database's.

mod admin;
mod decided;
mod error;
mod forward;
mod lease;
mod open;
mod parts;
mod promote;
mod quiet;
mod read;
mod renew;
mod row;
mod settle;
mod sql;
mod steady;
mod text;

use std::fmt;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use outbox_core::Wake;
use outbox_core::store::{
    Lease, LeaseReply, LeaseRequest, ReadReply, ReadRequest, SettleReply, SettleRequest, Store, StoreError,
};
use outbox_migration::TableNames;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, IsolationLevel, QueryResult,
    SqliteTransactionMode, Statement, StreamTrait, TransactionOptions, TransactionTrait,
};
use uuid::Uuid;

use self::decided::Decided;
pub(crate) use self::error::during;
use self::open::Opened;
use self::quiet::Quiet;
use self::sql::Sql;
use crate::finish::finish;
#[cfg(feature = "postgres")]
use crate::notify::Listener;
use crate::outbox::backend_of;

/// The outbox's tables in a database: what a processor and an operator need of them.
///
/// It uses its own connections, never those of the program's transactions, and every transaction of its own is short
/// and READ COMMITTED. Cheap to clone; clones share what they have learned about the database.
///
/// # Cancel safety
///
/// Once it has been polled, a call runs to its end, in the background if its caller goes away, which needs the tokio
/// runtime that it was made on.
#[derive(Clone)]
pub struct SeaOrmStore(Arc<Inner>);

struct Inner {
    db: DatabaseConnection,
    names: TableNames,
    sql: Sql,
    listens: bool,
    opened: OnceLock<Opened>,
    decided: Decided,
    quiet: Quiet,
    /// Whether sessions were seen whose transactions are of another level unless told.
    other_level: AtomicBool,
}

impl SeaOrmStore {
    /// The tables of these names. Nothing is asked of the database yet. Processors look for events by polling; those of
    /// [`Outbox::store`](crate::Outbox::store) may also listen ([`notify`](crate::OutboxBuilder::notify)).
    #[must_use]
    pub fn new(db: DatabaseConnection, names: TableNames) -> Self {
        Self::with(db, names, false)
    }

    /// The same; `listens` says whether processors listen for commits of other processes.
    pub(crate) fn with(db: DatabaseConnection, names: TableNames, listens: bool) -> Self {
        let sql = Sql::new(&names, backend_of(&db));
        let (opened, decided, quiet) = (OnceLock::new(), Decided::default(), Quiet::default());
        let other_level = AtomicBool::new(false);
        Self(Arc::new(Inner { db, names, sql, listens, opened, decided, quiet, other_level }))
    }

    /// Where the tables are.
    #[must_use]
    pub fn names(&self) -> &TableNames {
        &self.0.names
    }
}

impl Inner {
    /// A transaction that sees what is committed, statement by statement, and on SQLite is the one writer.
    async fn begin(&self, doing: &'static str) -> Result<DatabaseTransaction, StoreError> {
        let (isolation_level, mode) = match self.sql.backend {
            DbBackend::Postgres => return self.begin_committed(doing).await,
            DbBackend::Sqlite => (None, Some(SqliteTransactionMode::Immediate)),
            _ => (Some(IsolationLevel::ReadCommitted), None),
        };
        let options =
            TransactionOptions { isolation_level, sqlite_transaction_mode: mode, ..TransactionOptions::default() };
        let txn = self.db.begin_with_options(options).await.map_err(during(doing))?;
        if self.sql.backend == DbBackend::MySql {
            // What `idle_in_transaction_session_timeout` does on PostgreSQL. It is the session's, so `end` takes it back.
            let text = "SET @outbox_idle = @@SESSION.idle_transaction_timeout, SESSION idle_transaction_timeout = 10";
            txn.execute_unprepared(text).await.map_err(during(doing))?;
        }
        Ok(txn)
    }

    /// Ends a transaction of [`begin`](Self::begin): commits what came to an end, and rolls back what did not.
    async fn end<T, E: From<StoreError>>(
        &self,
        txn: DatabaseTransaction,
        result: Result<T, E>,
        doing: &'static str,
    ) -> Result<T, E> {
        if self.sql.backend != DbBackend::MySql {
            let value = result?;
            txn.commit().await.map_err(during(doing))?;
            return Ok(value);
        }
        // Not before the transaction is over: its end is what may never be heard.
        let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = txn.execute_unprepared(end).await.map_err(during(doing));
        let restored = txn.execute_unprepared("SET SESSION idle_transaction_timeout = @outbox_idle").await;
        // Gives the connection back; there is nothing left to roll back. Where one of these fails the connection is gone,
        // and what was committed stays so.
        drop((restored, txn.rollback().await));
        let value = result?;
        ended?;
        Ok(value)
    }

    #[cfg(feature = "postgres")]
    async fn listen(&self, wake: &Wake) {
        Listener::new(&self.db, &self.names).listen(wake).await;
    }

    /// No other database says anything.
    #[cfg(not(feature = "postgres"))]
    #[expect(clippy::unused_async, reason = "where there is PostgreSQL, it waits")]
    async fn listen(&self, _: &Wake) {}
}

/// Runs a query.
async fn query(
    conn: &impl ConnectionTrait,
    statement: Statement,
    doing: &'static str,
) -> Result<Vec<QueryResult>, StoreError> {
    conn.query_all_raw(statement).await.map_err(during(doing))
}

/// Runs a query that may bring many rows, and takes each as it arrives: a row is put together from many pieces, which are
/// best thrown away before the next one comes. A row that cannot be taken is the outcome, but the rest is read too.
async fn query_each(
    conn: &(impl ConnectionTrait + StreamTrait),
    statement: Statement,
    doing: &'static str,
    mut each: impl FnMut(&QueryResult) -> Result<(), StoreError> + Send,
) -> Result<(), StoreError> {
    let mut rows = pin!(conn.stream_raw(statement).await.map_err(during(doing))?);
    let mut taken = Ok(());
    while let Some(row) = rows.next().await {
        let row = row.map_err(during(doing))?;
        taken = taken.and_then(|()| each(&row));
    }
    taken
}

/// Runs a statement, and says how many rows it touched.
async fn execute(conn: &impl ConnectionTrait, statement: Statement, doing: &'static str) -> Result<u64, StoreError> {
    conn.execute_raw(statement).await.map(|done| done.rows_affected()).map_err(during(doing))
}

// A transaction that is dropped between request and answer stays open in the pool, and a statement that is dropped can
// leave MariaDB's driver waiting for an answer that it has read. So every call runs to its end.
#[async_trait]
impl Store for SeaOrmStore {
    async fn open(&self) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.0);
        finish(async move { inner.opened().await.map(drop) }).await
    }

    async fn lease(&self, request: LeaseRequest) -> Result<LeaseReply, StoreError> {
        let inner = Arc::clone(&self.0);
        finish(async move { inner.lease(&request).await }).await
    }

    async fn read(&self, request: ReadRequest) -> Result<ReadReply, StoreError> {
        let inner = Arc::clone(&self.0);
        finish(async move { inner.read(&request).await }).await
    }

    async fn settle(&self, request: SettleRequest) -> Result<SettleReply, StoreError> {
        let inner = Arc::clone(&self.0);
        finish(async move { inner.settle(&request).await }).await
    }

    async fn promote(&self, processor: Uuid, leases: &[Lease], limit: u32) -> Result<Option<Duration>, StoreError> {
        let (inner, leases) = (Arc::clone(&self.0), leases.to_vec());
        finish(async move { inner.promote(processor, &leases, limit).await }).await
    }

    async fn listen(&self, wake: &Wake) {
        if self.0.listens {
            self.0.listen(wake).await;
        }
    }
}

impl fmt::Debug for SeaOrmStore {
    /// Shows no connection, whose options hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeaOrmStore")
            .field("backend", &self.0.sql.backend)
            .field("names", &self.0.names)
            .finish_non_exhaustive()
    }
}
