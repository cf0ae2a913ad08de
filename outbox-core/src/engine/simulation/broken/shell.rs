use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::super::nodes::at_once;
use super::super::world::{Action, World};
use super::Broken;
use crate::engine::{Effect, Event};
use crate::message::Message;
use crate::store::{Admin, Change, Fate, LaneSettle, Lease, SettleRequest, Store};

impl World {
    pub(in super::super) fn settle_before_report(&mut self, n: usize, batch: &[(u64, Arc<Message>)]) {
        if !self.is(Broken::SettleBeforeReport) {
            return;
        }
        let Some(engine) = &self.nodes[n].engine else { return };
        let processor = engine.id;
        for (_, message) in batch {
            let Some(epoch) = self.nodes[n].held.get(&message.shard) else { continue };
            let lease = Lease { shard: message.shard, epoch: *epoch };
            let generation = self.store.generation(message.shard);
            let changes = vec![Change::of(message, Fate::Delivered)];
            let lanes = vec![LaneSettle { lease, generation, changes }];
            at_once(self.store.settle(SettleRequest { processor, lanes })).unwrap();
        }
    }

    /// Deletes what is old, as a job beside the processors might.
    pub(in super::super) fn clean_by_age(&mut self) {
        self.after(2_000, Action::Clean);
        let before = self.now.saturating_sub(Duration::from_secs(4));
        for event in at_once(self.store.pending(0, u32::MAX)).unwrap() {
            let id = event.envelope.id;
            if self.facts.of(id).committed_at.is_some_and(|at| at < before) {
                at_once(self.store.give_up(id, "old")).unwrap();
                at_once(self.store.delete(id)).unwrap();
            }
        }
    }

    /// A node hears something.
    pub(in super::super) fn note_hint(&mut self, n: usize, event: &Event) {
        if !self.is(Broken::SleepsAfterEmptyHint) {
            return;
        }
        match event {
            Event::Woken => {
                self.tricks.hinted.push(n);
                self.tricks.asleep.retain(|node| *node != n);
                for (node, life, id, asked, effect) in self.tricks.slept.extract_if(.., |slept| slept.0 == n) {
                    self.queue.push(self.now, Action::Call { node, life, id, effect, asked, patience: None });
                }
            }
            Event::Read(Ok(reply)) if self.tricks.hinted.contains(&n) => {
                if reply.lanes.iter().all(|lane| lane.rows.is_empty() && lane.revisited.is_empty()) {
                    self.tricks.asleep.push(n);
                }
                self.tricks.hinted.retain(|node| *node != n);
            }
            _ => {}
        }
    }

    /// Whether a read has to wait for the next hint.
    pub(in super::super) fn falls_asleep(&mut self, n: usize, id: Uuid, asked: Instant, effect: &Effect) -> bool {
        let Effect::Read(request) = effect else { return false };
        let sleeps = self.tricks.asleep.contains(&n);
        if sleeps {
            self.tricks.slept.push((n, self.nodes[n].life, id, asked, Effect::Read(request.clone())));
        }
        sleeps
    }
}
