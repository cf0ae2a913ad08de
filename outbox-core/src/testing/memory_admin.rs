use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use uuid::Uuid;

use super::memory::{DeadRow, MemoryStore, PendingRow, Tables};
use crate::event::{Envelope, EventId, OrderKey};
use crate::message::Origin;
use crate::shard::Shard;
use crate::store::{Admin, AdminError, DeadLetter, DeadState, PendingEvent, ScheduledEvent, StoreError, StoreStats};

impl Tables {
    fn age(&self, created_at: SystemTime) -> Duration {
        (SystemTime::UNIX_EPOCH + self.now).duration_since(created_at).unwrap_or_default()
    }

    fn requeue_key(&mut self, key: &OrderKey) -> u64 {
        let was_parked = self.parked.remove(key);
        let of_key = |_: &Uuid, row: &mut DeadRow| row.letter.envelope.order_key().as_ref() == Some(key);
        let mut rows: Vec<DeadRow> = self.dead.extract_if(.., of_key).map(|(_, row)| row).collect();
        rows.sort_by_key(|row| row.letter.seq);
        let count = rows.len() as u64;
        if was_parked {
            // Also with nothing to put back: what is being parked at this moment must not stay behind.
            let shard = Shard::of_key(&key.key, u16::try_from(self.shards.len()).unwrap_or(u16::MAX));
            if let Some(row) = self.shards.get_mut(&shard) {
                row.generation += 1;
            }
        }
        for DeadRow { letter, origin } in rows {
            if was_parked {
                self.insert(letter.seq, letter.envelope, origin);
            } else {
                self.put_last(letter);
            }
        }
        count
    }

    fn put_last(&mut self, letter: DeadLetter) {
        self.last_seq += 1;
        self.insert(self.last_seq, letter.envelope, Origin::Requeued);
    }
}

#[async_trait]
impl Admin for MemoryStore {
    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let tables = self.tables();
        Ok(StoreStats {
            pending_up_to_10_000: tables.pending.len().min(10_000) as u64,
            scheduled_up_to_10_000: tables.scheduled.len().min(10_000) as u64,
            dead_up_to_10_000: tables.dead.len().min(10_000) as u64,
            parked_keys_up_to_10_000: tables.parked.len().min(10_000) as u64,
            oldest_pending: tables.pending.values().map(|row| tables.age(row.envelope.created_at)).max(),
            processors: tables.processors.values().filter(|(until, _)| *until > tables.now).count() as u32,
            free_shards: tables.shards.values().filter(|row| row.owner.is_none() || row.until <= tables.now).count()
                as u32,
        })
    }

    async fn pending(&self, after: i64, limit: u32) -> Result<Vec<PendingEvent>, StoreError> {
        let tables = self.tables();
        let rows = tables.pending.range(after + 1..).take(limit as usize);
        let event = |(seq, row): (&i64, &PendingRow)| PendingEvent {
            envelope: row.envelope.clone(),
            shard: row.shard,
            seq: *seq,
            attempts: row.attempts,
            rejections: row.rejections.clone(),
            retry_in: row.not_before.and_then(|at| at.checked_sub(tables.now)),
        };
        Ok(rows.map(event).collect())
    }

    async fn scheduled(&self, after: Option<EventId>, limit: u32) -> Result<Vec<ScheduledEvent>, StoreError> {
        let tables = self.tables();
        let after = after.map(|id| *id.as_uuid());
        let mut due: Vec<&(Duration, Uuid)> = tables.scheduled.iter().filter(|(_, id)| Some(*id) > after).collect();
        due.sort_by_key(|(_, id)| *id);
        let event = |(due, id): &(Duration, Uuid)| {
            let envelope = Envelope { delay: None, ..tables.scheduled_events.get(id)?.clone() };
            let due_in = due.checked_sub(tables.now).filter(|wait| !wait.is_zero());
            Some(ScheduledEvent { shard: tables.shard_of(&envelope), envelope, due_in })
        };
        Ok(due.into_iter().take(limit as usize).filter_map(event).collect())
    }

    async fn dead_letters(&self, after: Option<EventId>, limit: u32) -> Result<Vec<DeadLetter>, StoreError> {
        let tables = self.tables();
        let place = |letter: &DeadLetter| (letter.died_at, letter.envelope.id);
        let after = after.and_then(|id| tables.dead.get(id.as_uuid())).map(|row| place(&row.letter));
        let letters = tables.dead.values().map(|row| &row.letter);
        let mut letters: Vec<DeadLetter> = letters.filter(|letter| Some(place(letter)) > after).cloned().collect();
        letters.sort_by_key(place);
        letters.truncate(limit as usize);
        Ok(letters)
    }

    async fn dead_letter(&self, id: EventId) -> Result<DeadLetter, AdminError> {
        self.tables().dead.get(id.as_uuid()).map(|row| row.letter.clone()).ok_or(AdminError::NotFound(id))
    }

    async fn parked_keys(&self, after: Option<&OrderKey>, limit: u32) -> Result<Vec<OrderKey>, StoreError> {
        let tables = self.tables();
        Ok(tables.parked.iter().filter(|key| Some(*key) > after).take(limit as usize).cloned().collect())
    }

    async fn requeue(&self, id: EventId) -> Result<(), AdminError> {
        let mut tables = self.tables();
        let row = tables.dead.get(id.as_uuid()).ok_or(AdminError::NotFound(id))?;
        if let Some(key) = row.letter.envelope.order_key().filter(|key| tables.parked.contains(key)) {
            return Err(AdminError::KeyParked { id, key });
        }
        if let Some(row) = tables.dead.remove(id.as_uuid()) {
            tables.put_last(row.letter);
        }
        Ok(())
    }

    async fn requeue_key(&self, key: &OrderKey) -> Result<u64, StoreError> {
        Ok(self.tables().requeue_key(key))
    }

    async fn requeue_all(&self, limit: u32) -> Result<u64, StoreError> {
        let mut tables = self.tables();
        let mut requeued = 0;
        for _ in 0..limit {
            let first = tables.dead.values().min_by_key(|row| row.letter.seq).map(|row| &row.letter.envelope);
            let Some((id, key)) = first.map(|envelope| (*envelope.id.as_uuid(), envelope.order_key())) else { break };
            if let Some(key) = key {
                requeued += tables.requeue_key(&key);
            } else if let Some(row) = tables.dead.remove(&id) {
                tables.put_last(row.letter);
                requeued += 1;
            }
        }
        Ok(requeued)
    }

    async fn delete(&self, id: EventId) -> Result<(), AdminError> {
        self.tables().dead.remove(id.as_uuid()).map(drop).ok_or(AdminError::NotFound(id))
    }

    async fn give_up(&self, id: EventId, reason: &str) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let found = tables.pending.iter().find(|(_, row)| row.envelope.id == id).map(|(seq, row)| (*seq, row.shard));
        let Some((seq, shard)) = found else { return Ok(false) };
        tables.bury(seq, DeadState::Dead, reason, None);
        if let Some(row) = tables.shards.get_mut(&shard) {
            row.generation += 1;
        }
        Ok(true)
    }
}
