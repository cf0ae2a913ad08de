//! PostgreSQL: transactions of this library, with settings that end with them.
//!
//! What is known about a queue is always out of date: with a plan for the table as it was, a few events could cost a search of
//! all, and a large backlog the compilation of a program for every read. So the plans of reads and settles do not depend on
//! what the database believes about the tables. And the server ends a transaction of which it hears nothing any more:
//! where a connection falls silent in the middle, nobody else may be kept waiting by its locks for as long as the
//! operating system keeps the connection.

use std::sync::atomic::Ordering::Relaxed;

use outbox_core::store::StoreError;
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult, Statement, TransactionTrait};

use super::error::during;
use super::{Inner, query};

/// On PostgreSQL the first column of every statement that a steady transaction begins with, elsewhere this.
pub(super) const NO_SETTINGS: &str = "''";

/// The level that the statements here are written for: each sees what is committed.
const LEVEL: &str = "read committed";

/// What is done in a steady transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Read,
    /// Deliveries alone need not be on disk when this is committed: what is lost in a crash is published again.
    Deliveries,
    /// Anything else. A level of durability that waits for replicas stays as it is.
    Outcomes,
}

impl Work {
    /// The level of the transaction, and then the settings, made as this is evaluated: once, whatever the rows.
    fn settings(self) -> String {
        let set = |name: &str, value: &str| format!("set_config('{name}', '{value}', true)");
        let rest = match self {
            Self::Read => set("transaction_read_only", "on"),
            Self::Deliveries => set("synchronous_commit", "off"),
            Self::Outcomes => {
                let on = set("synchronous_commit", "on");
                format!("CASE WHEN current_setting('synchronous_commit') = 'off' THEN {on} END")
            }
        };
        // Settles are made for one plan, and to plan one for few events costs three times what it takes to remove them.
        let once = if self == Self::Read { "auto" } else { "force_generic_plan" };
        let all = [
            set("jit", "off"),
            set("enable_seqscan", "off"),
            set("plan_cache_mode", once),
            set("idle_in_transaction_session_timeout", "10s"),
            rest,
        ];
        format!("(SELECT concat_ws(' ', current_setting('transaction_isolation'), {}))", all.join(", "))
    }
}

impl Inner {
    /// Begins a transaction with a query, which is given its first column, and returns the query's rows. The settings hold
    /// for what follows, if there was a row.
    pub(super) async fn begin_steady(
        &self,
        work: Work,
        first: impl Fn(&str) -> Statement,
        doing: &'static str,
    ) -> Result<(DatabaseTransaction, Vec<QueryResult>), StoreError> {
        let statement = first(&work.settings());
        if !self.other_level.load(Relaxed) {
            let txn = self.db.begin().await.map_err(during(doing))?;
            let rows = query(&txn, statement.clone(), doing).await?;
            let level = rows.first().map(|row| row.try_get_by_index::<String>(0)).transpose().map_err(during(doing))?;
            if level.is_none_or(|level| level.starts_with(LEVEL)) {
                return Ok((txn, rows));
            }
            self.other_level.store(true, Relaxed);
            txn.rollback().await.map_err(during(doing))?;
        }
        // It can be chosen before the first query alone.
        let txn = self.begin_committed(doing).await?;
        let rows = query(&txn, statement, doing).await?;
        Ok((txn, rows))
    }

    /// A transaction of the same level with plans as the database likes them.
    pub(super) async fn begin_committed(&self, doing: &'static str) -> Result<DatabaseTransaction, StoreError> {
        let txn = self.db.begin().await.map_err(during(doing))?;
        let settings = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; \
                        SET LOCAL idle_in_transaction_session_timeout = '10s'";
        txn.execute_unprepared(settings).await.map_err(during(doing))?;
        Ok(txn)
    }
}
