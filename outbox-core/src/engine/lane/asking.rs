//! What a lane asks the store for.

use std::time::Instant;

use super::{Destination, Lane, LaneRead, Topics};

impl Lane {
    /// Whether something that was passed over may go now.
    pub(in crate::engine) fn wants_pass(&self, now: Instant, flows: impl Fn(&Destination) -> bool) -> bool {
        !self.is_catching_up() && self.holds.wants_pass(now, flows)
    }

    /// When something that was passed over may go.
    pub(in crate::engine) fn next_due(&self) -> Option<Instant> {
        if self.is_catching_up() { None } else { self.holds.next_due() }
    }

    /// What to read next: up to `limit` new events, and up to `share` of what was passed over and may go now.
    pub(in crate::engine) fn read(
        &mut self,
        now: Instant,
        (limit, share): (u32, u32),
        bytes: usize,
        topics: &Topics,
    ) -> LaneRead {
        let probe = topics.probe_of(self.lease.shard).filter(|topic| self.may_probe(topic));
        let flows = |destination: &Destination| topics.flows(destination);
        let mut revisit = None;
        if self.wants_pass(now, flows) || probe.is_some() {
            revisit = self.holds.revisit(now, self.front, flows, probe);
            if let Some(revisit) = &mut revisit {
                (revisit.limit, revisit.bytes) = (share.max(1), bytes);
            }
        }
        let sure = self.tracked.keys().copied().filter(|seq| !self.doubtful.contains(seq));
        let above = sure.filter(|seq| *seq > self.mark);
        let mut known: Vec<i64> = above.chain(self.passed.iter().copied()).collect();
        known.sort_unstable();
        self.absent = true;
        LaneRead { lease: self.lease, after: self.mark, known, limit, bytes, revisit }
    }

    /// How many new events to ask for of `share`, where no more can be remembered: all of them while the lane reads again
    /// what it knew before, since it cannot let anything go until it is through; one, if what is decided has moved on and
    /// entries can be forgotten then.
    pub(in crate::engine) fn although_saturated(&self, share: u32) -> u32 {
        let can_forget = self.passed.first().is_some_and(|seq| *seq <= self.decided);
        if self.is_catching_up() { share } else { u32::from(can_forget) }
    }

    /// Whether there is something new to read, and it may be read.
    pub(in crate::engine) fn is_hungry(&self, saturated: bool) -> bool {
        self.hungry && (!saturated || self.although_saturated(1) > 0)
    }

    /// Whether a search for an event of this topic makes sense.
    pub(in crate::engine) fn may_probe(&self, topic: &Destination) -> bool {
        !self.is_catching_up() && self.holds.has_topic(topic)
    }
}
