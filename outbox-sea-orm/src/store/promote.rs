//! Moving scheduled events among the pending ones when they are due.

use std::time::Duration;

use outbox_core::store::{Lease, StoreError};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, Value};
use uuid::Uuid;

use super::error::during;
use super::row::{Cells, body, body_of, number};
use super::sql::{self, LEASES, marks};
use super::{Inner, execute, query};
use crate::failpoint::failpoint;

const DOING: &str = "moving scheduled events";

/// Most ids in one statement.
const MOST_IDS: usize = 1_000;

/// Most shards in one statement; SQLite takes 500 parts of a UNION.
const MOST_SHARDS: usize = 200;

struct Scheduled {
    due_at: i64,
    id: Uuid,
    shard: i16,
    wait: i64,
}

impl Inner {
    pub(super) async fn promote(
        &self,
        processor: Uuid,
        leases: &[Lease],
        limit: u32,
    ) -> Result<Option<Duration>, StoreError> {
        if leases.is_empty() {
            return Ok(None);
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let first = self.first_scheduled(processor, leases, limit.saturating_add(1)).await?;
        let due: Vec<&Scheduled> = first.iter().take_while(|event| event.wait <= 0).take(limit).collect();
        if !due.is_empty() {
            self.move_over(processor, leases, &due).await?;
        }
        let next = first.get(due.len());
        Ok(next.map(|event| Duration::from_micros(u64::try_from(event.wait).unwrap_or(0))))
    }

    /// The next events of the shards that are still leased, in the order of due time and id, due or not.
    async fn first_scheduled(
        &self,
        processor: Uuid,
        leases: &[Lease],
        limit: usize,
    ) -> Result<Vec<Scheduled>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut first = Vec::new();
        for leases in leases.chunks(MOST_SHARDS) {
            let (text, values) = if self.sql.backend == DbBackend::Postgres {
                self.first_lateral(processor, leases, limit)
            } else {
                let due = self.due(processor, leases, &mut first).await?;
                if due.is_empty() {
                    continue;
                }
                self.first_union(processor, &due, limit)
            };
            for row in query(&self.db, self.sql.statement(&text, values), DOING).await? {
                let mut cells = Cells::new(&row, false, DOING);
                let (due_at, id, shard) = (cells.take()?, cells.take()?, cells.take()?);
                first.push(Scheduled { due_at, id, shard, wait: cells.take()? });
            }
        }
        first.sort_unstable_by_key(|event| (event.due_at, event.id));
        Ok(first)
    }

    fn first_lateral(&self, processor: Uuid, leases: &[Lease], limit: i64) -> (String, Vec<Value>) {
        // The limit in words: as a parameter, the database would not believe in it.
        let text = format!(
            "SELECT f.due_at, f.id, f.shard, {} FROM {LEASES} \
             JOIN {} s ON s.shard = l.shard AND s.epoch = l.epoch AND s.owner = ? CROSS JOIN LATERAL (\
             SELECT p.due_at, p.id, p.shard FROM {} p WHERE p.shard = s.shard ORDER BY p.due_at, p.id LIMIT {limit}) f \
             ORDER BY f.due_at, f.id LIMIT {limit}",
            self.sql.until("f.due_at"),
            self.sql.shard,
            self.sql.scheduled,
        );
        let [shards, epochs] = sql::leases(leases);
        (text, vec![shards, epochs, processor.into()])
    }

    /// MariaDB and SQLite: the leases with something that is due. To ask each shard for its first event alone costs little.
    /// Of those that have none but later ones, the first goes to `later`.
    async fn due(
        &self,
        processor: Uuid,
        leases: &[Lease],
        later: &mut Vec<Scheduled>,
    ) -> Result<Vec<Lease>, StoreError> {
        let shards: Vec<i16> = leases.iter().map(|lease| number(lease.shard)).collect();
        let mut values = Vec::new();
        let is_one = self.sql.is_one_of("s.shard", &shards, &mut values);
        values.push(processor.into());
        let text = format!(
            "SELECT w.shard, w.epoch, w.due_at, {} FROM (SELECT s.shard, s.epoch, \
             (SELECT p.due_at FROM {} p WHERE p.shard = s.shard ORDER BY p.due_at, p.id LIMIT 1) AS due_at \
             FROM {} s WHERE {is_one} AND s.owner = ?) w WHERE w.due_at IS NOT NULL",
            self.sql.until("w.due_at"),
            self.sql.scheduled,
            self.sql.shard,
        );
        let mut due = Vec::new();
        for row in query(&self.db, self.sql.statement(&text, values), DOING).await? {
            let mut cells = Cells::new(&row, false, DOING);
            let lease = Lease { shard: cells.shard()?, epoch: cells.take()? };
            if !leases.contains(&lease) {
                continue;
            }
            let (due_at, wait) = (cells.take()?, cells.take()?);
            if wait > 0 {
                later.push(Scheduled { due_at, id: Uuid::max(), shard: number(lease.shard), wait });
            } else {
                due.push(lease);
            }
        }
        Ok(due)
    }

    fn first_union(&self, processor: Uuid, leases: &[Lease], limit: i64) -> (String, Vec<Value>) {
        // In a subquery, which SQLite needs for an order of its own.
        let part = format!(
            "SELECT * FROM (SELECT due_at, id, shard, {} AS wait FROM {} \
             WHERE shard = ? AND EXISTS (SELECT 1 FROM {} l WHERE l.shard = ? AND l.owner = ? AND l.epoch = ?) \
             ORDER BY due_at, id LIMIT ?) s",
            self.sql.until("due_at"),
            self.sql.scheduled,
            self.sql.shard,
        );
        let parts = vec![part; leases.len()];
        let values_of = |lease: &Lease| {
            let shard = Value::from(number(lease.shard));
            [shard.clone(), shard, processor.into(), lease.epoch.into(), limit.into()]
        };
        let mut values: Vec<Value> = leases.iter().flat_map(values_of).collect();
        values.push(limit.into());
        (format!("{} ORDER BY 1, 2 LIMIT ?", parts.join(" UNION ALL ")), values)
    }

    async fn move_over(&self, processor: Uuid, leases: &[Lease], due: &[&Scheduled]) -> Result<(), StoreError> {
        let txn = self.begin(DOING).await?;
        let moved = self.move_in(&txn, processor, leases, due).await;
        self.end(txn, moved, DOING).await?;
        failpoint!("store::promote::after_commit", DOING);
        Ok(())
    }

    async fn move_in(
        &self,
        txn: &DatabaseTransaction,
        processor: Uuid,
        leases: &[Lease],
        due: &[&Scheduled],
    ) -> Result<(), StoreError> {
        let held = self.held(txn, processor, leases, DOING).await?;
        let held: Vec<i16> = held.leases.iter().map(|(lease, _)| number(lease.shard)).collect();
        let due: Vec<&&Scheduled> = due.iter().filter(|event| held.contains(&event.shard)).collect();
        for due in due.chunks(MOST_IDS) {
            // Locked first: whatever has been moved by a call whose answer was lost is not moved twice.
            let ids: Vec<Value> = due.iter().map(|event| event.id.into()).collect();
            let text = format!(
                "SELECT id FROM {}{} WHERE id IN ({}){}",
                self.sql.scheduled,
                self.sql.by_primary_key(),
                marks(ids.len()),
                self.sql.for_update()
            );
            let rows = query(txn, self.sql.statement(&text, ids), DOING).await?;
            let ids: Result<Vec<Uuid>, _> = rows.iter().map(|row| row.try_get_by_index(0)).collect();
            let ids: Vec<Value> = ids.map_err(during(DOING))?.into_iter().map(Value::from).collect();
            if ids.is_empty() {
                continue;
            }
            self.pass_gate(txn, DOING).await?;
            let text = format!(
                "INSERT INTO {} (shard, {}, origin, attempts, next_attempt_at, errors) \
                 SELECT s.shard, {}, 1, 0, NULL, NULL FROM {} s WHERE s.id IN ({}) ORDER BY s.due_at, s.id",
                self.sql.event,
                body(),
                body_of("s"),
                self.sql.scheduled,
                marks(ids.len())
            );
            execute(txn, self.sql.statement(&text, ids.clone()), DOING).await?;
            let text = format!("DELETE FROM {} WHERE id IN ({})", self.sql.scheduled, marks(ids.len()));
            execute(txn, self.sql.statement(&text, ids), DOING).await?;
        }
        failpoint!("store::promote::before_commit", DOING);
        Ok(())
    }

    /// MariaDB: shows readers, until the transaction ends, that numbers may be allocated in it.
    pub(super) async fn pass_gate(&self, txn: &DatabaseTransaction, doing: &'static str) -> Result<(), StoreError> {
        if self.sql.backend != DbBackend::MySql {
            return Ok(());
        }
        // The slot changes four times a second, and is computed once: the limit keeps it out of the join.
        let text = format!(
            "SELECT g.slot FROM (SELECT FLOOR(UNIX_TIMESTAMP(SYSDATE(6)) * 4) % 16 AS slot LIMIT 1) c \
             STRAIGHT_JOIN {} g ON g.slot = c.slot LOCK IN SHARE MODE",
            self.sql.gate
        );
        txn.query_all_raw(self.sql.statement(&text, [])).await.map(drop).map_err(during(doing))
    }
}
