use std::time::Instant;

use super::{Call, Engine, Lane, StoreError};
use crate::shard::Shard;
use crate::store::{Fate, LaneSettle, SettleReply, SettleRequest, Settled};

/// Most changes in one settle: enough to be cheap for each, few enough to be quick.
pub(super) const MOST: usize = 5_000;

/// The settle that is under way.
#[derive(Debug, Default)]
pub(super) struct Settling {
    under_way: bool,
    /// Somebody waits for it.
    pub(super) urgent: bool,
    /// Since when there is something to settle.
    since: Option<Instant>,
}

impl Engine {
    pub(super) fn settle_due(&self) -> Option<Instant> {
        if self.settling.under_way {
            return None;
        }
        self.settling.since.map(|since| since + self.config.settle_delay)
    }

    pub(super) fn next_settle(&mut self, now: Instant) -> Option<SettleRequest> {
        if self.settling.under_way {
            return None;
        }
        let again = self.lanes.values().any(|lane| !lane.settling.is_empty());
        let pending = self.unwritten();
        if pending == 0 && !again {
            self.settling.since = None;
            self.pace.works(Call::Settle); // as far as anybody knows
            return None;
        }
        let since = *self.settling.since.get_or_insert(now);
        let handing_over = self.lanes.values().any(|lane| lane.draining);
        let due = again
            || self.settling.urgent
            || handing_over
            || self.config.once.is_some()
            || pending >= self.config.batch_size / 2
            || now >= since + self.config.settle_delay;
        if !due || self.pace.is_waiting(now, Call::Settle) {
            return None;
        }
        // What may have been written already is written again before anything else, and alone.
        if !again {
            self.share_out();
            self.settling.urgent = false;
            self.settling.since = None;
        }
        let lanes: Vec<LaneSettle> =
            self.lanes.values().filter(|lane| !lane.settling.is_empty()).map(LaneSettle::of).collect();
        self.settling.under_way = true;
        Some(SettleRequest { processor: self.id, lanes })
    }

    /// Outcomes that are to be settled.
    pub(super) fn unwritten(&self) -> usize {
        self.lanes.values().map(|lane| lane.changes.len()).sum()
    }

    /// What the next settle writes: of every lane its share, and more of some if others have less.
    fn share_out(&mut self) {
        let mut lanes: Vec<&mut Lane> = self.lanes.values_mut().filter(|lane| !lane.changes.is_empty()).collect();
        // From the shortest on, what each leaves of its share is for the others.
        lanes.sort_by_key(|lane| lane.changes.len());
        let (mut left, mut others) = (MOST, lanes.len());
        for lane in lanes {
            let some = lane.changes.len().min((left / others).max(1)).min(left);
            lane.settling = lane.changes.drain(..some).collect();
            lane.settling_generation = lane.generation;
            (left, others) = (left - some, others - 1);
        }
    }

    pub(super) fn settled(&mut self, now: Instant, answer: Result<SettleReply, StoreError>) {
        self.settling.under_way = false;
        let reply = match answer {
            Ok(reply) => reply,
            Err(error) => {
                self.store_failed(now, Call::Settle, &error);
                return;
            }
        };
        self.pace.works(Call::Settle);
        for (shard, settled) in reply.lanes {
            match settled {
                Settled::Done => self.lane_settled(now, shard, true),
                Settled::Regenerated => self.lane_settled(now, shard, false),
                // A lane that has nothing under way was made later, under a newer lease.
                Settled::LeaseLost if self.lanes.get(&shard).is_none_or(|lane| lane.settling.is_empty()) => {}
                Settled::LeaseLost => {
                    tracing::warn!(%shard, "lost the lease of a shard; its last events may be published twice");
                    self.drop_lane(now, shard);
                }
            }
        }
    }

    /// A lane's settle was written, all of it or its deliveries alone.
    fn lane_settled(&mut self, now: Instant, shard: Shard, complete: bool) {
        let Some(lane) = self.lanes.get_mut(&shard) else { return };
        let mut delivered = 0;
        for change in &lane.settling {
            match change.fate {
                Fate::Delivered => delivered += 1,
                _ if !complete => {}
                Fate::Retry { .. } => self.counts.retried += 1,
                Fate::Dead { .. } => self.counts.dead += 1,
                Fate::Parked => self.counts.parked += 1,
            }
        }
        self.counts.delivered += delivered as u64;
        self.window.give_back(delivered);
        let gone = lane.settled(now, complete);
        // There is a new generation, which the next read shows; until then what was not written is held.
        self.reading.wanted |= !complete;
        self.no_longer_pending(shard, gone);
    }
}

impl LaneSettle {
    fn of(lane: &Lane) -> Self {
        Self { lease: lane.lease, generation: lane.settling_generation, changes: lane.settling.clone() }
    }
}
