//! What a processor hands to a publisher.

use std::fmt;

use serde::Deserialize;

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

/// Where a store has an event, in its own words and as far as it wants to remember that: a hint, possibly out of date, for
/// the store that gave it alone. By default nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Place(pub u64);

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
    /// Where its store has it, which means nothing to anybody else.
    pub place: Place,
}

impl Message {
    /// The event's id.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.envelope.id
    }

    /// The topic to publish to.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.envelope.topic
    }

    /// The partition key; `None` for an unordered event.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.envelope.key.as_deref()
    }

    /// The stable name of what happened.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.envelope.event_type
    }

    /// The value of one of the event's own headers, whatever the case of its name. What a publisher adds to a record
    /// itself, such as `outbox-event-id`, is not among them.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.envelope.headers.get(name)
    }

    /// The payload's bytes; `None` is a tombstone.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        self.envelope.payload.as_deref()
    }

    /// See [`Envelope::payload_text`].
    #[must_use]
    pub fn payload_text(&self) -> Option<&str> {
        self.envelope.payload_text()
    }

    /// See [`Envelope::payload_json`].
    ///
    /// # Errors
    ///
    /// The payload is not the JSON of a `T`.
    pub fn payload_json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        self.envelope.payload_json()
    }

    /// Topic and partition key, unless the event is unordered.
    #[must_use]
    pub fn order_key(&self) -> Option<OrderKey> {
        self.envelope.order_key()
    }

    /// Bytes in memory and on the wire, roughly: see [`Envelope::size`].
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

#[cfg(test)]
mod tests {
    use crate::testing::message;

    #[test]
    fn what_a_publisher_needs_is_one_call_away() {
        let mut message = message("orders", Some("7"), 1, "x");
        message.envelope.headers.set("tenant-id", "t1").unwrap();
        assert_eq!((message.topic(), message.key(), message.event_type()), ("orders", Some("7"), "test.happened"));
        assert_eq!((message.header("Tenant-Id"), message.header("user-id")), (Some("t1"), None));
    }
}
