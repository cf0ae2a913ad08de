use std::collections::{HashMap, HashSet};

use super::world::{ORDERED, WINDOW, World};
use crate::event::EventId;
use crate::retry::OnDeath;

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
        assert_eq!(self.wrongly_dead, 0, "only what the broker rejects may die");
        assert!(self.repeats() <= self.excuses * WINDOW, "{} repeats, {} excuses", self.repeats(), self.excuses);
        for (key, events) in self.committed.iter().filter(|(key, _)| **key < ORDERED) {
            self.check_order(*key, events);
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
            let requeued = self.on_death == OnDeath::Continue && self.was_poison.contains(id);
            if requeued || self.delayed.contains(id) || !seen.insert(*id) {
                continue;
            }
            assert!(last < Some(place[id]), "key {key}: event {} came after {last:?}", place[id]);
            last = Some(place[id]);
        }
    }
}
