//! Moving events between the pending ones and the dead letters by hand.
//!
//! Each call locks the shard's lease row, as a settle does in share mode: no settle that has begun is overtaken, and
//! none begins before this has ended.

use outbox_core::Shard;
use outbox_core::event::{EventId, OrderKey};
use outbox_core::store::{AdminError, StoreError};
use sea_orm::{ConnectionTrait, DatabaseTransaction, Value};
use uuid::Uuid;

use super::super::error::broken;
use super::super::row::{Cells, body, body_of, number};
use super::super::settle::{Key, Which, letter};
use super::super::{Inner, execute, query};
use crate::failpoint::failpoint;

const REQUEUEING: &str = "requeueing";
const DELETING: &str = "deleting a dead letter";
const GIVING_UP: &str = "giving up an event";

/// A dead letter's place and key.
struct Place {
    shard: i16,
    key: Option<OrderKey>,
}

impl Inner {
    pub(in super::super) async fn requeue(&self, id: EventId) -> Result<(), AdminError> {
        let txn = self.begin(REQUEUEING).await?;
        let done = self.requeue_in(&txn, id).await;
        self.end(txn, done, REQUEUEING).await?;
        failpoint!("store::requeue::after_commit", REQUEUEING);
        Ok(())
    }

    async fn requeue_in(&self, txn: &DatabaseTransaction, id: EventId) -> Result<(), AdminError> {
        let place = self.lock_letter(txn, id, REQUEUEING).await?.ok_or(AdminError::NotFound(id))?;
        if let Some(key) = place.key
            && self.is_parked(txn, &key).await?
        {
            return Err(AdminError::KeyParked { id, key });
        }
        self.put_last(txn, "id = ?", &[Value::from(*id.as_uuid())]).await?;
        failpoint!("store::requeue::before_commit", REQUEUEING);
        Ok(())
    }

    pub(in super::super) async fn requeue_key(&self, key: &OrderKey) -> Result<u64, StoreError> {
        let txn = self.begin(REQUEUEING).await?;
        let count = self.requeue_key_in(&txn, key).await;
        let count = self.end(txn, count, REQUEUEING).await?;
        failpoint!("store::requeue::after_commit", REQUEUEING);
        Ok(count)
    }

    async fn requeue_key_in(&self, txn: &DatabaseTransaction, key: &OrderKey) -> Result<u64, StoreError> {
        let of_key = || [&*key.topic, &*key.key].map(Value::from);
        let shard = number(Shard::of_key(&key.key, self.shards(txn).await?));
        self.lock_shard(txn, shard, REQUEUEING).await?;
        let text = format!("DELETE FROM {} WHERE topic = ? AND partition_key = ?", self.sql.parked);
        let was_parked = execute(txn, self.sql.statement(&text, of_key()), REQUEUEING).await? > 0;
        let condition = "topic = ? AND partition_key = ?";
        let count = if was_parked {
            // Also with nothing to put back: what is being parked at this moment must not stay behind.
            self.new_generation(txn, shard, REQUEUEING).await?;
            self.put_back(txn, condition, &of_key()).await?
        } else {
            self.put_last(txn, condition, &of_key()).await?
        };
        failpoint!("store::requeue::before_commit", REQUEUEING);
        Ok(count)
    }

    pub(in super::super) async fn delete(&self, id: EventId) -> Result<(), AdminError> {
        let txn = self.begin(DELETING).await?;
        let done = self.delete_in(&txn, id).await;
        self.end(txn, done, DELETING).await
    }

    async fn delete_in(&self, txn: &DatabaseTransaction, id: EventId) -> Result<(), AdminError> {
        self.lock_letter(txn, id, DELETING).await?.ok_or(AdminError::NotFound(id))?;
        let text = format!("DELETE FROM {} WHERE id = ?", self.sql.dead);
        execute(txn, self.sql.statement(&text, [Value::from(*id.as_uuid())]), DELETING).await?;
        Ok(())
    }

    pub(in super::super) async fn give_up(&self, id: EventId, reason: &str) -> Result<bool, StoreError> {
        // Without an index on the id: this is rare, and one would cost every event.
        let text = format!("SELECT e.shard, e.seq FROM {} e WHERE e.id = ?", self.sql.event);
        let rows = query(&self.db, self.sql.statement(&text, [Value::from(*id.as_uuid())]), GIVING_UP).await?;
        let mut places = Vec::new();
        for row in rows {
            let mut cells = Cells::new(&row, false, GIVING_UP);
            places.push(Which { shard: cells.take()?, seq: cells.take()?, id });
        }
        let mut given_up = false;
        for which in places {
            given_up |= self.give_up_at(which, reason).await?;
        }
        Ok(given_up)
    }

    async fn give_up_at(&self, which: Which, reason: &str) -> Result<bool, StoreError> {
        let txn = self.begin(GIVING_UP).await?;
        let given_up = self.give_up_in(&txn, which, reason).await;
        self.end(txn, given_up, GIVING_UP).await
    }

    async fn give_up_in(&self, txn: &DatabaseTransaction, which: Which, reason: &str) -> Result<bool, StoreError> {
        self.lock_shard(txn, which.shard, GIVING_UP).await?;
        let text = format!(
            "SELECT e.attempts, e.errors FROM {} e WHERE e.shard = ? AND e.seq = ? AND e.id = ?{}",
            self.sql.event,
            self.sql.for_update()
        );
        let values = [Value::from(which.shard), which.seq.into(), (*which.id.as_uuid()).into()];
        let rows = query(txn, self.sql.statement(&text, values), GIVING_UP).await?;
        let Some(row) = rows.first() else { return Ok(false) };
        let mut cells = Cells::new(row, false, GIVING_UP);
        let (attempts, errors) = (cells.count()?, cells.errors());
        self.write_letters(txn, vec![letter(&which, attempts, errors.as_deref(), 0, Key::GoesOn, reason)], GIVING_UP)
            .await?;
        self.remove(txn, &[which], GIVING_UP).await?;
        self.new_generation(txn, which.shard, GIVING_UP).await?;
        Ok(true)
    }

    /// Makes dead letters pending at their old numbers, with no attempts counted.
    async fn put_back(&self, txn: &DatabaseTransaction, condition: &str, values: &[Value]) -> Result<u64, StoreError> {
        self.put(txn, "seq, ", "d.seq, ", "d.origin", condition, values).await
    }

    /// Makes dead letters pending at new numbers, with no attempts counted.
    async fn put_last(&self, txn: &DatabaseTransaction, condition: &str, values: &[Value]) -> Result<u64, StoreError> {
        self.pass_gate(txn, REQUEUEING).await?;
        self.put(txn, "", "", "2", condition, values).await
    }

    async fn put(
        &self,
        txn: &DatabaseTransaction,
        seq: &str,
        of_seq: &str,
        origin: &str,
        condition: &str,
        values: &[Value],
    ) -> Result<u64, StoreError> {
        let text = format!(
            "INSERT INTO {} (shard, {seq}{}, origin, attempts, next_attempt_at, errors) \
             SELECT d.shard, {of_seq}{}, {origin}, 0, NULL, NULL FROM {} d WHERE {condition} ORDER BY d.seq",
            self.sql.event,
            body(),
            body_of("d"),
            self.sql.dead
        );
        let count = execute(txn, self.sql.statement(&text, values.to_vec()), REQUEUEING).await?;
        let text = format!("DELETE FROM {} WHERE {condition}", self.sql.dead);
        execute(txn, self.sql.statement(&text, values.to_vec()), REQUEUEING).await?;
        Ok(count)
    }

    /// Locks the lease row of a dead letter's shard, and then the letter, if it is still there.
    async fn lock_letter(
        &self,
        txn: &DatabaseTransaction,
        id: EventId,
        doing: &'static str,
    ) -> Result<Option<Place>, StoreError> {
        let id = *id.as_uuid();
        let Some(place) = self.place(txn, id, "", doing).await? else { return Ok(None) };
        self.lock_shard(txn, place.shard, doing).await?;
        self.place(txn, id, self.sql.for_update(), doing).await
    }

    async fn place(
        &self,
        txn: &DatabaseTransaction,
        id: Uuid,
        lock: &str,
        doing: &'static str,
    ) -> Result<Option<Place>, StoreError> {
        let text = format!("SELECT d.shard, d.topic, d.partition_key FROM {} d WHERE d.id = ?{lock}", self.sql.dead);
        let rows = query(txn, self.sql.statement(&text, [Value::from(id)]), doing).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut cells = Cells::new(row, false, doing);
        let (shard, topic) = (cells.take()?, cells.text("topic"));
        let key = cells.key().map(|key| OrderKey::new(&*topic, &*key));
        Ok(Some(Place { shard, key }))
    }

    async fn is_parked(&self, conn: &impl ConnectionTrait, key: &OrderKey) -> Result<bool, StoreError> {
        let text = format!("SELECT k.shard FROM {} k WHERE k.topic = ? AND k.partition_key = ?", self.sql.parked);
        let values = [&*key.topic, &*key.key].map(Value::from);
        let rows = query(conn, self.sql.statement(&text, values), REQUEUEING).await?;
        Ok(!rows.is_empty())
    }

    /// Counted each time: the tables may have been made again since the last one, and now that they were read they
    /// stay as they are until the transaction ends.
    async fn shards(&self, txn: &DatabaseTransaction) -> Result<u16, StoreError> {
        let text = format!("SELECT COUNT(*) FROM {}", self.sql.shard);
        let rows = query(txn, self.sql.statement(&text, []), REQUEUEING).await?;
        let count: i64 = rows.first().map_or(Ok(0), |row| Cells::new(row, false, REQUEUEING).take())?;
        let count = u16::try_from(count).ok().filter(|count| *count > 0);
        count.ok_or_else(|| broken(REQUEUEING, format!("{} has no rows, or too many", self.sql.shard)))
    }

    async fn lock_shard(&self, txn: &DatabaseTransaction, shard: i16, doing: &'static str) -> Result<(), StoreError> {
        let text = format!("SELECT s.shard FROM {} s WHERE s.shard = ?{}", self.sql.shard, self.sql.for_update());
        query(txn, self.sql.statement(&text, [Value::from(shard)]), doing).await.map(drop)
    }

    /// Tells whoever delivers the shard to read it again from the start.
    async fn new_generation(
        &self,
        txn: &DatabaseTransaction,
        shard: i16,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let text = format!("UPDATE {} SET generation = generation + 1 WHERE shard = ?", self.sql.shard);
        execute(txn, self.sql.statement(&text, [Value::from(shard)]), doing).await.map(drop)
    }
}
