//! Keeping, giving up and taking leases, in one transaction; or in [one statement](super::renew), if that will do.

use std::time::Duration;

use outbox_core::Shard;
use outbox_core::store::{Lease, LeaseReply, LeaseRequest, Reach, StoreError};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, QueryResult, Statement, Value};
use uuid::Uuid;

use super::row::{Cells, number};
use super::sql::{clip, marks, micros};
use super::steady::NO_SETTINGS;
use super::{Inner, execute, query};
use crate::failpoint::failpoint;

pub(super) const DOING: &str = "leasing shards";

/// How long a processor that is gone is remembered, for operators.
pub(super) const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// A shard's row at the beginning.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) shard: i16,
    pub(super) owner: Option<Uuid>,
    pub(super) free: bool,
    /// Microseconds until its lease runs out, where it has not.
    pub(super) left: i64,
}

/// When the first lease of others than `me` runs out.
pub(super) fn next_free(me: Uuid, seen: &[Seen]) -> Option<Duration> {
    let others = seen.iter().filter(|seen| !seen.free && seen.owner != Some(me));
    others.map(|seen| Duration::from_micros(u64::try_from(seen.left).unwrap_or(0))).min()
}

impl Inner {
    pub(super) async fn lease(&self, request: &LeaseRequest) -> Result<LeaseReply, StoreError> {
        let reply = match self.renew(request).await? {
            Some(reply) => reply,
            None => {
                let txn = self.begin(DOING).await?;
                let reply = self.lease_in(&txn, request).await;
                self.end(txn, reply, DOING).await?
            }
        };
        failpoint!("store::lease::after_commit", DOING);
        Ok(reply)
    }

    async fn lease_in(&self, txn: &DatabaseTransaction, request: &LeaseRequest) -> Result<LeaseReply, StoreError> {
        self.show_up(txn, request).await?;
        let living = self.living(txn).await?;
        let seen = self.overview(txn).await?;
        let fair_share = request.fair_share(seen.len(), &living);
        let mut held = self.keep(txn, request, &seen).await?;
        if !request.leaving {
            let most = fair_share.min(request.most);
            self.take(txn, request, &seen, most, &mut held).await?;
        }
        failpoint!("store::lease::before_commit", DOING);
        held.sort_unstable();
        Ok(LeaseReply { held, fair_share, next_free: next_free(request.processor, &seen) })
    }

    /// Counts the processor among the living, or no longer.
    async fn show_up(&self, txn: &DatabaseTransaction, request: &LeaseRequest) -> Result<(), StoreError> {
        let table = &self.sql.processor;
        let me = Value::from(request.processor);
        if request.leaving {
            let text = format!("DELETE FROM {table} WHERE id = ?");
            return execute(txn, self.sql.statement(&text, [me]), DOING).await.map(drop);
        }
        let now = self.sql.now();
        let update = if self.sql.backend == DbBackend::MySql {
            "ON DUPLICATE KEY UPDATE name = VALUES(name), alive_until = VALUES(alive_until), lease = VALUES(lease), reach = VALUES(reach), \
             state = VALUES(state)"
        } else {
            "ON CONFLICT (id) DO UPDATE \
             SET name = excluded.name, alive_until = excluded.alive_until, lease = excluded.lease, reach = excluded.reach, \
             state = excluded.state"
        };
        let text = format!(
            "INSERT INTO {table} (id, name, started_at, alive_until, lease, reach, state) \
             VALUES (?, ?, {now}, {now} + ?, ?, ?, ?) {update}"
        );
        let (name, state) = (clip(&request.name, 255), request.state.replace('\0', ""));
        let reach = number_of(request.reach);
        let counted = if request.guest { Duration::ZERO } else { request.ttl };
        let (counted, lease) = (micros(counted), micros(request.ttl));
        let values = [me, name.into(), counted.into(), lease.into(), reach.into(), state.into()];
        execute(txn, self.sql.statement(&text, values), DOING).await.map(drop)
    }

    /// The living, and what they reach; forgets those that have been dead for long.
    async fn living(&self, txn: &DatabaseTransaction) -> Result<Vec<(Uuid, Reach)>, StoreError> {
        let (table, now) = (&self.sql.processor, self.sql.now());
        let text = format!(
            "SELECT id, reach, CASE WHEN {} THEN 1 ELSE 0 END, \
             CASE WHEN alive_until < {now} - ? THEN 1 ELSE 0 END FROM {table}",
            self.sql.lasts("", "alive_until")
        );
        let (mut living, mut forgotten) = (Vec::new(), Vec::new());
        for row in query(txn, self.sql.statement(&text, [micros(REMEMBERED).into()]), DOING).await? {
            let mut cells = Cells::new(&row, false, DOING);
            let (id, reach): (Uuid, i16) = (cells.take()?, cells.take()?);
            if cells.flag()? {
                living.push((id, reach_of(reach)));
            }
            if cells.flag()? {
                forgotten.push(Value::from(id));
            }
        }
        // By their ids: a search in the DELETE would wait for the rows of all others.
        forgotten.truncate(100);
        if !forgotten.is_empty() {
            let ids = marks(forgotten.len());
            let text = format!("DELETE FROM {table} WHERE id IN ({ids}) AND alive_until < {now} - ?");
            forgotten.push(micros(REMEMBERED).into());
            execute(txn, self.sql.statement(&text, forgotten), DOING).await?;
        }
        Ok(living)
    }

    /// All shards, without a lock: what is done about them is checked again under one.
    async fn overview(&self, conn: &impl ConnectionTrait) -> Result<Vec<Seen>, StoreError> {
        let text = format!(
            "SELECT shard, owner, CASE WHEN {} THEN 1 ELSE 0 END, {} FROM {} ORDER BY shard",
            self.free(),
            self.left(),
            self.sql.shard
        );
        let rows = query(conn, self.sql.statement(&text, []), DOING).await?;
        let seen = |row| {
            let mut cells = Cells::new(row, false, DOING);
            Ok(Seen { shard: cells.take()?, owner: cells.take()?, free: cells.flag()?, left: cells.take()? })
        };
        rows.iter().map(seen).collect()
    }

    /// Renews what the processor holds and does not give up.
    async fn keep(
        &self,
        txn: &DatabaseTransaction,
        request: &LeaseRequest,
        seen: &[Seen],
    ) -> Result<Vec<Lease>, StoreError> {
        let me = request.processor;
        let mine: Vec<i16> = seen.iter().filter(|seen| seen.owner == Some(me)).map(|seen| seen.shard).collect();
        if mine.is_empty() {
            return Ok(Vec::new());
        }
        let locked = self.lock(txn, &mine, "owner = ?", &[me.into()], self.sql.for_update()).await?;
        let (kept, released): (Vec<Lease>, Vec<Lease>) =
            locked.into_iter().partition(|lease| !request.leaving && !request.release.contains(lease));
        let lease = Value::from(micros(request.ttl));
        let renewed = format!("lease_until = {} + ?, lease = ?", self.sql.now());
        self.update(txn, &kept, &renewed, &[lease.clone(), lease]).await?;
        self.update(txn, &released, "owner = NULL, lease_until = 0", &[]).await?;
        Ok(kept)
    }

    /// Microseconds until a shard's lease runs out; of one that nobody holds, something less than nothing.
    pub(super) fn left(&self) -> String {
        format!("lease_until - {}", self.sql.now())
    }

    /// Whether anybody may take a shard.
    pub(super) fn free(&self) -> String {
        format!("(owner IS NULL OR NOT {})", self.sql.lasts("", "lease_until"))
    }

    /// Takes free shards until the processor has `most`. Where it starts depends on who it is, so that processors
    /// that start together do not look at the same ones.
    async fn take(
        &self,
        txn: &DatabaseTransaction,
        request: &LeaseRequest,
        seen: &[Seen],
        most: usize,
        held: &mut Vec<Lease>,
    ) -> Result<(), StoreError> {
        let me = request.processor;
        let free = free_for(me, seen);
        let mut left = free.as_slice();
        while held.len() < most && !left.is_empty() {
            let (some, rest) = left.split_at(left.len().min(most - held.len()));
            left = rest;
            let mut taken = self.lock(txn, some, &self.free(), &[], self.sql.for_update_of_the_free()).await?;
            let set = format!("owner = ?, epoch = epoch + 1, lease_until = {} + ?, lease = ?", self.sql.now());
            let lease = Value::from(micros(request.ttl));
            self.update(txn, &taken, &set, &[me.into(), lease.clone(), lease]).await?;
            for lease in &mut taken {
                lease.epoch += 1;
            }
            held.append(&mut taken);
        }
        Ok(())
    }

    /// Locks those of these shards' rows that meet a condition, in the order of shards.
    async fn lock(
        &self,
        txn: &DatabaseTransaction,
        shards: &[i16],
        condition: &str,
        values: &[Value],
        lock: &str,
    ) -> Result<Vec<Lease>, StoreError> {
        let mut all = Vec::new();
        let is_one = self.sql.is_one_of("shard", shards, &mut all);
        all.extend_from_slice(values);
        let text = format!(
            "SELECT shard, epoch FROM {}{} WHERE {is_one} AND {condition} ORDER BY shard{lock}",
            self.sql.shard,
            self.sql.by_primary_key()
        );
        let rows = query(txn, self.sql.statement(&text, all), DOING).await?;
        let lease = |row| {
            let mut cells = Cells::new(row, false, DOING);
            Ok(Lease { shard: cells.shard()?, epoch: cells.take()? })
        };
        rows.iter().map(lease).collect()
    }

    /// Changes rows that this transaction has locked.
    async fn update(
        &self,
        txn: &DatabaseTransaction,
        leases: &[Lease],
        set: &str,
        values: &[Value],
    ) -> Result<(), StoreError> {
        if leases.is_empty() {
            return Ok(());
        }
        let shards: Vec<i16> = leases.iter().map(|lease| number(lease.shard)).collect();
        let mut all = values.to_vec();
        let is_one = self.sql.is_one_of("shard", &shards, &mut all);
        let text = format!("UPDATE {}{} SET {set} WHERE {is_one}", self.sql.shard, self.sql.by_primary_key());
        execute(txn, self.sql.statement(&text, all), DOING).await.map(drop)
    }

    /// Which of these leases are still held, with the generation and, in microseconds, the time. Nobody can take them over
    /// until the transaction ends; this is the fence.
    pub(super) async fn held(
        &self,
        txn: &DatabaseTransaction,
        processor: Uuid,
        leases: &[Lease],
        doing: &'static str,
    ) -> Result<Held, StoreError> {
        let rows = query(txn, self.fence(leases, NO_SETTINGS), doing).await?;
        Held::of(&rows, processor, leases, doing)
    }

    /// Locks the rows of these leases. The first column is the caller's.
    pub(super) fn fence(&self, leases: &[Lease], first: &str) -> Statement {
        let mut shards: Vec<i16> = leases.iter().map(|lease| number(lease.shard)).collect();
        shards.sort_unstable();
        let mut values = Vec::new();
        let is_one = self.sql.is_one_of("shard", &shards, &mut values);
        let text = format!(
            "SELECT {first}, shard, owner, epoch, generation, {} FROM {}{} WHERE {is_one} ORDER BY shard{}",
            self.sql.now(),
            self.sql.shard,
            self.sql.by_primary_key(),
            self.sql.for_share(),
        );
        self.sql.statement(&text, values)
    }
}

/// What the fence found.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Leases that are still held, with their generations.
    pub(super) leases: Vec<(Lease, i64)>,
    /// The time, in microseconds.
    pub(super) now: i64,
}

impl Held {
    pub(super) fn of(
        rows: &[QueryResult],
        processor: Uuid,
        leases: &[Lease],
        doing: &'static str,
    ) -> Result<Self, StoreError> {
        let mut held = Self::default();
        for row in rows {
            let mut cells = Cells::new(row, false, doing);
            drop(cells.take::<String>()?);
            let shard: Shard = cells.shard()?;
            let owner: Option<Uuid> = cells.take()?;
            let lease = Lease { shard, epoch: cells.take()? };
            let generation = cells.take()?;
            held.now = cells.take()?;
            if owner == Some(processor) && leases.contains(&lease) {
                held.leases.push((lease, generation));
            }
        }
        Ok(held)
    }
}

/// As the column has it.
pub(super) fn number_of(reach: Reach) -> i16 {
    match reach {
        Reach::Works => 0,
        Reach::Trying => 1,
        Reach::Nothing => 2,
    }
}

pub(super) fn reach_of(number: i16) -> Reach {
    match number {
        1 => Reach::Trying,
        2 => Reach::Nothing,
        // What a later version may say is no reason to take its shards away.
        _ => Reach::Works,
    }
}

/// The free shards, in the order in which this processor looks at them.
fn free_for(me: Uuid, seen: &[Seen]) -> Vec<i16> {
    let (_, random) = me.as_u64_pair();
    let start = usize::try_from(random % (seen.len().max(1) as u64)).unwrap_or(0);
    let (before, after) = seen.split_at(start);
    let others = after.iter().chain(before).filter(|seen| seen.free && seen.owner != Some(me));
    others.map(|seen| seen.shard).collect()
}
