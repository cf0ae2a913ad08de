//! What a processor hands to a publisher.

use std::fmt;

use crate::event::{Envelope, EventId, OrderKey};
use crate::shard::Shard;

/// How an event came to its place in the order of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Origin {
    /// Staged, and due at once.
    #[default]
    Staged,
    /// Staged with a delay: it took its place when it was due.
    Delayed,
    /// Requeued from the dead letters while its key went on: it comes behind later events.
    Requeued,
}

/// A committed event on its way to the broker.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The event.
    pub envelope: Envelope,
    /// Its number in the outbox: rises with the order of staging, with gaps, and says nothing across databases.
    pub seq: i64,
    /// Its shard.
    pub shard: Shard,
    /// How many times the broker has rejected it.
    pub attempts: u32,
    /// How it came to its place.
    pub origin: Origin,
}

impl Message {
    /// The event's id.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.envelope.id
    }

    /// Topic and partition key, unless the event is unordered.
    #[must_use]
    pub fn order_key(&self) -> Option<OrderKey> {
        self.envelope.order_key()
    }

    /// See [`Envelope::size`].
    #[must_use]
    pub fn size(&self) -> usize {
        self.envelope.size()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("seq", &self.seq)
            .field("shard", &self.shard.number())
            .field("attempts", &self.attempts)
            .field("origin", &self.origin)
            .field("envelope", &self.envelope)
            .finish()
    }
}
