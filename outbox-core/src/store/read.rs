use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::Lease;
use crate::message::Message;
use crate::shard::Shard;

/// Asks for the next events of some shards.
#[derive(Debug, Clone)]
pub struct ReadRequest {
    /// Who asks.
    pub processor: Uuid,
    /// One entry per shard.
    pub lanes: Vec<LaneRead>,
}

/// What to read of one shard.
#[derive(Debug, Clone)]
pub struct LaneRead {
    /// The lease under which it is read.
    pub lease: Lease,
    /// Events after this number, which must be at or below a mark that the store has called decided.
    pub after: i64,
    /// Numbers after `after` to leave out, because the lane has them already. Ascending.
    pub known: Vec<i64>,
    /// At most so many events, in the order of their numbers.
    pub limit: u32,
    /// At most about so many bytes of payload, but at least one event.
    pub bytes: usize,
    /// Events that were passed over before and may go now.
    pub revisit: Option<Revisit>,
}

/// Events that a lane passed over, and can deliver now.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Revisit {
    /// From this number ...
    pub from: i64,
    /// ... to this one, both included.
    pub to: i64,
    /// Events with one of these partition keys,
    pub keys: Vec<String>,
    /// or of one of these topics,
    pub topics: Vec<String>,
    /// or with one of these numbers.
    pub seqs: Vec<i64>,
    /// At most so many, in the order of their numbers.
    pub limit: u32,
    /// At most about so many bytes of payload, but at least one event.
    pub bytes: usize,
}

impl fmt::Debug for Revisit {
    /// Of the keys, which may be personal data, their number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revisit")
            .field("from", &self.from)
            .field("to", &self.to)
            .field("keys", &self.keys.len())
            .field("topics", &self.topics)
            .field("seqs", &self.seqs)
            .field("limit", &self.limit)
            .field("bytes", &self.bytes)
            .finish()
    }
}

/// The answer, all from one snapshot of the database.
#[derive(Debug, Clone, Default)]
pub struct ReadReply {
    /// No event that the snapshot does not show can still appear at or below this number, in any shard.
    pub decided: i64,
    /// One entry per lane asked for, unless its lease is lost.
    pub lanes: Vec<LaneRows>,
}

/// What one shard had.
#[derive(Debug, Clone)]
pub struct LaneRows {
    /// The shard.
    pub shard: Shard,
    /// Raised by every operation that puts events back at their old numbers.
    pub generation: i64,
    /// Events after the mark, in the order of their numbers.
    pub rows: Vec<Row>,
    /// Whether a limit cut `rows` short.
    pub more: bool,
    /// Events of the revisit, in the order of their numbers.
    pub revisited: Vec<Row>,
    /// Whether a limit cut `revisited` short.
    pub more_revisited: bool,
}

/// A pending event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The event. It is kept for as long as it is on its way, and is never moved about.
    pub message: Arc<Message>,
    /// How long it must still wait for its next attempt.
    pub retry_in: Option<Duration>,
    /// Whether its key is parked.
    pub parked: bool,
    /// Why it cannot be published as it is: the row cannot be understood, and the message has what could be. The
    /// event goes to the dead letters, with this as the reason, which says nothing of what is in it.
    pub unreadable: Option<String>,
}
