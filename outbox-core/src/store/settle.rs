use std::time::Duration;

use uuid::Uuid;

use super::Lease;
use crate::event::EventId;
use crate::message::{Message, Place};
use crate::shard::Shard;

/// Writes back what became of events, all or none of a shard's.
#[derive(Debug, Clone)]
pub struct SettleRequest {
    /// Who asks.
    pub processor: Uuid,
    /// One entry per shard.
    pub lanes: Vec<LaneSettle>,
}

/// What became of events of one shard. Doing the same twice changes nothing.
///
/// # Generations
///
/// An operator who puts events back at their old numbers, or takes one away, raises the shard's generation. Such an
/// event has the number and the id of one that was judged before: a settle that was put together before, or is sent
/// again because its answer was lost, would undo what the operator did, and nobody would have tried the event again.
/// Under any but the shard's current generation therefore only [`Fate::Delivered`] is written, which is as true as
/// before; every other outcome leaves its event exactly as it is, and the answer is [`Settled::Regenerated`].
///
/// The attempt that is left out is not counted, and is made again after the shard has been read anew. That costs at
/// most one attempt per event, and operation of the operator.
#[derive(Debug, Clone)]
pub struct LaneSettle {
    /// The lease under which they were published.
    pub lease: Lease,
    /// The generation that the last read showed when this was put together.
    pub generation: i64,
    /// Event by event.
    pub changes: Vec<Change>,
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The event's number, and
    pub seq: i64,
    /// its id: both must match, because numbers can repeat after a restore.
    pub id: EventId,
    /// Where the store has seen it, which may help to find it.
    pub place: Place,
    /// What happened.
    pub fate: Fate,
}

impl Change {
    /// What became of this event.
    #[must_use]
    pub fn of(message: &Message, fate: Fate) -> Self {
        Self { seq: message.seq, id: message.id(), place: message.place, fate }
    }
}

/// What happened to an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The broker has it: remove it.
    Delivered,
    /// The broker rejected it: keep it, with this state. Not under an old generation.
    Retry {
        /// Rejections so far.
        attempts: u32,
        /// How long to wait, from now on the database's clock.
        delay: Duration,
        /// The last error.
        error: String,
    },
    /// It will not be tried again: move it to the dead letters. Not under an old generation.
    Dead {
        /// Rejections so far.
        attempts: u32,
        /// The last error.
        error: String,
        /// Park its key: later events of it move aside until an operator decides.
        park: bool,
    },
    /// Its key is parked: move it aside. Not under an old generation.
    Parked,
}

/// What was written.
#[derive(Debug, Clone, Default)]
pub struct SettleReply {
    /// One entry per lane of the request.
    pub lanes: Vec<(Shard, Settled)>,
}

/// What was written of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Everything.
    Done,
    /// Only [`Fate::Delivered`], because the shard has another generation by now.
    Regenerated,
    /// Nothing: somebody else holds the lease.
    LeaseLost,
}
