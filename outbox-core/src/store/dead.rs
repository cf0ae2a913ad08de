use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use thiserror::Error;

use super::StoreError;
use crate::event::{Envelope, EventId, OrderKey};
use crate::shard::Shard;

/// Why an event lies among the dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeadState {
    /// It was rejected for the last time, or an operator gave it up.
    Dead,
    /// Its key is parked behind a dead one.
    Parked,
}

/// One rejection.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rejection {
    /// When, in microseconds since the Unix epoch, by the database's clock.
    pub at: i64,
    /// Which attempt it was, counted from 1.
    pub attempt: u32,
    /// What the broker said.
    pub error: String,
}

/// An event among the dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event.
    pub envelope: Envelope,
    /// Its shard.
    pub shard: Shard,
    /// The number it had.
    pub seq: i64,
    /// Why it is here.
    pub state: DeadState,
    /// How often it was rejected.
    pub attempts: u32,
    /// The last ten rejections, oldest first.
    pub rejections: Vec<Rejection>,
    /// Since when it is here.
    pub died_at: SystemTime,
    /// The last word on it.
    pub reason: String,
}

/// An event that waits to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingEvent {
    /// The event.
    pub envelope: Envelope,
    /// Its shard.
    pub shard: Shard,
    /// Its number.
    pub seq: i64,
    /// How often it was rejected.
    pub attempts: u32,
    /// The last ten rejections, oldest first.
    pub rejections: Vec<Rejection>,
    /// How long it must still wait for its next attempt.
    pub retry_in: Option<Duration>,
}

/// An event whose time has not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledEvent {
    /// The event.
    pub envelope: Envelope,
    /// Its shard.
    pub shard: Shard,
    /// How long until it takes its place among the pending ones; `None` when it is due.
    pub due_in: Option<Duration>,
}

/// What the outbox holds, at a cost that does not grow with the backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StoreStats {
    /// Pending events, counted up to 10,000 and no further.
    pub pending_up_to_10_000: u64,
    /// Age of the oldest pending event of each shard's first ones, the largest of them.
    pub oldest_pending: Option<Duration>,
    /// Delayed events that are not pending yet, counted up to 10,000 and no further.
    pub scheduled_up_to_10_000: u64,
    /// Dead letters, counted up to 10,000 and no further.
    pub dead_up_to_10_000: u64,
    /// Parked keys, counted up to 10,000 and no further.
    pub parked_keys_up_to_10_000: u64,
    /// Processors alive by the database's clock.
    pub processors: u32,
    /// Shards whose lease nobody holds.
    pub free_shards: u32,
}

/// Why an operator's request was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AdminError {
    /// There is no such event.
    #[error("there is no dead letter {0}")]
    NotFound(EventId),
    /// The event's key is parked: it can only be requeued as a whole, so that order is kept.
    #[error("the key of dead letter {id} is parked; requeue the key as a whole, which keeps its order")]
    KeyParked {
        /// The event.
        id: EventId,
        /// Its key.
        key: OrderKey,
    },
    /// The store failed; whether anything was done is unknown.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What operators do with the outbox.
///
/// # Cancel safety
///
/// A call that is dropped either happened or did not; nothing is half done.
#[async_trait]
pub trait Admin: Send + Sync {
    /// What the outbox holds.
    ///
    /// # Errors
    ///
    /// The store failed.
    async fn stats(&self) -> Result<StoreStats, StoreError>;

    /// Pending events of all shards with numbers after `after`, lowest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// The store failed.
    async fn pending(&self, after: i64, limit: u32) -> Result<Vec<PendingEvent>, StoreError>;

    /// Delayed events that are not pending yet, in the order of their ids, at most `limit`, after the id `after`.
    ///
    /// # Errors
    ///
    /// The store failed.
    async fn scheduled(&self, after: Option<EventId>, limit: u32) -> Result<Vec<ScheduledEvent>, StoreError>;

    /// Dead letters in the order of death, at most `limit`, after the one called `after`.
    ///
    /// # Errors
    ///
    /// The store failed.
    async fn dead_letters(&self, after: Option<EventId>, limit: u32) -> Result<Vec<DeadLetter>, StoreError>;

    /// One dead letter.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`], or the store failed.
    async fn dead_letter(&self, id: EventId) -> Result<DeadLetter, AdminError>;

    /// Parked keys, in the order of topic and key, at most `limit`, after `after`.
    ///
    /// # Errors
    ///
    /// The store failed.
    async fn parked_keys(&self, after: Option<&OrderKey>, limit: u32) -> Result<Vec<OrderKey>, StoreError>;

    /// Makes a dead letter pending again, behind everything that is pending, with no attempts counted.
    ///
    /// # Errors
    ///
    /// See [`AdminError`].
    async fn requeue(&self, id: EventId) -> Result<(), AdminError>;

    /// Makes all dead letters of a key pending again, in their order, and lets the key go on if it was parked.
    /// Of a parked key they take their old places; of one that went on they come behind what is pending.
    /// Returns how many.
    ///
    /// # Errors
    ///
    /// The store failed.
    async fn requeue_key(&self, key: &OrderKey) -> Result<u64, StoreError>;

    /// [`requeue_key`](Self::requeue_key) for every key, and [`requeue`](Self::requeue) for every unordered event,
    /// until there is none left or `limit` keys and events have been treated. Returns how many events.
    ///
    /// # Errors
    ///
    /// The store failed; what was requeued before stays so.
    async fn requeue_all(&self, limit: u32) -> Result<u64, StoreError>;

    /// Deletes a dead letter for ever. A parked key stays parked until it is requeued.
    ///
    /// # Errors
    ///
    /// See [`AdminError`].
    async fn delete(&self, id: EventId) -> Result<(), AdminError>;

    /// Gives up a pending event by hand, for example one whose topic will never exist. If it is with a publisher
    /// at this moment it can still be delivered. Returns whether it was there.
    ///
    /// # Errors
    ///
    /// The store failed.
    async fn give_up(&self, id: EventId, reason: &str) -> Result<bool, StoreError>;
}
