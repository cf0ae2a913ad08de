//! What happens to a database from outside, and looks into the tables that no processor has: for the simulation.

use std::time::Duration;

use uuid::Uuid;

use super::memory::{MemoryStore, PendingRow, Tables};
use crate::event::{Envelope, EventId, OrderKey};
use crate::shard::Shard;
use crate::store::{LaneSettle, Settled};

/// A row that a settle is about to delete.
#[derive(Debug)]
pub(crate) struct Kept(i64, PendingRow);

/// The tables as they were at some time.
#[derive(Debug)]
pub(crate) struct Image(Box<Tables>);

impl Kept {
    pub(crate) fn seq(&self) -> i64 {
        self.0
    }

    pub(crate) fn id(&self) -> EventId {
        self.1.envelope.id
    }
}

impl Image {
    /// By the database's clock.
    pub(crate) fn made_at(&self) -> Duration {
        self.0.now
    }
}

impl MemoryStore {
    /// Who owns a shard, and since which epoch.
    pub(crate) fn owner(&self, shard: Shard) -> Option<(Uuid, i64)> {
        let tables = self.tables();
        let row = tables.shards.get(&shard)?;
        row.owner.map(|owner| (owner, row.epoch))
    }

    pub(crate) fn generation(&self, shard: Shard) -> i64 {
        self.tables().shards.get(&shard).map_or(0, |row| row.generation)
    }

    pub(crate) fn is_parked(&self, key: &OrderKey) -> bool {
        self.tables().parked.contains(key)
    }

    /// The highest number that was given out.
    pub(crate) fn last_number(&self) -> i64 {
        self.tables().last_seq
    }

    /// What is pending, in the order of numbers.
    pub(crate) fn for_each_pending(&self, mut each: impl FnMut(i64, &Envelope)) {
        self.for_each_pending_of(|seq, _, event| each(seq, event));
    }

    /// The same with the shards.
    pub(crate) fn for_each_pending_of(&self, mut each: impl FnMut(i64, Shard, &Envelope)) {
        self.tables().pending.iter().for_each(|(seq, row)| each(*seq, row.shard, &row.envelope));
    }

    pub(crate) fn pending_id(&self, seq: i64) -> Option<EventId> {
        self.tables().pending.get(&seq).map(|row| row.envelope.id)
    }

    /// Puts the database's clock to a time since it was made, whichever.
    pub(crate) fn set_clock(&self, now: Duration) {
        self.tables().now = now;
    }

    pub(crate) fn clock(&self) -> Duration {
        self.tables().now
    }

    /// A copy of the row, if it is pending.
    pub(crate) fn keep(&self, seq: i64, id: EventId) -> Option<Kept> {
        let tables = self.tables();
        tables.pending.get(&seq).filter(|row| row.envelope.id == id).map(|row| Kept(seq, row.clone()))
    }

    /// The deletion of a row was not durable. Whether it is back.
    pub(crate) fn put_back(&self, Kept(seq, row): Kept) -> bool {
        let mut tables = self.tables();
        let free = !tables.pending.contains_key(&seq) && !tables.dead.contains_key(row.envelope.id.as_uuid());
        if free {
            tables.pending.insert(seq, row);
        }
        free
    }

    /// The server has been restarted; the store notices, and begins new generations.
    pub(crate) fn restart(&self) {
        self.tables().shards.values_mut().for_each(|row| row.generation += 1);
    }

    /// A settle without the fence.
    pub(crate) fn settle_unfenced(&self, lane: LaneSettle) -> (Shard, Settled) {
        self.tables().settle_lane(lane)
    }

    pub(crate) fn image(&self) -> Image {
        Image(Box::new(self.tables().clone()))
    }

    /// Another server takes over that has not heard of what happened since the image. No transaction may be open.
    /// The store notices, and begins new generations.
    pub(crate) fn fail_over(&self, Image(mut image): Image) {
        let mut tables = self.tables();
        for (shard, row) in &mut image.shards {
            row.generation = tables.shards.get(shard).map_or(0, |row| row.generation) + 1;
        }
        image.now = tables.now;
        image.uncommitted.clear();
        *tables = *image;
    }
}
