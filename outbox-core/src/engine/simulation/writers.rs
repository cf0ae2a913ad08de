use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::nodes::at_once;
use super::world::{Action, KEYS, NODES, ORDERED, TOPICS, World};
use crate::engine::Event;
use crate::event::{Envelope, EventId, Headers, OrderKey};
use crate::store::Admin;
use crate::testing::Unsettled;

impl World {
    /// Begins a transaction, and locks its aggregate as a good writer does.
    pub(super) fn write(&mut self) {
        if self.left_to_write == 0 {
            return;
        }
        let next = self.random.u64(1..200);
        self.after(next, Action::Write);
        let key = self.random.usize(0..KEYS);
        if key < ORDERED && !self.locked.insert(key) {
            return;
        }
        self.left_to_write = (self.left_to_write - 1).max(1);
        let events: Vec<Envelope> = (0..self.random.usize(1..4)).map(|_| self.event(key)).collect();
        let ids = events.iter().map(|event| event.id).collect();
        let transaction = Box::new(self.store.begin(events));
        self.open += 1;
        let stall = if self.random.u8(..10) == 0 { self.random.u64(100..8_000) } else { self.random.u64(0..20) };
        let commit = self.random.u8(..10) > 0;
        self.after(stall, Action::End { key, transaction, ids, commit });
    }

    pub(super) fn end(&mut self, key: usize, transaction: Unsettled, ids: Vec<EventId>, commit: bool) {
        self.locked.remove(&key);
        self.open -= 1;
        if !commit {
            return;
        }
        transaction.commit();
        self.committed_at.extend(ids.iter().map(|id| (*id, self.now)));
        self.committed.entry(key).or_default().extend(ids);
        for node in 0..NODES {
            if self.random.bool() {
                let life = self.nodes[node].life;
                self.after(0, Action::Arrive(node, life, Event::Woken));
            }
        }
    }

    fn event(&mut self, key: usize) -> Envelope {
        let id = EventId::from(Uuid::from_u128(self.random.u128(..)));
        self.key_of.insert(id, key);
        if self.faults && self.random.u8(..20) == 0 {
            self.poison.insert(id);
            self.was_poison.insert(id);
        }
        let delay = (self.random.u8(..20) == 0).then(|| Duration::from_millis(self.random.u64(0..3_000)));
        if delay.is_some() {
            self.delayed.insert(id);
        }
        Envelope {
            id,
            aggregate_type: "thing".to_owned(),
            aggregate_id: None,
            aggregate_version: None,
            event_type: "thing.happened".to_owned(),
            event_version: 1,
            topic: TOPICS[key % 2].to_owned(),
            key: (key < ORDERED).then(|| format!("key-{key}")),
            payload: Some(vec![0; self.random.usize(0..2_000)].into()),
            content_type: "application/json".to_owned(),
            headers: Headers::new(),
            created_at: SystemTime::UNIX_EPOCH,
            delay,
        }
    }

    /// An operator has mended what was wrong with the dead events, and requeues some of the keys, or everything.
    pub(super) fn requeue(&mut self) {
        for letter in self.store.dead() {
            self.poison.remove(&letter.envelope.id);
        }
        let before = self.store.dead();
        if self.random.u8(..4) == 0 {
            at_once(self.store.requeue_all(u32::MAX)).unwrap();
        } else {
            for key in 0..ORDERED {
                if self.random.bool() {
                    let key = OrderKey { topic: TOPICS[key % 2].to_owned(), key: format!("key-{key}") };
                    at_once(self.store.requeue_key(&key)).unwrap();
                }
            }
        }
        let left: HashSet<EventId> = self.store.dead().iter().map(|letter| letter.envelope.id).collect();
        for requeued in before.iter().map(|letter| letter.envelope.id).filter(|id| !left.contains(id)) {
            self.rejections.remove(&requeued);
        }
    }

    /// An operator gives up an event, which may be with a publisher at this moment and arrive all the same.
    pub(super) fn give_up(&mut self) {
        let pending = at_once(self.store.pending(0, 10)).unwrap();
        if pending.is_empty() {
            return;
        }
        let id = pending[self.random.usize(..pending.len())].envelope.id;
        at_once(self.store.give_up(id, "not wanted")).unwrap();
        self.given_up.insert(id);
        self.excuses += 1;
    }
}
