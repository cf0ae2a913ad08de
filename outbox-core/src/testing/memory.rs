use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use uuid::Uuid;

use crate::event::{Envelope, OrderKey};
use crate::message::{Message, Origin, Place};
use crate::shard::Shard;
use crate::store::{
    Change, DeadLetter, DeadState, Fate, LaneRead, LaneRows, LaneSettle, Lease, LeaseReply, LeaseRequest, Reach,
    ReadReply, ReadRequest, Rejection, Revisit, Row, SettleReply, SettleRequest, Settled, Store, StoreError,
};

/// The outbox's tables in memory, with the same contract as those in a database.
///
/// Clones share the tables. Time stands still unless a test moves it.
#[derive(Clone)]
pub struct MemoryStore(Arc<Mutex<Tables>>);

/// Events that have their numbers but are not committed: what a stalled transaction looks like from outside.
#[derive(Debug)]
#[must_use = "dropping it rolls back"]
pub struct Unsettled {
    store: MemoryStore,
    events: Vec<(i64, Envelope)>,
}

/// The tables themselves.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    pub(super) now: Duration,
    pub(super) shards: BTreeMap<Shard, ShardRow>,
    pub(super) processors: BTreeMap<Uuid, (Duration, Reach)>,
    pub(super) pending: BTreeMap<i64, PendingRow>,
    pub(super) scheduled: BTreeSet<(Duration, Uuid)>,
    pub(super) scheduled_events: BTreeMap<Uuid, Envelope>,
    pub(super) dead: BTreeMap<Uuid, DeadRow>,
    pub(super) parked: BTreeSet<OrderKey>,
    pub(super) last_seq: i64,
    pub(super) uncommitted: BTreeSet<i64>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct ShardRow {
    pub(super) owner: Option<Uuid>,
    pub(super) epoch: i64,
    pub(super) until: Duration,
    pub(super) generation: i64,
}

#[derive(Debug, Clone)]
pub(super) struct PendingRow {
    pub(super) envelope: Envelope,
    pub(super) shard: Shard,
    pub(super) origin: Origin,
    pub(super) attempts: u32,
    pub(super) not_before: Option<Duration>,
    pub(super) rejections: Vec<Rejection>,
}

#[derive(Debug, Clone)]
pub(super) struct DeadRow {
    pub(super) letter: DeadLetter,
    pub(super) origin: Origin,
}

impl MemoryStore {
    /// An empty outbox with so many shards.
    #[must_use]
    pub fn new(shards: u16) -> Self {
        let shards = (0..shards).map(|n| (Shard::new(n), ShardRow::default())).collect();
        Self(Arc::new(Mutex::new(Tables { shards, now: Duration::from_secs(1_000_000), ..Tables::default() })))
    }

    /// Commits events, as one transaction would.
    pub fn commit(&self, events: impl IntoIterator<Item = Envelope>) {
        self.begin(events).commit();
    }

    /// Gives events their numbers and leaves the transaction open.
    pub fn begin(&self, events: impl IntoIterator<Item = Envelope>) -> Unsettled {
        let mut tables = self.tables();
        let mut numbered = Vec::new();
        for envelope in events {
            tables.last_seq += 1;
            let seq = tables.last_seq;
            tables.uncommitted.insert(seq);
            numbered.push((seq, envelope));
        }
        Unsettled { store: self.clone(), events: numbered }
    }

    /// Moves the database's clock.
    pub fn advance(&self, by: Duration) {
        self.tables().now += by;
    }

    /// How many events are pending, scheduled ones left out.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.tables().pending.len()
    }

    /// Whether nothing is pending or scheduled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let tables = self.tables();
        tables.pending.is_empty() && tables.scheduled.is_empty()
    }

    /// All dead letters, and events of parked keys.
    #[must_use]
    pub fn dead(&self) -> Vec<DeadLetter> {
        self.tables().dead.values().map(|row| row.letter.clone()).collect()
    }

    pub(super) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unsettled {
    /// Makes the events visible.
    pub fn commit(mut self) {
        let mut tables = self.store.tables();
        for (seq, envelope) in std::mem::take(&mut self.events) {
            tables.uncommitted.remove(&seq);
            if let Some(delay) = envelope.delay {
                let due = tables.now + delay;
                tables.scheduled.insert((due, *envelope.id.as_uuid()));
                tables.scheduled_events.insert(*envelope.id.as_uuid(), envelope);
            } else {
                tables.insert(seq, envelope, Origin::Staged);
            }
        }
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        let mut tables = self.store.tables();
        for (seq, _) in &self.events {
            tables.uncommitted.remove(seq);
        }
    }
}

impl Tables {
    pub(super) fn shard_of(&self, envelope: &Envelope) -> Shard {
        let count = u16::try_from(self.shards.len()).unwrap_or(u16::MAX);
        match &envelope.key {
            Some(key) => Shard::of_key(key, count),
            None => Shard::of_id(envelope.id, count),
        }
    }

    pub(super) fn insert(&mut self, seq: i64, envelope: Envelope, origin: Origin) {
        let shard = self.shard_of(&envelope);
        let row = PendingRow { envelope, shard, origin, attempts: 0, not_before: None, rejections: Vec::new() };
        self.pending.insert(seq, row);
    }

    fn holds(&self, processor: Uuid, lease: Lease) -> bool {
        self.shards.get(&lease.shard).is_some_and(|row| row.owner == Some(processor) && row.epoch == lease.epoch)
    }

    fn lease(&mut self, request: &LeaseRequest) -> LeaseReply {
        let (me, until) = (request.processor, self.now + request.ttl);
        self.processors.retain(|_, (alive_until, _)| *alive_until > self.now);
        if request.leaving || request.guest {
            self.processors.remove(&me);
        } else {
            self.processors.insert(me, (until, request.reach));
        }
        for (shard, row) in &mut self.shards {
            if row.owner == Some(me) {
                row.until = until;
                let given_up = request.release.iter().any(|lease| lease.shard == *shard && lease.epoch == row.epoch);
                if given_up || request.leaving {
                    row.owner = None;
                }
            }
        }
        let living: Vec<(Uuid, Reach)> = self.processors.iter().map(|(id, (_, reach))| (*id, *reach)).collect();
        let fair_share = request.fair_share(self.shards.len(), &living);
        let most = if request.leaving { 0 } else { fair_share.min(request.most) };
        let mut owned = self.shards.values().filter(|row| row.owner == Some(me)).count();
        for row in self.shards.values_mut() {
            if owned < most && (row.owner.is_none() || row.until <= self.now) && row.owner != Some(me) {
                (row.owner, row.epoch, row.until) = (Some(me), row.epoch + 1, until);
                owned += 1;
            }
        }
        let mine = self.shards.iter().filter(|(_, row)| row.owner == Some(me));
        let held = mine.map(|(shard, row)| Lease { shard: *shard, epoch: row.epoch }).collect();
        let others =
            self.shards.values().filter(|row| row.owner.is_some_and(|owner| owner != me) && row.until > self.now);
        let next_free = others.map(|row| row.until - self.now).min();
        LeaseReply { held, fair_share, next_free }
    }

    fn read(&self, request: &ReadRequest) -> ReadReply {
        let decided = self.uncommitted.first().map_or(self.last_seq, |seq| seq - 1);
        let leased = request.lanes.iter().filter(|lane| self.holds(request.processor, lane.lease));
        ReadReply { decided, lanes: leased.map(|lane| self.read_lane(lane)).collect() }
    }

    fn read_lane(&self, lane: &LaneRead) -> LaneRows {
        let shard = lane.lease.shard;
        let rows = self
            .pending
            .range(lane.after + 1..)
            .filter(|(seq, row)| row.shard == shard && lane.known.binary_search(seq).is_err());
        let (rows, more) = self.take(rows, lane.limit, lane.bytes);
        let (mut revisited, mut more_revisited) = (Vec::new(), false);
        if let Some(revisit) = lane.revisit.as_ref().filter(|revisit| revisit.from <= revisit.to) {
            let found = self.pending.range(revisit.from..=revisit.to);
            let found = found.filter(|(seq, row)| row.shard == shard && wanted(revisit, **seq, row));
            (revisited, more_revisited) = self.take(found, revisit.limit, revisit.bytes);
        }
        let generation = self.shards.get(&shard).map_or(0, |row| row.generation);
        LaneRows { shard, generation, rows, more, revisited, more_revisited }
    }

    fn take<'a>(
        &self,
        rows: impl Iterator<Item = (&'a i64, &'a PendingRow)>,
        limit: u32,
        bytes: usize,
    ) -> (Vec<Row>, bool) {
        let (mut taken, mut size) = (Vec::new(), 0);
        for (seq, row) in rows {
            let next = row.envelope.payload.as_ref().map_or(0, bytes::Bytes::len);
            if taken.len() >= limit as usize || (!taken.is_empty() && size + next > bytes) {
                return (taken, true);
            }
            size += next;
            taken.push(self.row(*seq, row));
        }
        (taken, limit == 0)
    }

    fn row(&self, seq: i64, row: &PendingRow) -> Row {
        let retry_in = row.not_before.and_then(|at| at.checked_sub(self.now)).filter(|wait| !wait.is_zero());
        let parked = row.envelope.order_key().is_some_and(|key| self.parked.contains(&key));
        let (envelope, shard) = (row.envelope.clone(), row.shard);
        Row {
            message: Arc::new(Message {
                envelope,
                seq,
                shard,
                attempts: row.attempts,
                origin: row.origin,
                place: Place::default(),
            }),
            retry_in,
            parked,
            unreadable: None,
        }
    }

    fn settle(&mut self, request: SettleRequest) -> SettleReply {
        let mut reply = SettleReply::default();
        for lane in request.lanes {
            let settled = if self.holds(request.processor, lane.lease) {
                self.settle_lane(lane)
            } else {
                (lane.lease.shard, Settled::LeaseLost)
            };
            reply.lanes.push(settled);
        }
        reply
    }

    pub(super) fn settle_lane(&mut self, lane: LaneSettle) -> (Shard, Settled) {
        let shard = lane.lease.shard;
        let current = self.shards.get(&shard).is_some_and(|row| row.generation == lane.generation);
        for Change { seq, id, fate, .. } in lane.changes {
            if self.pending.get(&seq).is_none_or(|row| row.envelope.id != id) {
                continue;
            }
            let at = i64::try_from(self.now.as_micros()).unwrap_or(i64::MAX);
            match fate {
                Fate::Delivered => drop(self.pending.remove(&seq)),
                // An operator has put events back since they were judged.
                _ if !current => {}
                Fate::Retry { attempts, delay, error } => {
                    if let Some(row) = self.pending.get_mut(&seq).filter(|row| row.attempts <= attempts) {
                        row.attempts = attempts;
                        row.not_before = Some(self.now.saturating_add(delay));
                        remember(&mut row.rejections, Rejection { at, attempt: attempts, error });
                    }
                }
                Fate::Dead { attempts, error, park } => {
                    self.bury(
                        seq,
                        DeadState::Dead,
                        &error,
                        Some(Rejection { at, attempt: attempts, error: error.clone() }),
                    );
                    let buried = self.dead.get(id.as_uuid()).map(|dead| &dead.letter.envelope);
                    if park && let Some(key) = buried.and_then(Envelope::order_key) {
                        self.parked.insert(key);
                    }
                }
                Fate::Parked => self.bury(seq, DeadState::Parked, "behind a dead event of its key", None),
            }
        }
        (shard, if current { Settled::Done } else { Settled::Regenerated })
    }

    pub(super) fn bury(&mut self, seq: i64, state: DeadState, reason: &str, last: Option<Rejection>) {
        let Some(mut row) = self.pending.remove(&seq) else { return };
        if let Some(last) = last {
            remember(&mut row.rejections, last);
        }
        let letter = DeadLetter {
            shard: row.shard,
            seq,
            state,
            attempts: row.rejections.last().map_or(row.attempts, |last| last.attempt),
            rejections: row.rejections,
            died_at: SystemTime::UNIX_EPOCH + self.now,
            reason: reason.to_owned(),
            envelope: row.envelope,
        };
        self.dead.insert(*letter.envelope.id.as_uuid(), DeadRow { letter, origin: row.origin });
    }

    fn promote(&mut self, processor: Uuid, leases: &[Lease], limit: u32) -> Option<Duration> {
        let mut moved = 0;
        for (due, id) in self.scheduled.clone() {
            let Some(envelope) = self.scheduled_events.get(&id) else { continue };
            let shard = self.shard_of(envelope);
            if !leases.iter().any(|lease| lease.shard == shard && self.holds(processor, *lease)) {
                continue;
            }
            if due > self.now || moved == limit {
                return Some(due.saturating_sub(self.now));
            }
            self.scheduled.remove(&(due, id));
            if let Some(envelope) = self.scheduled_events.remove(&id) {
                self.last_seq += 1;
                self.insert(self.last_seq, Envelope { delay: None, ..envelope }, Origin::Delayed);
                moved += 1;
            }
        }
        None
    }
}

/// Keeps the last ten; a settle that is repeated adds nothing.
fn remember(rejections: &mut Vec<Rejection>, rejection: Rejection) {
    if rejections.last().is_none_or(|last| last.attempt != rejection.attempt) {
        rejections.push(rejection);
    }
    rejections.drain(..rejections.len().saturating_sub(10));
}

fn wanted(revisit: &Revisit, seq: i64, row: &PendingRow) -> bool {
    revisit.seqs.contains(&seq)
        || revisit.topics.iter().any(|topic| row.envelope.topic == *topic)
        || row.envelope.key.as_ref().is_some_and(|key| revisit.keys.iter().any(|sought| key == sought))
}

#[async_trait]
impl Store for MemoryStore {
    async fn open(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn lease(&self, request: LeaseRequest) -> Result<LeaseReply, StoreError> {
        Ok(self.tables().lease(&request))
    }

    async fn read(&self, request: ReadRequest) -> Result<ReadReply, StoreError> {
        Ok(self.tables().read(&request))
    }

    async fn settle(&self, request: SettleRequest) -> Result<SettleReply, StoreError> {
        Ok(self.tables().settle(request))
    }

    async fn promote(&self, processor: Uuid, leases: &[Lease], limit: u32) -> Result<Option<Duration>, StoreError> {
        Ok(self.tables().promote(processor, leases, limit))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables = self.tables();
        f.debug_struct("MemoryStore").field("pending", &tables.pending.len()).field("dead", &tables.dead.len()).finish()
    }
}
