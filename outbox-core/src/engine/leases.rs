use std::time::{Duration, Instant};

use super::key::Key;
use super::{Call, Engine, Flight, Lane};
use crate::shard::Shard;
use crate::store::{Lease, LeaseReply, LeaseRequest, StoreError};

/// How soon to look for free shards again while there are fewer than the fair share.
const EAGER: Duration = Duration::from_secs(1);

/// How long after a lease of others is to run out to look for it: what its owner wrote together runs out together, but for
/// the time between two statements.
const MARGIN: Duration = Duration::from_millis(50);

/// When to renew, and how long the leases are good for on this side.
#[derive(Debug)]
pub(super) struct Leases {
    ttl: Duration,
    next: Instant,
    under_way: bool,
    /// Nothing is sent after this, by the monotonic clock.
    valid_until: Option<Instant>,
    /// To be given up; the first `asked` of them are in the request that is under way.
    pub(super) releasing: Vec<Lease>,
    asked: usize,
    answered: u32,
    leaving: bool,
    /// The others have been told that this processor stops.
    told: bool,
    /// All leases are given up, for good.
    pub(super) left: bool,
}

impl Leases {
    pub(super) fn new(now: Instant, ttl: Duration) -> Self {
        Self {
            ttl,
            next: now,
            under_way: false,
            valid_until: None,
            releasing: Vec::new(),
            asked: 0,
            answered: 0,
            leaving: false,
            told: false,
            left: false,
        }
    }

    pub(super) fn are_valid(&self, now: Instant) -> bool {
        self.valid_until.is_some_and(|until| now < until)
    }

    /// Whether the first round is over.
    pub(super) fn is_settled(&self) -> bool {
        self.answered > 0
    }
}

impl Engine {
    pub(super) fn lease_due(&self) -> Option<Instant> {
        if self.leases.under_way || self.leases.left {
            return None;
        }
        let handed_over = self.lanes.values().filter_map(|lane| lane.drain_by).min();
        Some(handed_over.map_or(self.leases.next, |at| at.min(self.leases.next)))
    }

    pub(super) fn next_lease(&mut self, now: Instant) -> Option<LeaseRequest> {
        let stopping = self.stop.is_some();
        let leaving = stopping && self.lanes.is_empty() && self.flights.is_empty();
        let news = self.standing.is_news() || stopping != self.leases.told;
        let due = now >= self.leases.next || leaving || news || !self.leases.releasing.is_empty();
        if self.leases.under_way || self.leases.left || !due || self.pace.is_waiting(now, Call::Lease) {
            return None;
        }
        self.leases.under_way = true;
        self.leases.leaving = leaving;
        self.leases.told = stopping;
        self.leases.asked = self.leases.releasing.len();
        Some(LeaseRequest {
            processor: self.id,
            name: self.name.clone(),
            ttl: self.config.lease,
            release: self.leases.releasing.clone(),
            most: if stopping { 0 } else { usize::MAX },
            leaving,
            guest: stopping || self.config.once.is_some(),
            reach: self.standing.announce(),
            state: self.describe(),
        })
    }

    pub(super) fn leased(&mut self, now: Instant, asked: Instant, answer: Result<LeaseReply, StoreError>) {
        self.leases.under_way = false;
        let reply = match answer {
            Ok(reply) => reply,
            Err(error) => {
                self.leases.told = false;
                self.store_failed(now, Call::Lease, &error);
                return;
            }
        };
        self.pace.works(Call::Lease);
        self.leases.answered = self.leases.answered.saturating_add(1);
        if self.leases.leaving {
            self.leases.left = true;
            return;
        }
        // A lane can have been drained since the request was sent: it goes with the next one.
        let releasing = self.leases.releasing.clone();
        self.leases.releasing.drain(..self.leases.asked);
        // A tenth in reserve: the two clocks do not run at exactly the same speed.
        self.leases.valid_until = Some(asked + self.leases.ttl - self.leases.ttl / 10);
        let held = reply.held.iter().filter(|lease| !releasing.contains(lease));
        self.reconcile(now, held.copied().collect());
        self.give_up_excess(now, reply.fair_share);
        if self.lanes.is_empty() {
            // These are not made any more, and so fail no more.
            self.pace.works(Call::Read);
            self.pace.works(Call::Promote);
        }
        let owned = self.lanes.len();
        let eager = self.stop.is_none() && owned < reply.fair_share;
        let third = self.leases.ttl / 3;
        let next = if eager { third.min(EAGER) } else { third };
        // Others renew theirs in time, unless they died. Then whoever looks as soon as these are free loses no time.
        let next = reply.next_free.map_or(next, |free| next.min(free + MARGIN));
        self.leases.next = asked + next;
    }

    /// Makes the lanes those of `held`.
    fn reconcile(&mut self, now: Instant, held: Vec<Lease>) {
        let lost: Vec<Shard> =
            self.lanes.values().filter(|lane| !held.contains(&lane.lease)).map(|lane| lane.lease.shard).collect();
        for shard in lost {
            tracing::warn!(%shard, "lost the lease of a shard; its last events may be published twice");
            self.drop_lane(now, shard);
        }
        for lease in held {
            if self.lanes.contains_key(&lease.shard) {
                continue;
            }
            if self.stop.is_some() {
                self.leases.releasing.push(lease);
            } else {
                self.next_lane += 1;
                self.lanes.insert(lease.shard, Lane::new(lease, self.next_lane));
                self.hold_behind_orphans(lease.shard);
                (self.reading.wanted, self.reading.promoted) = (true, false);
            }
        }
    }

    /// Another processor should have some of the shards: lets them drain, whichever, so that one that tries whether it
    /// can publish gets another one each time. First those that have nothing with the publisher.
    fn give_up_excess(&mut self, now: Instant, fair_share: usize) {
        let share = match (fair_share, self.standing.told(fair_share)) {
            (0, false) => return,
            (share, _) => share,
        };
        let mut kept: Vec<&mut Lane> = self.lanes.values_mut().filter(|lane| !lane.draining).collect();
        let excess = kept.len().saturating_sub(share);
        self.random.shuffle(&mut kept);
        kept.sort_by_key(|lane| !lane.is_drained());
        for lane in kept.into_iter().take(excess) {
            (lane.draining, lane.drain_by) = (true, Some(now + self.config.drain));
            lane.drop_queued();
        }
    }

    /// Gives up the shards that are drained, and those that have had long enough: whoever takes them publishes again
    /// what is still open.
    pub(super) fn hand_over(&mut self, now: Instant) {
        let goes =
            |lane: &Lane| lane.draining && (lane.is_drained() || lane.drain_by.is_some_and(|until| until <= now));
        let going: Vec<(Lease, bool)> =
            self.lanes.values().filter(|lane| goes(lane)).map(|lane| (lane.lease, lane.is_drained())).collect();
        for (lease, drained) in going {
            if !drained {
                let shard = lease.shard;
                tracing::warn!(%shard, "a shard could not be handed over in time; its last events may be published twice");
            }
            self.drop_lane(now, lease.shard);
            self.leases.releasing.push(lease);
        }
    }

    /// Forgets a shard; what is still with the publisher is an orphan.
    pub(super) fn drop_lane(&mut self, now: Instant, shard: Shard) {
        let Some(lane) = self.lanes.remove(&shard) else { return };
        let mut unreported = 0;
        for Flight { key, .. } in self.flights.values().filter(|flight| flight.lane == lane.serial) {
            *self.orphans.entry((shard, key.clone())).or_default() += 1;
            unreported += 1;
        }
        self.window.give_back(lane.unsettled() - unreported);
        self.topics.forget_shard(now, shard);
    }

    /// Nothing is sent of a key of which something is still with the publisher under an earlier lease.
    pub(super) fn hold_behind_orphans(&mut self, shard: Shard) {
        let Some(lane) = self.lanes.get_mut(&shard) else { return };
        for (_, key) in self.orphans.keys().filter(|(of, _)| *of == shard) {
            lane.holds.hold_key(key.clone(), 0);
        }
    }

    /// An event of a lost lease was reported at last.
    pub(super) fn orphan_reported(&mut self, now: Instant, shard: Shard, key: Key) {
        let orphan = (shard, key);
        let Some(left) = self.orphans.get_mut(&orphan) else { return };
        *left -= 1;
        if *left > 0 {
            return;
        }
        self.orphans.remove(&orphan);
        if let Some(lane) = self.lanes.get_mut(&shard) {
            lane.holds.release_key(&orphan.1, now);
        }
    }

    fn describe(&self) -> String {
        let paused: Vec<_> = self
            .topics
            .paused()
            .into_iter()
            .map(|(topic, cause)| serde_json::json!({"topic": topic, "cause": cause}))
            .collect();
        serde_json::json!({ "reach": self.standing.reach(), "paused": paused }).to_string()
    }
}
