use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::world::{Action, World};
use crate::engine::Event;
use crate::event::OrderKey;
use crate::message::Message;
use crate::publisher::{Outcome, PublishError};

impl World {
    /// A publisher as the contract has it: in order per key, and nothing of a key behind a failure of its batch.
    pub(super) fn publish(&mut self, n: usize, batch: Vec<(u64, Arc<Message>)>) {
        let life = self.nodes[n].life;
        let mut failed = BTreeSet::new();
        for (token, message) in batch {
            let key = message.order_key();
            let key = key.unwrap_or_else(|| OrderKey { topic: String::new(), key: message.seq.to_string() });
            let (outcome, persist) =
                if failed.contains(&key) { (Outcome::Withheld, false) } else { self.outcome(n, &message) };
            if !matches!(outcome, Outcome::Delivered) {
                failed.insert(key.clone());
            }
            let slow = if !self.fast && self.random.u8(..50) == 0 {
                self.random.u64(0..4_000)
            } else {
                self.random.u64(0..10)
            };
            let mut at = self.now + Duration::from_millis(slow);
            if message.envelope.topic == "shaky" {
                at = at.max(self.silent_until);
            }
            let last = self.nodes[n].last_append.entry(key).or_default();
            at = at.max(*last);
            *last = at;
            self.schedule(at, Action::Append { node: n, life, token, message, outcome, persist });
        }
        self.after(1, Action::Arrive(n, life, Event::BatchTaken));
    }

    fn outcome(&mut self, n: usize, message: &Message) -> (Outcome, bool) {
        if self.nodes[n].cut {
            return (Outcome::Failed(PublishError::unreachable("cut off")), false);
        }
        if self.outage && message.envelope.topic == "shaky" {
            return (Outcome::Failed(PublishError::unreachable("outage")), false);
        }
        if self.poison.contains(&message.id()) {
            *self.rejections.entry(message.id()).or_default() += 1;
            return (Outcome::Failed(PublishError::rejected("poison")), false);
        }
        match if self.faults { self.random.u8(..120) } else { u8::MAX } {
            // Its answer is lost: nobody knows whether it was written.
            0 | 1 => {
                let persist = self.random.bool();
                self.excuses += usize::from(persist);
                (Outcome::Failed(PublishError::unreachable("timed out")), persist)
            }
            2 | 3 => (Outcome::Withheld, false),
            4 => (Outcome::Failed(PublishError::throttled("slow down", Some(Duration::from_millis(300)))), false),
            _ => (Outcome::Delivered, true),
        }
    }
}
