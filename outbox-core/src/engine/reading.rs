use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::destination::Destination;
use super::key::SLOW;
use super::lane::Lane;
use super::{Call, Engine, StoreError, settling};
use crate::shard::Shard;
use crate::store::{Lease, ReadReply, ReadRequest};

/// Fewest events asked of a shard, so that a small read still makes progress everywhere.
const LEAST: usize = 8;
/// What an event is taken to weigh before any has been seen.
const GUESS: usize = 2_048;
/// How many events a read brings at first, so that the first ones come soon.
const FIRST: usize = 1_000;

/// The read that is under way, and what is known about the next.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// There is a reason to look into every shard.
    pub(super) wanted: bool,
    /// Shards that are still to be looked into for the last such reason, where there is no room for all at a time.
    left: usize,
    under_way: bool,
    began: Option<Instant>,
    /// For which lanes it reads: a shard can be lost and won again before the answer comes.
    asked: Vec<u64>,
    /// Settled while the read was under way: it may still show them.
    gone: Vec<(Shard, Vec<i64>)>,
    /// Average size of the events of the last reads.
    weight: Option<usize>,
    /// How many events a read may bring: more and more, as long as what the last one brought was used up before the next
    /// one came, and there was more.
    reach: Option<usize>,
    /// Where to go on when there is room for some of the shards alone.
    next_shard: Shard,
    promoting: bool,
    promote_at: Option<Instant>,
    promote_not_before: Option<Instant>,
    /// Everything that was due has been moved since the last shard came.
    pub(super) promoted: bool,
    /// When the next of what is queued will have waited for long.
    slow_at: Option<Instant>,
}

/// What may be read ahead.
struct Room {
    events: usize,
    bytes: usize,
}

impl Reading {
    /// Whether nothing is being read or moved, and everything has been at least once.
    pub(super) fn is_idle(&self) -> bool {
        !self.under_way && !self.promoting && self.promoted && !self.wanted && self.left == 0
    }

    /// Somebody committed something, which may be a scheduled event too.
    pub(super) fn woken(&mut self, now: Instant) {
        self.wanted = true;
        let soonest = self.promote_not_before.map_or(now, |at| at.max(now));
        self.promote_at = self.promote_at.map(|at| at.min(soonest));
    }
}

impl Engine {
    /// When to read, or to make room for it, if nothing else happens.
    pub(super) fn read_due(&self, now: Instant) -> Option<Instant> {
        if !self.may_read() {
            return None;
        }
        let going = self.lanes.values().filter(|lane| !lane.draining && !lane.absent);
        let due = [going.filter_map(Lane::next_due).min(), self.pace.next_look()].into_iter().flatten().min();
        match self.room_to_read() {
            Some(_) => due,
            None if self.read_wanted(now) => self.reading.slow_at,
            None => due.max(self.reading.slow_at.filter(|_| due.is_some())),
        }
    }

    pub(super) fn next_read(&mut self, now: Instant) -> Option<ReadRequest> {
        if self.pace.is_waiting(now, Call::Read) || !self.read_wanted(now) {
            return None;
        }
        if !self.reading.under_way && self.room_to_read().is_none() {
            self.make_room(now);
        }
        let Room { events: room, bytes: room_bytes } = self.room_to_read()?;
        let mut asked: Vec<Shard> =
            self.lanes.values().filter(|lane| !lane.draining).map(|lane| lane.lease.shard).collect();
        let all = asked.len();
        let few = (room / LEAST).max(1);
        let saturated = self.is_saturated();
        let picks = all > few && !self.look_wanted(now);
        if picks {
            asked.retain(|shard| self.lanes.get(shard).is_some_and(|lane| self.wants_read(now, lane, saturated)));
        }
        if asked.is_empty() {
            return None;
        }
        let next = asked.partition_point(|shard| *shard < self.reading.next_shard);
        let wanting = asked.len();
        asked.rotate_left(next % wanting);
        asked.truncate(few);
        self.reading.next_shard = asked.last().map_or(Shard::new(0), |shard| Shard::new(shard.number() + 1));
        let has_some: BTreeSet<Shard> = asked.iter().filter(|shard| self.has_some(now, **shard)).copied().collect();
        // Where nothing is known to be, a quarter of the room is enough to find out.
        let shares = |room: usize| {
            let small = room / (4 * asked.len());
            (small, (room * 3 / 4).checked_div(has_some.len()).unwrap_or(small))
        };
        let (small, large) = shares(room);
        let (small_bytes, large_bytes) = shares(room_bytes);
        let mut requests = Vec::with_capacity(asked.len());
        for shard in &asked {
            let Some(lane) = self.lanes.get_mut(shard) else { continue };
            let (share, bytes) = if has_some.contains(shard) { (large, large_bytes) } else { (small, small_bytes) };
            let share = share.max(LEAST);
            // Where no more can be remembered nothing new is read, unless that lets something be forgotten; what is
            // held can still go.
            let share = u32::try_from(share).unwrap_or(u32::MAX);
            let limit = if saturated { lane.although_saturated(share) } else { share };
            requests.push(lane.read(now, (limit, share), bytes, &self.topics));
        }
        self.reading.asked = asked.iter().filter_map(|shard| Some(self.lanes.get(shard)?.serial)).collect();
        self.reading.under_way = true;
        self.reading.began = Some(now);
        if std::mem::take(&mut self.reading.wanted) || self.look_is_due(now) {
            self.reading.left = all;
        }
        self.reading.left = self.reading.left.min(all).saturating_sub(asked.len());
        if !picks {
            self.pace.looked(now);
        }
        Some(ReadRequest { processor: self.id, lanes: requests })
    }

    fn may_read(&self) -> bool {
        let going = self.lanes.values().any(|lane| !lane.draining);
        going && !self.reading.under_way && self.stop.is_none() && self.once_left > 0
    }

    /// Reading stands still for want of room: what has been queued for long goes back to the table, so that one key, or
    /// a part of a topic, does not hold up all others.
    fn make_room(&mut self, now: Instant) {
        if !self.may_read() || self.reading.slow_at.is_some_and(|at| now < at) {
            return;
        }
        let topics = &self.topics;
        let going = self.lanes.values_mut().filter(|lane| !lane.draining);
        let next = going.filter_map(|lane| lane.make_room(now, |destination| topics.flows(destination))).min();
        // Not for every key on its own.
        self.reading.slow_at = Some(next.map_or(now + SLOW, |at| at.max(now + SLOW / 4)));
        let lanes = &self.lanes;
        self.topics.keep_ready(|shard, key| lanes.get(&shard).is_some_and(|lane| lane.is_ready(key)));
    }

    /// How much may be read now, unless that is nothing, or too little to be worth it.
    fn room_to_read(&self) -> Option<Room> {
        if !self.may_read() {
            return None;
        }
        // Events of parked keys cost no room, and it takes longer to move them aside than to read them.
        if self.unwritten() >= settling::MOST {
            return None;
        }
        let (queued, queued_bytes) = self.queued();
        let weight = self.reading.weight.unwrap_or(GUESS).max(1);
        let read_ahead = self.config.window_bytes / 4;
        let reach = self.reading.reach.unwrap_or(FIRST);
        let capacity = self.config.batch_size.min(reach).min(read_ahead / weight).max(1);
        let bytes = read_ahead.saturating_sub(queued_bytes);
        let events = capacity.saturating_sub(queued).min(bytes / weight).max(usize::from(queued == 0));
        // Small reads cost as much as large ones: wait until half of the room is free.
        (events * 2 >= capacity).then_some(Room { events, bytes })
    }

    /// Whether a shard is known to have something that can be read now: new, or passed over before.
    fn has_some(&self, now: Instant, shard: Shard) -> bool {
        let flows = |destination: &Destination| self.topics.flows(destination);
        self.lanes.get(&shard).is_some_and(|lane| lane.hungry || lane.wants_pass(now, flows))
    }

    fn read_wanted(&self, now: Instant) -> bool {
        let saturated = self.is_saturated();
        self.look_wanted(now) || self.lanes.values().any(|lane| self.wants_read(now, lane, saturated))
    }

    /// Whether all shards are to be looked into.
    fn look_wanted(&self, now: Instant) -> bool {
        self.reading.wanted || self.reading.left > 0 || self.look_is_due(now)
    }

    /// Whether there is something in this shard that is known, and can be read now.
    fn wants_read(&self, now: Instant, lane: &Lane, saturated: bool) -> bool {
        let flows = |destination: &Destination| self.topics.flows(destination);
        let probes = || self.topics.probe_of(lane.lease.shard).is_some_and(|topic| lane.may_probe(topic));
        let wants = || lane.is_hungry(saturated) || lane.wants_pass(now, flows) || probes();
        !lane.draining && !lane.absent && wants()
    }

    fn look_is_due(&self, now: Instant) -> bool {
        self.pace.next_look().is_none_or(|due| due <= now)
    }

    /// Whether no more can be remembered of what was passed over.
    pub(super) fn is_saturated(&self) -> bool {
        self.lanes.values().map(Lane::held).sum::<usize>() >= self.config.most_held
    }

    pub(super) fn read(&mut self, now: Instant, answer: Result<ReadReply, StoreError>) {
        self.reading.under_way = false;
        let gone = std::mem::take(&mut self.reading.gone);
        match answer {
            Ok(reply) => {
                self.pace.works(Call::Read);
                let began = self.reading.began.unwrap_or(now);
                self.pace.took(now.saturating_duration_since(began));
                self.take_in(now, reply);
            }
            Err(error) => {
                self.reading.wanted = true;
                self.store_failed(now, Call::Read, &error);
            }
        }
        for (shard, seqs) in gone {
            if let Some(lane) = self.lanes.get_mut(&shard) {
                lane.forget(&seqs);
            }
        }
    }

    fn take_in(&mut self, now: Instant, reply: ReadReply) {
        let reach = self.reading.reach.unwrap_or(FIRST);
        if !reply.lanes.iter().any(|lane| lane.more || lane.more_revisited) {
            self.reading.reach = Some((reach / 2).max(FIRST));
        } else if self.queued().0 == 0 {
            self.reading.reach = Some((reach * 2).min(self.config.batch_size).max(FIRST));
        }
        let (mut events, mut bytes, mut new) = (0, 0, false);
        for mut found in reply.lanes {
            for row in found.rows.iter_mut().chain(&mut found.revisited) {
                // One that waits longer than it was told to is not left to a clock that went back.
                row.retry_in = row.retry_in.filter(|wait| self.config.retry.allows(&row.message, *wait));
            }
            let shard = found.shard;
            let asked = &self.reading.asked;
            let lane = self.lanes.get_mut(&shard).filter(|lane| !lane.draining && asked.contains(&lane.serial));
            let Some(lane) = lane else { continue };
            for row in found.rows.iter().chain(&found.revisited) {
                events += 1;
                bytes += row.message.size();
            }
            new |= !found.rows.is_empty();
            let generation = lane.generation;
            lane.take_in(now, found, reply.decided, &mut self.topics, &self.config.retry);
            if lane.generation != generation {
                // What was admitted to probe a topic is gone with everything else.
                self.topics.forget_shard(now, shard);
                self.hold_behind_orphans(shard);
                self.reading.wanted = true;
            }
        }
        self.reading.weight = bytes.checked_div(events).or(self.reading.weight);
        // What was held says nothing about what is to come. What is new does: where nobody tells of commits, it is the best
        // hint at more.
        if new {
            self.pace.hinted(now);
        }
    }

    /// Numbers that are no longer pending: forgets them as soon as no read can show them any more.
    pub(super) fn no_longer_pending(&mut self, shard: Shard, seqs: Vec<i64>) {
        if self.reading.under_way {
            self.reading.gone.push((shard, seqs));
        } else if let Some(lane) = self.lanes.get_mut(&shard) {
            lane.forget(&seqs);
        }
    }

    /// Scheduled events are looked for together with the others, and when the next known one is due.
    pub(super) fn promote_due(&self, now: Instant) -> Option<Instant> {
        let going = self.lanes.values().any(|lane| !lane.draining);
        let possible = !self.reading.promoting && self.stop.is_none() && going && self.leases.are_valid(now);
        // A run that ends by itself moves what is due, once: whatever was moved must be read, and it would find no end.
        let needed = self.config.once.is_none() || !self.reading.promoted;
        (possible && needed).then(|| self.reading.promote_at.unwrap_or(now))
    }

    pub(super) fn next_promote(&mut self, now: Instant) -> Option<Vec<Lease>> {
        const LEAST_PAUSE: Duration = Duration::from_millis(100);
        self.promote_due(now).filter(|due| *due <= now && !self.pace.is_waiting(now, Call::Promote))?;
        let leases = self.lanes.values().filter(|lane| !lane.draining).map(|lane| lane.lease).collect();
        self.reading.promoting = true;
        // What it moves must be read, so the read of this look comes after it.
        self.pace.looked(now);
        self.reading.promote_at = Some(now + LEAST_PAUSE);
        self.reading.promote_not_before = self.reading.promote_at;
        Some(leases)
    }

    pub(super) fn promoted(&mut self, now: Instant, answer: Result<Option<Duration>, StoreError>) {
        self.reading.promoting = false;
        match answer {
            Ok(next) => {
                self.pace.works(Call::Promote);
                self.reading.promoted = next != Some(Duration::ZERO);
                let poll = self.pace.next_look().max(self.reading.promote_not_before).unwrap_or(now).max(now);
                let due = next.and_then(|wait| now.checked_add(wait));
                self.reading.wanted = true;
                self.reading.promote_at = Some(due.map_or(poll, |due| due.min(poll)));
            }
            Err(error) => self.store_failed(now, Call::Promote, &error),
        }
    }

    pub(super) fn store_failed(&mut self, now: Instant, call: Call, error: &StoreError) {
        let random = self.random.f64();
        self.pace.fails(now, call, random);
        let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        tracing::warn!(error = %error, cause, "the outbox store failed; trying again soon");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_idle_when_nothing_is_under_way_and_everything_has_been_seen() {
        let idle = || Reading { promoted: true, ..Reading::default() };
        assert!(idle().is_idle());
        assert!(!Reading { under_way: true, ..idle() }.is_idle());
        assert!(!Reading { promoting: true, ..idle() }.is_idle());
        assert!(!Reading { promoted: false, ..idle() }.is_idle());
        assert!(!Reading { wanted: true, ..idle() }.is_idle());
        assert!(!Reading { left: 1, ..idle() }.is_idle());
    }
}
