use std::time::Duration;

use uuid::Uuid;

use crate::shard::Shard;

/// The right to deliver a shard's events, until somebody else takes it over and raises the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lease {
    /// The shard.
    pub shard: Shard,
    /// Rises with every change of owner.
    pub epoch: i64,
}

/// One round of keeping, giving up and taking leases.
#[derive(Debug, Clone)]
pub struct LeaseRequest {
    /// Who asks. A new id for every processor that starts.
    pub processor: Uuid,
    /// A name for people.
    pub name: String,
    /// How long the leases and the processor itself count as alive, from now on the database's clock.
    pub ttl: Duration,
    /// Leases to give up.
    pub release: Vec<Lease>,
    /// Most shards to own afterwards; the store takes no more than the fair share of what is free.
    pub most: usize,
    /// The processor goes away: it no longer counts for the fair share, and keeps no lease.
    pub leaving: bool,
    /// JSON for operators: what this processor can reach.
    pub state: String,
}

/// What a processor owns after such a round.
#[derive(Debug, Clone, Default)]
pub struct LeaseReply {
    /// All leases that it now holds, by shard. Ones it held and that are not here are lost.
    pub held: Vec<Lease>,
    /// How many shards each live processor should own: shards divided by processors, rounded up.
    pub fair_share: usize,
}
