//! Up to which number everything has been seen or will never come: by proof, never by time.

mod gate;
mod prover;

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use outbox_core::store::{StoreError, StoreErrorKind};
use outbox_migration::Table;
use sea_orm::{DatabaseTransaction, DbBackend, Value};

use self::gate::Gate;
use self::prover::{Holder, Look, Prover};
use super::error::during;
use super::open::Opened;
use super::{Inner, query};
use crate::sync::lock;

const DOING: &str = "looking who is writing";

/// What the store knows about writers that have not ended. Nobody holds a lock while the database is asked: it may
/// never answer. So looks may overlap, and each says what was known when it began.
#[derive(Debug, Default)]
pub(super) struct Decided {
    prover: Mutex<Prover>,
    gate: Mutex<Gate>,
    era: AtomicI64,
}

/// What a read may rely on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) decided: i64,
    /// Goes into the generation that readers see, so that they start over with it.
    pub(super) era: i64,
}

impl Mark {
    /// The generation that a reader sees. An operator would need 2^40 requeues to make one out of the other.
    pub(super) fn generation(self, stored: i64) -> i64 {
        stored.wrapping_add(self.era << 40)
    }
}

impl Inner {
    /// What is decided for rows that are read after this call, and the connection to read them with, which is in a
    /// transaction on PostgreSQL.
    pub(super) async fn decided(&self, opened: &Opened) -> Result<(Mark, Option<DatabaseTransaction>), StoreError> {
        match self.sql.backend {
            DbBackend::Postgres => {
                let looks = lock(&self.decided.prover).looks();
                let txn = self.begin_steady("SET TRANSACTION READ ONLY", DOING).await?;
                let mark = self.decided_by_locks(&txn, looks, opened).await?;
                Ok((mark, Some(txn)))
            }
            DbBackend::MySql => Ok((self.decided_by_gate().await?, None)),
            _ => Ok((self.decided_by_order().await?, None)),
        }
    }

    /// The generation that readers see, as of the last read.
    pub(super) fn generation(&self, stored: i64) -> i64 {
        Mark { decided: 0, era: self.decided.era.load(Ordering::Acquire) }.generation(stored)
    }

    async fn decided_by_locks(
        &self,
        txn: &DatabaseTransaction,
        looks: u64,
        opened: &Opened,
    ) -> Result<Mark, StoreError> {
        let micros = |time: &str| format!("(extract(epoch FROM {time}) * 1000000)::bigint");
        let text = format!(
            "SELECT CASE WHEN is_called THEN last_value ELSE 0 END, pg_is_in_recovery(), \
             concat_ws(' ', {}, {}), {}, {} FROM {}",
            micros("pg_postmaster_start_time()"),
            self.sql.made_at(),
            micros("(SELECT a.backend_start FROM pg_catalog.pg_stat_get_activity(pg_backend_pid()) a)"),
            micros("clock_timestamp()"),
            opened.sequence
        );
        let mut look = Look::default();
        for row in query(txn, self.sql.statement(&text, []), DOING).await? {
            if row.try_get_by_index(1).map_err(during(DOING))? {
                let what = "the database has become a replica";
                return Err(StoreError::new(StoreErrorKind::Unavailable, DOING, what));
            }
            let number = |index| row.try_get_by_index::<i64>(index).map_err(during(DOING));
            let server = row.try_get_by_index(2).map_err(during(DOING))?;
            look = Look { last: number(0)?, server, connected: number(3)?, at: number(4)?, ..look };
        }
        // A statement of its own: the locks must be listed after the number was read. Those of prepared transactions
        // are listed too, without a process.
        let text = "SELECT l.virtualtransaction, CASE WHEN l.pid IS NULL THEN 1 ELSE 0 END FROM pg_catalog.pg_locks l \
             WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted \
             AND l.relation = ?::regclass \
             AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())";
        let statement = self.sql.statement(text, [Value::from(self.sql.event.clone())]);
        for row in query(txn, statement, DOING).await? {
            let name: String = row.try_get_by_index(0).map_err(during(DOING))?;
            let prepared = row.try_get_by_index::<i32>(1).map_err(during(DOING))? == 1;
            look.holders.insert(if prepared { Holder::Prepared(name) } else { Holder::Running(name) });
        }
        let mut prover = lock(&self.decided.prover);
        let decided = prover.observe(looks, look);
        self.decided.era.store(prover.era(), Ordering::Release);
        Ok(Mark { decided, era: prover.era() })
    }

    async fn decided_by_gate(&self) -> Result<Mark, StoreError> {
        let wanted = lock(&self.decided.gate).wants_a_look();
        if let Some(mark) = wanted {
            let text = format!("SELECT CAST(slot AS SIGNED) FROM {} FOR UPDATE SKIP LOCKED", self.sql.gate);
            let rows = query(&self.db, self.sql.statement(&text, []), DOING).await?;
            let slots: Result<Vec<i64>, _> = rows.iter().map(|row| row.try_get_by_index(0)).collect();
            let slots = slots.map_err(during(DOING))?.into_iter().filter_map(|slot| u32::try_from(slot).ok());
            lock(&self.decided.gate).found_free(mark, slots);
        }
        let gate = lock(&self.decided.gate);
        Ok(Mark { decided: gate.decided(), era: gate.era() })
    }

    /// MariaDB: what a read found, for the next proof, and who answered.
    pub(super) fn saw(&self, highest: Option<i64>, server: Option<&str>) -> Mark {
        let mut gate = lock(&self.decided.gate);
        if let Some(server) = server {
            gate.answered_by(server);
        }
        if let Some(highest) = highest {
            gate.saw(highest);
        }
        self.decided.era.store(gate.era(), Ordering::Release);
        Mark { decided: gate.decided(), era: gate.era() }
    }

    /// SQLite has one writer at a time: numbers are in the order of commits, and what is committed is decided.
    async fn decided_by_order(&self) -> Result<Mark, StoreError> {
        let looks = lock(&self.decided.prover).looks();
        let text = format!(
            "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = ?), 0), COALESCE({}, '')",
            self.sql.made_at()
        );
        let table = Value::from(self.names.bare(Table::Event));
        let mut look = Look::default();
        for row in query(&self.db, self.sql.statement(&text, [table]), DOING).await? {
            look.last = row.try_get_by_index(0).map_err(during(DOING))?;
            look.server = row.try_get_by_index(1).map_err(during(DOING))?;
        }
        let mut prover = lock(&self.decided.prover);
        let decided = prover.observe(looks, look);
        self.decided.era.store(prover.era(), Ordering::Release);
        Ok(Mark { decided, era: prover.era() })
    }
}
