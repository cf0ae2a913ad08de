//! Stores that break their contract.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use outbox_core::Shard;
use outbox_core::store::{
    Lease, LeaseReply, LeaseRequest, ReadReply, ReadRequest, SettleReply, SettleRequest, Store, StoreError,
    StoreErrorKind,
};
use outbox_sea_orm::SeaOrmStore;
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use uuid::Uuid;

/// By how much a mark by time lags behind. Transactions here take a few milliseconds, so it looks safe.
pub(super) const LAG: Duration = Duration::from_millis(300);

/// Calls decided what was the highest number some time ago.
#[derive(Debug)]
pub(super) struct Mark {
    inner: SeaOrmStore,
    lag: Duration,
    seen: Mutex<VecDeque<(Instant, i64)>>,
}

impl Mark {
    /// What is seen is decided: a cursor.
    pub(super) fn at_once(inner: SeaOrmStore) -> Self {
        Self::after(inner, Duration::ZERO)
    }

    pub(super) fn after(inner: SeaOrmStore, lag: Duration) -> Self {
        Self { inner, lag, seen: Mutex::default() }
    }

    fn mark(&self, highest: Option<i64>) -> Option<i64> {
        let now = Instant::now();
        let mut seen = lock(&self.seen);
        seen.extend(highest.map(|highest| (now, highest)));
        let of_old = |(at, _): &(Instant, i64)| now.duration_since(*at) >= self.lag;
        let mark = seen.iter().filter(|seen| of_old(seen)).map(|(_, highest)| *highest).max();
        // The rest is needed again; of this one number remembers all.
        if let Some(mark) = mark {
            seen.retain(|seen| !of_old(seen));
            seen.push_front((now.checked_sub(self.lag).unwrap_or(now), mark));
        }
        mark
    }
}

#[async_trait]
impl Store for Mark {
    async fn open(&self) -> Result<(), StoreError> {
        self.inner.open().await
    }

    async fn lease(&self, request: LeaseRequest) -> Result<LeaseReply, StoreError> {
        self.inner.lease(request).await
    }

    async fn read(&self, request: ReadRequest) -> Result<ReadReply, StoreError> {
        let mut reply = self.inner.read(request).await?;
        let highest = reply.lanes.iter().flat_map(|lane| &lane.rows).map(|row| row.message.seq).max();
        reply.decided = reply.decided.max(self.mark(highest).unwrap_or_default());
        Ok(reply)
    }

    async fn settle(&self, request: SettleRequest) -> Result<SettleReply, StoreError> {
        self.inner.settle(request).await
    }

    async fn promote(&self, processor: Uuid, leases: &[Lease], limit: u32) -> Result<Option<Duration>, StoreError> {
        self.inner.promote(processor, leases, limit).await
    }
}

/// Believes in every lease that it had and did not give up, and uses whoever's there is in its place.
#[derive(Debug)]
pub(super) struct NoFence {
    inner: SeaOrmStore,
    db: DatabaseConnection,
    had: Mutex<BTreeMap<Shard, Lease>>,
}

impl NoFence {
    pub(super) fn new(inner: SeaOrmStore, db: DatabaseConnection) -> Self {
        Self { inner, db, had: Mutex::default() }
    }

    /// Who has which shard now.
    async fn owners(&self) -> Result<BTreeMap<Shard, (Uuid, Lease)>, StoreError> {
        let sql = "SELECT shard, owner, epoch FROM outbox_shard WHERE owner IS NOT NULL";
        let rows = self.db.query_all_raw(Statement::from_string(self.db.get_database_backend(), sql)).await;
        let mut owners = BTreeMap::new();
        for row in rows.map_err(lost)? {
            let shard: i16 = row.try_get_by_index(0).map_err(lost)?;
            let shard = Shard::new(u16::try_from(shard).unwrap_or_default());
            let (owner, epoch) = (row.try_get_by_index(1).map_err(lost)?, row.try_get_by_index(2).map_err(lost)?);
            owners.insert(shard, (owner, Lease { shard, epoch }));
        }
        Ok(owners)
    }
}

fn lost(error: sea_orm::DbErr) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "looking for the owners", error)
}

#[async_trait]
impl Store for NoFence {
    async fn open(&self) -> Result<(), StoreError> {
        self.inner.open().await
    }

    async fn lease(&self, request: LeaseRequest) -> Result<LeaseReply, StoreError> {
        let (leaving, released) = (request.leaving, request.release.clone());
        let mut reply = self.inner.lease(request).await?;
        if !leaving {
            let mut had = lock(&self.had);
            had.retain(|_, lease| !released.contains(lease));
            let held = reply.held.len();
            for lease in reply.held {
                had.entry(lease.shard).or_insert(lease);
            }
            reply.held = had.values().copied().collect();
            reply.fair_share += reply.held.len() - held;
        }
        Ok(reply)
    }

    async fn read(&self, request: ReadRequest) -> Result<ReadReply, StoreError> {
        let owners = self.owners().await?;
        let mut all = ReadReply { decided: i64::MAX, ..ReadReply::default() };
        let mut by_owner: BTreeMap<Uuid, ReadRequest> = BTreeMap::new();
        for mut lane in request.lanes {
            let (owner, lease) = owners.get(&lane.lease.shard).copied().unwrap_or((request.processor, lane.lease));
            lane.lease = lease;
            let of_owner = by_owner.entry(owner).or_insert(ReadRequest { processor: owner, lanes: Vec::new() });
            of_owner.lanes.push(lane);
        }
        for request in by_owner.into_values() {
            let mut reply = self.inner.read(request).await?;
            all.decided = all.decided.min(reply.decided);
            all.lanes.append(&mut reply.lanes);
        }
        Ok(all)
    }

    async fn settle(&self, request: SettleRequest) -> Result<SettleReply, StoreError> {
        let owners = self.owners().await?;
        let mut all = SettleReply::default();
        for mut lane in request.lanes {
            let (owner, lease) = owners.get(&lane.lease.shard).copied().unwrap_or((request.processor, lane.lease));
            lane.lease = lease;
            let mut reply = self.inner.settle(SettleRequest { processor: owner, lanes: vec![lane] }).await?;
            all.lanes.append(&mut reply.lanes);
        }
        Ok(all)
    }

    async fn promote(&self, processor: Uuid, leases: &[Lease], limit: u32) -> Result<Option<Duration>, StoreError> {
        self.inner.promote(processor, leases, limit).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
