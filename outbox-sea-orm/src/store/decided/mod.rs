//! Up to which number everything has been seen or will never come: by proof, never by time.

mod gate;
mod prover;

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use outbox_core::store::{StoreError, StoreErrorKind};
use outbox_migration::Table;
use sea_orm::{DatabaseTransaction, DbBackend, Value};

use self::gate::Gate;
pub(super) use self::prover::Look;
use self::prover::{Holder, Prover};
use super::error::during;
use super::open::Opened;
use super::row::Cells;
use super::steady::Work;
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

/// Reads the columns of [`Inner::look`]; `None` on a replica, which is behind. Nobody is listed who holds the lock.
pub(super) fn looked(cells: &mut Cells<'_>) -> Result<Option<Look>, StoreError> {
    let last = cells.take()?;
    let behind: bool = cells.take()?;
    let (server, connected, at) = (cells.take()?, cells.take()?, cells.take()?);
    Ok((!behind).then(|| Look { last, server, connected, at, ..Look::default() }))
}

impl Inner {
    /// What is decided for rows that are read after this call, and the connection to read them with, which is in a
    /// transaction on PostgreSQL.
    pub(super) async fn decided(&self, opened: &Opened) -> Result<(Mark, Option<DatabaseTransaction>), StoreError> {
        match self.sql.backend {
            DbBackend::Postgres => {
                let looks = lock(&self.decided.prover).looks();
                let (txn, mark) = self.decided_by_locks(looks, opened).await?;
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

    /// Reads the sequence's last number, and then who holds the lock. The number is an argument of that list, so it cannot be
    /// read later. The locks of prepared transactions are listed too, without a process.
    async fn decided_by_locks(&self, looks: u64, opened: &Opened) -> Result<(DatabaseTransaction, Mark), StoreError> {
        let statement = |first: &str| {
            let text = format!(
                "SELECT {first}, n.*, l.virtualtransaction, CASE WHEN l.pid IS NULL THEN 1 ELSE 0 END \
                 FROM (SELECT {} FROM {} OFFSET 0) n LEFT JOIN LATERAL (\
                 SELECT k.virtualtransaction, k.pid FROM pg_catalog.pg_locks k \
                 WHERE k.locktype = 'relation' AND k.mode = 'RowExclusiveLock' AND k.granted \
                 AND k.relation = ?::regclass AND n.last IS NOT NULL \
                 AND k.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()) \
                 OFFSET 0) l ON true",
                self.look(),
                opened.sequence
            );
            self.sql.statement(&text, [Value::from(self.sql.event.clone())])
        };
        let (txn, rows) = self.begin_steady(Work::Read, statement, DOING).await?;
        let mut look = Look::default();
        for row in rows {
            let mut cells = Cells::new(&row, false, DOING);
            drop(cells.take::<String>()?);
            let Some(looked) = looked(&mut cells)? else {
                let what = "the database has become a replica";
                return Err(StoreError::new(StoreErrorKind::Unavailable, DOING, what));
            };
            look = Look { holders: look.holders, ..looked };
            if let Some(name) = cells.take::<Option<String>>()? {
                look.holders.insert(if cells.flag()? { Holder::Prepared(name) } else { Holder::Running(name) });
            }
        }
        let mut prover = lock(&self.decided.prover);
        let decided = prover.observe(looks, look);
        self.decided.era.store(prover.era(), Ordering::Release);
        let mark = Mark { decided, era: prover.era() };
        drop(prover);
        Ok((txn, mark))
    }

    /// PostgreSQL: the columns of [`looked`], where the sequence is in the FROM clause.
    pub(super) fn look(&self) -> String {
        let micros = |time: &str| format!("(extract(epoch FROM {time}) * 1000000)::bigint");
        format!(
            "CASE WHEN is_called THEN last_value ELSE 0 END AS last, pg_is_in_recovery() AS behind, \
             concat_ws(' ', {}, {}) AS server, {} AS connected, {} AS at",
            micros("pg_postmaster_start_time()"),
            self.sql.made_at(),
            micros("(SELECT a.backend_start FROM pg_catalog.pg_stat_get_activity(pg_backend_pid()) a)"),
            micros("clock_timestamp()"),
        )
    }

    /// What is decided, if this look shows what the last one did and all of it is decided.
    pub(super) fn unchanged(&self, look: &Look) -> Option<Mark> {
        let prover = lock(&self.decided.prover);
        prover.is_unchanged(look).then(|| Mark { decided: look.last, era: prover.era() })
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
