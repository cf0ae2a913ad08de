use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::facts::Facts;
use super::world::{Action, World};
use crate::engine::Event;
use crate::message::Message;
use crate::publisher::{Outcome, PublishError};

impl World {
    /// A publisher as the contract has it: in order per key, and nothing of a key behind a failure of its batch.
    pub(super) fn publish(&mut self, n: usize, mut batch: Vec<(u64, Arc<Message>)>) {
        self.spoil_batch(&mut batch);
        self.settle_before_report(n, &batch);
        let life = self.nodes[n].life;
        // What is under way when a broker is restarted fails, and may be there all the same, up to somewhere.
        let restarted = self.faults && self.random.u8(..80) == 0;
        let mut failed = BTreeSet::new();
        for (token, message) in batch {
            let key = self.facts.of(message.id()).key;
            let (mut outcome, mut persist) = match failed.contains(&key) {
                true => (Outcome::Withheld, false),
                false => self.outcome(n, key, &message),
            };
            if restarted && matches!(outcome, Outcome::Delivered) {
                outcome = Outcome::Failed(PublishError::unreachable("restarted"));
                persist = self.random.bool();
            }
            let (outcome, persist) = self.spoil_outcome(outcome, persist);
            if message.key().is_some() && !matches!(outcome, Outcome::Delivered) && !self.lets_pass() {
                failed.insert(key);
            }
            match (&outcome, persist) {
                (Outcome::Delivered, true) => self.opened(n, &message),
                (_, true) => self.may_repeat(message.id()),
                (_, false) => {}
            }
            self.note_sent(n, &message);
            self.check_readable(&message);
            if persist {
                self.check_parked(n, &message);
            }
            let at = self.arrival(n, key, &message);
            // An answer can take longer than the lease lasts.
            let late = self.faults && self.random.u8(..200) == 0;
            let report = if late { self.milliseconds(0..6_000) } else { self.latency(30) };
            self.send(n, life, at, Action::Append { node: n, life, token, message, outcome, persist, report });
        }
        let taken = u64::from(!self.instant);
        self.after(taken, Action::Arrive(n, life, Event::BatchTaken));
    }

    /// When a message reaches the broker.
    fn arrival(&mut self, n: usize, key: usize, message: &Message) -> Duration {
        let slow = !self.fast && self.random.u8(..50) == 0;
        let mut at = self.now
            + match slow {
                _ if self.harsh => self.milliseconds(200..1_500),
                true => self.milliseconds(0..4_000),
                false => self.latency(10),
            };
        if let Some(silence) = self.silence.filter(|silence| self.is_in(silence.area, key, message)) {
            at = at.max(silence.until);
        }
        if message.key().is_some() {
            let last = self.nodes[n].last_append.entry(key).or_default();
            at = at.max(*last);
            *last = at;
        }
        self.spoil_arrival(at)
    }

    fn outcome(&mut self, n: usize, key: usize, message: &Message) -> (Outcome, bool) {
        if self.nodes[n].cut {
            return (Outcome::Failed(PublishError::unreachable("cut off")), false);
        }
        if self.outage.is_some_and(|area| self.is_in(area, key, message)) {
            return (Outcome::Failed(PublishError::unreachable("outage")), false);
        }
        let fact = self.facts.of(message.id());
        if fact.poison {
            fact.rejections += 1;
            self.summary.rejections += 1;
            return (Outcome::Failed(PublishError::rejected("poison")), false);
        }
        match if self.faults { self.random.u8(..120) } else { u8::MAX } {
            // Its answer is lost: nobody knows whether it was written.
            0 | 1 => (Outcome::Failed(PublishError::unreachable("timed out")), self.random.bool()),
            2 | 3 => (Outcome::Withheld, false),
            4 => (Outcome::Failed(PublishError::throttled("slow down", Some(Duration::from_millis(300)))), false),
            _ => (Outcome::Delivered, true),
        }
    }

    /// A message is there, unless the process that held it back is gone.
    pub(super) fn append(&mut self, n: usize, life: u64, message: &Message, persist: bool) {
        if persist && !self.is_lost_with(n, life) && !self.is_taken_for_a_repeat(message) {
            let index = Facts::index(message.id());
            self.facts.at(index).delivered += 1;
            self.delivered.push(index);
        }
    }
}
