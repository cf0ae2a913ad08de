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

/// Whether a processor can publish, as far as it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Nothing speaks against it.
    #[default]
    Works,
    /// It has given up its shards and would like one, to find out whether it can publish again.
    Trying,
    /// Everything that it tried has failed as unreachable for longer than a lease.
    Nothing,
}

impl Reach {
    /// How many shards `me` should own, of so many, beside the `living` processors, of which it is one.
    ///
    /// Those that work share all: the shares add up to what there is, and who started first has one more where they are
    /// not even. One that tries gets a single shard, and one that reaches nothing gets none. If nobody works, all share as if everybody did: one
    /// of them will be the first to get through.
    #[must_use]
    pub fn fair_share(shards: usize, me: Uuid, living: &[(Uuid, Self)]) -> usize {
        let count = |reach| living.iter().filter(|(_, of)| *of == reach).count();
        let (works, trying) = (count(Self::Works), count(Self::Trying));
        if works == 0 {
            return shards.div_ceil(living.len().max(1));
        }
        match living.iter().find(|(id, _)| *id == me) {
            Some((_, Self::Nothing)) => 0,
            Some((_, Self::Trying)) => 1,
            Some((_, Self::Works)) => {
                let left = shards.saturating_sub(trying);
                let before = living.iter().filter(|(id, reach)| *reach == Self::Works && *id < me).count();
                let share = left / works + usize::from(before < left % works);
                if trying > 0 { share.max(1) } else { share }
            }
            _ => shards.div_ceil(works),
        }
    }
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
    /// The processor stops, or stays for one run only: it does not count for the fair share of others, and its own is
    /// nothing while there are others that count. It keeps the leases that it has.
    pub guest: bool,
    /// Whether it can publish, which decides about its fair share and those of others.
    pub reach: Reach,
    /// JSON for operators: what this processor can reach.
    pub state: String,
}

impl LeaseRequest {
    /// How many of so many shards the processor should own beside the `living`, among which no guest is.
    #[must_use]
    pub fn fair_share(&self, shards: usize, living: &[(Uuid, Reach)]) -> usize {
        if self.guest && !living.is_empty() { 0 } else { Reach::fair_share(shards, self.processor, living) }
    }
}

/// What a processor owns after such a round.
#[derive(Debug, Clone, Default)]
pub struct LeaseReply {
    /// All leases that it now holds, by shard. Ones it held and that are not here are lost.
    pub held: Vec<Lease>,
    /// How many shards this processor should own: see [`LeaseRequest::fair_share`].
    pub fair_share: usize,
    /// How soon the first lease of another processor runs out unless it is renewed; `None` when others hold none. Whoever
    /// looks then takes over from one that died as soon as that is possible.
    pub next_free: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(shards: usize, living: &[Reach]) -> Vec<usize> {
        let living: Vec<(Uuid, Reach)> = (0..).map(Uuid::from_u128).zip(living.iter().copied()).collect();
        living.iter().map(|(me, _)| Reach::fair_share(shards, *me, &living)).collect()
    }

    #[test]
    fn who_works_shares_what_there_is() {
        use Reach::{Nothing, Trying, Works};
        assert_eq!(shares(8, &[Works]), [8]);
        assert_eq!(shares(8, &[Works; 3]), [3, 3, 2]);
        assert_eq!(shares(2, &[Works; 3]), [1, 1, 0], "there are not enough");
        assert_eq!(shares(8, &[Works, Nothing, Works]), [4, 0, 4]);
        assert_eq!(shares(8, &[Works, Trying]), [7, 1]);
        assert_eq!(shares(64, &[Works, Works, Trying, Works, Works, Works]), [13, 13, 1, 13, 12, 12], "exactly 64");
        assert_eq!(shares(2, &[Works, Works, Trying]), [1, 1, 1], "who works is not sent away");
    }

    #[test]
    fn if_nobody_works_all_share() {
        use Reach::{Nothing, Trying};
        assert_eq!(shares(8, &[Nothing]), [8]);
        assert_eq!(shares(8, &[Nothing, Trying, Nothing]), [3, 3, 3]);
        assert_eq!(Reach::fair_share(8, Uuid::nil(), &[]), 8);
    }
}
