//! Which repeats have a cause.
//!
//! A repeat is right only if something happened that may have cost somebody the knowledge that this very event was
//! published: its publisher crashed, or lost the lease, or had to give it up; the broker had it and said that it had
//! not; the database lost its deletion; an operator put it back. None of these may cost more than the window.

use std::collections::HashSet;
use std::time::Duration;

use uuid::Uuid;

use super::check::Violation;
use super::facts::Facts;
use super::world::{DRAIN, LEASE, WINDOW, World};
use crate::event::EventId;
use crate::message::Message;
use crate::shard::Shard;
use crate::store::{Fate, Lease, LeaseReply, LeaseRequest, SettleReply, SettleRequest, Settled};
use crate::testing::memory_faults::Image;

/// An event that the broker has, or will have, and that is not settled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) index: usize,
    seq: i64,
    lease: Lease,
}

/// Who has a shard by the database's clock, and until when.
#[derive(Debug)]
pub(super) struct Right {
    owner: Uuid,
    epoch: i64,
    until: Duration,
    /// The last epoch that ended before its time.
    stolen: Option<i64>,
}

impl World {
    /// A node hands an event to its publisher, and the broker will have it.
    pub(super) fn opened(&mut self, n: usize, message: &Message) {
        let node = &mut self.nodes[n];
        if node.engine.is_none() {
            return; // a publisher alone has no window
        }
        let epoch = node.held.get(&message.shard).copied().unwrap_or_default();
        let lease = Lease { shard: message.shard, epoch };
        let index = Facts::index(message.id());
        // A publisher that lets others pass a failure has it twice.
        node.open.retain(|open| open.seq != message.seq || open.index != index);
        node.open.push(Open { index, seq: message.seq, lease });
        if node.open.len() > WINDOW {
            let open = node.open.len();
            self.violated(Violation::Window(format!("{open} events are published and not settled")));
        }
    }

    /// What a node has open may be published again, unless its lease was taken before its time. How much that is.
    pub(super) fn excuse(&mut self, n: usize, which: impl Fn(&Open) -> bool) -> usize {
        let gone: Vec<Open> = self.nodes[n].open.extract_if(.., |open| which(open)).collect();
        let found = gone.len();
        for Open { index, lease, .. } in gone {
            let right = self.rights.get(&lease.shard);
            if right.is_none_or(|right| right.stolen != Some(lease.epoch)) {
                self.facts.at(index).may_repeat += 1;
                self.summary.may_repeat += 1;
            }
        }
        found
    }

    /// The store has written outcomes, or has not because the lease is lost.
    pub(super) fn note_settled(&mut self, n: usize, request: &SettleRequest, reply: &SettleReply) {
        for (lane, (_, settled)) in request.lanes.iter().zip(&reply.lanes) {
            if *settled == Settled::LeaseLost {
                self.excuse(n, |open| open.lease == lane.lease);
                continue;
            }
            let right = self.rights.get(&lane.lease.shard);
            if right.is_some_and(|right| right.owner != request.processor || right.epoch != lane.lease.epoch) {
                self.excuse(n, |open| open.lease == lane.lease);
            }
            for change in lane.changes.iter().filter(|change| change.fate == Fate::Delivered) {
                let index = Facts::index(change.id);
                self.nodes[n].open.retain(|open| open.index != index || open.seq != change.seq);
            }
        }
    }

    /// An engine has been asked what to do: it may have given up shards with events open, either because somebody else
    /// has them, or because it waited for these for as long as it may.
    pub(super) fn note_dropped(&mut self, n: usize) {
        let node = &self.nodes[n];
        let Some(engine) = &node.engine else { return };
        let dropped = |open: &Open| engine.lanes.get(&open.lease.shard).is_none_or(|lane| lane.lease != open.lease);
        let dropped: Vec<Open> = node.open.iter().filter(|open| dropped(open)).copied().collect();
        for Open { lease, .. } in dropped {
            let node = &self.nodes[n];
            let handed_over = node.engine.as_ref().is_some_and(|it| it.leases.releasing.contains(&lease));
            let told = node.told.get(&lease).filter(|_| handed_over);
            let right = self.rights.get(&lease.shard);
            let lost = right.is_none_or(|right| right.owner != self.id_of(n) || right.epoch != lease.epoch);
            let waited = told.is_some_and(|told| self.now >= *told + DRAIN * 9 / 10);
            // Answers from before a fail-over can be on their way.
            let unsure = self.failed_over.is_some_and(|at| self.now < at + 3 * LEASE);
            if !waited && !lost && !unsure {
                self.violated(Violation::GivenUpEarly(format!("node {n} gave up {lease:?}")));
            }
            self.excuse(n, |open| open.lease == lease);
        }
    }

    /// The store has given out leases.
    pub(super) fn note_leases(&mut self, n: usize, current: bool, request: &LeaseRequest, reply: &LeaseReply) {
        let me = request.processor;
        for lease in &request.release {
            if let Some(right) = self.rights.get_mut(&lease.shard).filter(|right| right.epoch == lease.epoch) {
                right.until = self.now;
            }
        }
        let (until, mut lost) = (self.now + LEASE, Vec::new());
        for Lease { shard, epoch } in &reply.held {
            let new = Right { owner: me, epoch: *epoch, until, stolen: None };
            let right = self.rights.entry(*shard).or_insert(new);
            if right.owner != me || right.epoch != *epoch {
                self.moves += 1;
                let stolen = if right.until > self.now { Some(right.epoch) } else { right.stolen };
                let before = Lease { shard: *shard, epoch: right.epoch };
                // After a fail-over, epochs are given out again: these may be from the first time.
                lost.push((me, Lease { shard: *shard, epoch: *epoch }));
                let owner = std::mem::replace(right, Right { owner: me, epoch: *epoch, until, stolen }).owner;
                lost.push((owner, before));
            }
            right.until = until;
        }
        for (owner, lease) in lost {
            if let Some(loser) = (0..self.nodes.len()).find(|node| self.id_of(*node) == owner) {
                let open = self.excuse(loser, |open| open.lease == lease);
                self.summary.lost_leases += usize::from(open > 0);
            }
        }
        if request.leaving {
            self.rights.values_mut().filter(|right| right.owner == me).for_each(|right| right.until = self.now);
        }
        if current {
            self.lost_but(n, &reply.held);
        }
    }

    fn lost_but(&mut self, n: usize, held: &[Lease]) {
        let lost = |open: &Open| !held.contains(&open.lease);
        self.excuse(n, lost);
    }

    /// At the end, some may not have noticed yet that they lost a lease.
    pub(super) fn excuse_the_last(&mut self) {
        for n in 0..self.nodes.len() {
            let held: Vec<Lease> =
                self.rights.iter().map(|(shard, right)| Lease { shard: *shard, epoch: right.epoch }).collect();
            self.lost_but(n, &held);
        }
    }

    /// Something says that an event may be published again.
    pub(super) fn may_repeat(&mut self, id: EventId) {
        self.facts.of(id).may_repeat += 1;
        self.summary.may_repeat += 1;
    }

    /// How many times an event was published that had been published before.
    pub(super) fn repeats(&self) -> usize {
        self.facts.iter().map(|(_, fact)| fact.delivered.saturating_sub(1) as usize).sum()
    }

    /// A server takes over that has not heard of the last events. What is open may be published again, whatever becomes
    /// of the leases, and what was deleted is there again.
    pub(super) fn note_fail_over(&mut self, image: &Image) {
        let rights = std::mem::take(&mut self.rights);
        self.lost_with_server = rights.into_iter().map(|(shard, it)| (shard, (it.owner, it.epoch))).collect();
        let open = self.nodes.iter().flat_map(|node| &node.open).map(|open| open.index);
        let (there, buried) = (self.store.events(), self.store.dead());
        // What an operator gave up may have been published before he did.
        let refused = |id: &EventId| !self.facts.get(Facts::index(*id)).given_up;
        let buried: HashSet<EventId> = buried.iter().map(|letter| letter.envelope.id).filter(refused).collect();
        let deleted = image.events().into_iter().filter(|id| !there.contains(id) && !buried.contains(id));
        let again: Vec<usize> = open.chain(deleted.map(Facts::index)).collect();
        for index in again {
            self.facts.at(index).may_repeat += 1;
            self.summary.may_repeat += 1;
        }
        for (_, fact) in self.facts.iter_mut() {
            fact.known_before = fact.sent;
        }
        self.failed_over = Some(self.now);
    }

    /// A node hands an event to its publisher. After a fail-over that may be one that it knows from before, and that is
    /// there no more, or under another number: so it is not deleted when it is settled. Or its lease is one of which the
    /// new server has not heard: whoever has the shard there knows nothing of what it sends.
    pub(super) fn note_sent(&mut self, n: usize, message: &Message) {
        let held = self.nodes[n].held.get(&message.shard).copied().unwrap_or_default();
        let was_lost = self.lost_with_server.get(&message.shard) == Some(&(self.id_of(n), held));
        if was_lost && !self.is_owner(n, message.shard) {
            self.may_repeat(message.id());
        }
        let fact = self.facts.of(message.id());
        fact.sent = true;
        if self.failed_over.is_none() {
            return;
        }
        let lane = self.nodes[n].engine.as_ref().and_then(|engine| engine.lanes.get(&message.shard));
        fact.known_before |= lane.is_some_and(|lane| lane.generation != self.store.generation(message.shard));
        if fact.known_before && self.store.pending_id(message.seq) != Some(message.id()) {
            self.may_repeat(message.id());
        }
    }

    fn id_of(&self, n: usize) -> Uuid {
        self.nodes[n].engine.as_ref().map_or(Uuid::nil(), |engine| engine.id)
    }

    pub(super) fn is_owner(&self, n: usize, shard: Shard) -> bool {
        self.store.owner(shard).is_some_and(|(owner, _)| owner == self.id_of(n))
    }
}
