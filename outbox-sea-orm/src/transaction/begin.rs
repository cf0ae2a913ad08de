//! Beginning: transactions on an [`Outbox`], savepoints on an [`OutboxTransaction`].

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, DbErr, IsolationLevel, SqliteTransactionMode, TransactionError,
    TransactionOptions, TransactionTrait,
};

use super::OutboxTransaction;
use super::level::Level;
use super::session::{Inside, Session};
use crate::error::OutboxError;
use crate::finish::finish;
use crate::outbox::Outbox;

impl Outbox {
    /// Begins a transaction.
    ///
    /// On SQLite it begins as `IMMEDIATE`, unless `options` say otherwise or ask for read-only: a deferred transaction
    /// that reads first and writes later fails when somebody else has written in between, and no waiting helps.
    ///
    /// # Cancel safety
    ///
    /// Cancelled, it ends in the background and rolls back, which needs the tokio runtime that it was called on.
    pub(crate) async fn begin_root(&self, mut options: TransactionOptions) -> Result<OutboxTransaction, DbErr> {
        let backend = self.shared().backend;
        if backend == DbBackend::Sqlite && options.access_mode != Some(AccessMode::ReadOnly) {
            options.sqlite_transaction_mode.get_or_insert(SqliteTransactionMode::Immediate);
        }
        let db = self.inner().clone();
        let txn = finish(async move { db.begin_with_options(options).await }).await?;
        Ok(OutboxTransaction::root(txn, backend == DbBackend::Postgres, Arc::clone(self.shared())))
    }
}

impl OutboxTransaction {
    async fn begin_nested(&self, options: TransactionOptions) -> Result<Self, DbErr> {
        let open = self.session.open()?;
        let configured = options.isolation_level.is_some() || options.access_mode.is_some();
        // SQLite takes no notice of them anywhere; the others refuse, in ways that confuse the driver.
        if configured && open.txn.get_database_backend() != DbBackend::Sqlite {
            return Err(OutboxError::NestedOptions.into());
        }
        let (family, outbox) = (Arc::clone(self.session.family()), Arc::clone(&self.outbox));
        let begin = |inside: Inside| async move {
            // After a failed SAVEPOINT the driver rolls back the level around it, so that one must not fail for a
            // reason that was there before.
            inside.settle_doubt().await?;
            let level = Level::reserve(&inside.log, inside.depth)?;
            let txn = inside.txn.begin_with_options(options).await?;
            let session = Session::new(txn, level.activate(), family);
            let Inside { txn, entered, .. } = inside;
            drop(txn);
            // If nobody waits any more, the savepoint is dropped before somebody else enters.
            Ok((Self { session, outbox }, entered))
        };
        let (savepoint, _entered) = self.session.alone(begin).await?;
        Ok(savepoint)
    }
}

/// Commits what `callback` did, or rolls back and returns its error, whatever becomes of the rollback.
macro_rules! run {
    ($begin:expr, $callback:expr) => {{
        let txn = $begin.await.map_err(TransactionError::Connection)?;
        match $callback(&txn).await {
            Ok(value) => {
                txn.commit().await.map_err(TransactionError::Connection)?;
                Ok(value)
            }
            Err(error) => {
                if let Err(rollback) = txn.rollback().await {
                    tracing::debug!(error = %rollback, "rollback failed; the connection will be closed");
                }
                Err(TransactionError::Transaction(error))
            }
        }
    }};
}

macro_rules! transaction_trait {
    ($type:ty, $begin:ident, $what:literal) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl TransactionTrait for $type {
            type Transaction = OutboxTransaction;

            async fn begin(&self) -> Result<OutboxTransaction, DbErr> {
                self.$begin(TransactionOptions::default()).await
            }

            async fn begin_with_config(
                &self,
                isolation_level: Option<IsolationLevel>,
                access_mode: Option<AccessMode>,
            ) -> Result<OutboxTransaction, DbErr> {
                let options = TransactionOptions { isolation_level, access_mode, sqlite_transaction_mode: None };
                self.$begin(options).await
            }

            async fn begin_with_options(&self, options: TransactionOptions) -> Result<OutboxTransaction, DbErr> {
                self.$begin(options).await
            }

            async fn transaction<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
            where
                F: for<'c> FnOnce(&'c OutboxTransaction) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
                    + Send,
                T: Send,
                E: fmt::Display + fmt::Debug + Send,
            {
                run!(self.$begin(TransactionOptions::default()), callback)
            }

            async fn transaction_with_config<F, T, E>(
                &self,
                callback: F,
                isolation_level: Option<IsolationLevel>,
                access_mode: Option<AccessMode>,
            ) -> Result<T, TransactionError<E>>
            where
                F: for<'c> FnOnce(&'c OutboxTransaction) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
                    + Send,
                T: Send,
                E: fmt::Display + fmt::Debug + Send,
            {
                run!(self.begin_with_config(isolation_level, access_mode), callback)
            }
        }

        impl $type {
            #[doc = concat!("Begins a ", $what, ". See [`Outbox::transaction_async`] to have it closed for you.")]
            ///
            /// # Errors
            ///
            /// What the database says.
            ///
            /// # Cancel safety
            ///
            /// Cancelled, it ends in the background, which needs the tokio runtime that it was called on, and rolls
            /// back what it has begun.
            pub async fn begin(&self) -> Result<OutboxTransaction, DbErr> {
                self.$begin(TransactionOptions::default()).await
            }

            #[doc = concat!("Begins a ", $what, " with an isolation level, an access mode or SQLite's mode.")]
            ///
            /// # Errors and cancel safety
            ///
            #[doc = concat!("As [`begin`](", stringify!($type), "::begin).")]
            pub async fn begin_with_options(&self, options: TransactionOptions) -> Result<OutboxTransaction, DbErr> {
                self.$begin(options).await
            }

            #[doc = concat!("Runs `callback` in a ", $what, ", which is committed if it returns `Ok`.")]
            ///
            /// # Errors
            ///
            /// The callback's own error, after a rollback, or what happened to the transaction.
            ///
            /// # Cancel safety
            ///
            /// Cancelled or panicking in the callback, everything rolls back; cancelled after it, see
            /// [`OutboxTransaction::commit`].
            pub async fn transaction_async<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
            where
                F: for<'c> AsyncFnOnce(&'c OutboxTransaction) -> Result<T, E> + Send,
                T: Send,
                E: fmt::Display + fmt::Debug + Send,
            {
                run!(self.$begin(TransactionOptions::default()), callback)
            }

            #[doc = concat!("Runs `callback` in a ", $what, " with an isolation level or an access mode.")]
            ///
            /// # Errors and cancel safety
            ///
            #[doc = concat!("As [`transaction_async`](", stringify!($type), "::transaction_async).")]
            pub async fn transaction_with_config_async<F, T, E>(
                &self,
                callback: F,
                isolation_level: Option<IsolationLevel>,
                access_mode: Option<AccessMode>,
            ) -> Result<T, TransactionError<E>>
            where
                F: for<'c> AsyncFnOnce(&'c OutboxTransaction) -> Result<T, E> + Send,
                T: Send,
                E: fmt::Display + fmt::Debug + Send,
            {
                let options = TransactionOptions { isolation_level, access_mode, sqlite_transaction_mode: None };
                run!(self.$begin(options), callback)
            }
        }
    };
}

transaction_trait!(Outbox, begin_root, "transaction");
transaction_trait!(OutboxTransaction, begin_nested, "savepoint");
