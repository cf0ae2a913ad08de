use std::collections::{HashMap, HashSet};

use super::nodes::at_once;
use super::world::{MOST_ATTEMPTS, ORDERED, WINDOW, World};
use crate::event::{EventId, OrderKey};
use crate::retry::OnDeath;
use crate::store::{Admin, DeadState, Fate, SettleRequest};

impl World {
    /// Holds the broker's log against what was committed.
    pub(super) fn check(&self) {
        let dead: HashSet<EventId> = self.store.dead().into_iter().map(|letter| letter.envelope.id).collect();
        let committed: HashSet<EventId> = self.committed.values().flatten().copied().collect();
        let delivered: HashSet<EventId> = self.delivered.iter().map(|(id, _)| *id).collect();
        for id in &committed {
            assert!(delivered.contains(id) || dead.contains(id), "lost {id}");
        }
        for id in &delivered {
            assert!(committed.contains(id), "phantom {id}");
        }
        self.check_dead();
        assert_eq!(self.wrongly_dead, 0, "only what the broker rejects may die");
        assert!(self.repeats() <= self.excuses * WINDOW, "{} repeats, {} excuses", self.repeats(), self.excuses);
        for (key, events) in self.committed.iter().filter(|(key, _)| **key < ORDERED) {
            self.check_order(*key, events);
        }
    }

    /// The ordered events of which a settle says that they are delivered. Looked at in some of the runs.
    pub(super) fn delivered_of(&self, request: &SettleRequest) -> Vec<(OrderKey, i64)> {
        if !self.audit {
            return Vec::new();
        }
        let changes = request.lanes.iter().flat_map(|lane| &lane.changes);
        let delivered: HashSet<i64> =
            changes.filter(|change| change.fate == Fate::Delivered).map(|change| change.seq).collect();
        let pending = at_once(self.store.pending(0, u32::MAX)).unwrap();
        // Delayed and requeued events have numbers above those of transactions that are still open.
        let staged =
            |id: &EventId| !self.delayed.contains(id) && !self.was_poison.contains(id) && !self.given_up.contains(id);
        let found = pending.into_iter().filter(|event| delivered.contains(&event.seq));
        let ordered = found.filter(|event| staged(&event.envelope.id));
        ordered.filter_map(|event| Some((event.envelope.order_key()?, event.seq))).collect()
    }

    /// What is settled of a key is a prefix of it: after a crash, nothing that was published before something that is
    /// gone can be published again behind it.
    pub(super) fn check_prefix(&self, delivered: &[(OrderKey, i64)]) {
        if delivered.is_empty() {
            return;
        }
        let pending = at_once(self.store.pending(0, u32::MAX)).unwrap();
        let gone = delivered.iter().filter(|(_, seq)| pending.iter().all(|event| event.seq != *seq));
        for (key, seq) in gone {
            let before =
                pending.iter().find(|event| event.seq < *seq && event.envelope.order_key().as_ref() == Some(key));
            assert!(before.is_none(), "{seq} of {key:?} is settled before {before:?}");
        }
    }

    /// What is dead was rejected often enough since an operator last put it back, and what is parked can be found.
    fn check_dead(&self) {
        let parked = at_once(self.store.parked_keys(None, u32::MAX)).unwrap();
        for letter in self.store.dead() {
            let id = letter.envelope.id;
            if letter.state == DeadState::Parked {
                let key = letter.envelope.order_key();
                assert!(key.is_some_and(|key| parked.contains(&key)), "{id} is behind a key that is not parked");
            } else if !self.given_up.contains(&id) {
                let rejections = self.rejections.get(&id).copied().unwrap_or(0);
                assert!(rejections >= MOST_ATTEMPTS, "{id} is dead after {rejections} rejections");
            }
        }
    }

    /// How many times an event was published that had been published before.
    pub(super) fn repeats(&self) -> usize {
        let first: HashSet<EventId> = self.delivered.iter().map(|(id, _)| *id).collect();
        self.delivered.len() - first.len()
    }

    /// First deliveries come in the order of commits. Delayed events take their place when they are due, and dead
    /// ones whose key went on come when they are requeued.
    fn check_order(&self, key: usize, events: &[EventId]) {
        let place: HashMap<EventId, usize> = events.iter().enumerate().map(|(n, id)| (*id, n)).collect();
        let mut seen = HashSet::new();
        let mut last = None;
        for (id, _) in self.delivered.iter().filter(|(_, of)| *of == key) {
            let died_alone = self.on_death == OnDeath::Continue && self.was_poison.contains(id);
            let requeued = died_alone || self.given_up.contains(id);
            if requeued || self.delayed.contains(id) || !seen.insert(*id) {
                continue;
            }
            assert!(last < Some(place[id]), "key {key}: event {} came after {last:?}", place[id]);
            last = Some(place[id]);
        }
    }
}
