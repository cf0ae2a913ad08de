use std::sync::Arc;
use std::time::Duration;

use super::super::facts::Facts;
use super::super::world::{Action, World};
use super::Broken;
use crate::engine::Event;
use crate::message::Message;
use crate::publisher::{Outcome, PublishError, PublishErrorKind};

/// How much the clock of every other writer is ahead.
const AHEAD: Duration = Duration::from_millis(150);

impl World {
    pub(in super::super) fn spoil_batch(&self, batch: &mut [(u64, Arc<Message>)]) {
        if self.is(Broken::OrderByTime) {
            let created = |message: &Message| {
                let at = self.facts.get(Facts::index(message.id())).committed_at.unwrap_or_default();
                if at.as_millis().is_multiple_of(2) { at } else { at + AHEAD }
            };
            batch.sort_by_key(|(_, message)| created(message));
        }
    }

    /// Whether consumers take a message for one that they have had.
    pub(in super::super) fn is_taken_for_a_repeat(&mut self, message: &Message) -> bool {
        self.is(Broken::NumbersAsIds) && !self.tricks.seen.insert(message.seq)
    }

    /// What the publisher makes of an outcome.
    pub(in super::super) fn spoil_outcome(&self, outcome: Outcome, persist: bool) -> (Outcome, bool) {
        match (self.broken, outcome) {
            (Some(Broken::AckBeforeSend | Broken::NoFlushOnStop), _) => (Outcome::Delivered, persist),
            (Some(Broken::OutagesCountAsAttempts), Outcome::Failed(error))
                if error.kind() == PublishErrorKind::Unreachable =>
            {
                (Outcome::Failed(PublishError::rejected("cannot be reached")), persist)
            }
            (_, outcome) => (outcome, persist),
        }
    }

    /// Whether what is behind a failure is sent.
    pub(in super::super) fn lets_pass(&self) -> bool {
        self.is(Broken::SendsBehindFailures)
    }

    /// When a message arrives of which a connection would say that it arrives at `at`.
    pub(in super::super) fn spoil_arrival(&mut self, at: Duration) -> Duration {
        let full = self.is(Broken::ReordersWhenFull) && self.random.u8(..20) == 0;
        let lingers = self.reports_early();
        let late = if full || lingers { self.milliseconds(50..300) } else { Duration::ZERO };
        at + late
    }

    /// Sends a message on its way.
    pub(in super::super) fn send(&mut self, n: usize, life: u64, at: Duration, append: Action) {
        if let (true, Action::Append { token, .. }) = (self.reports_early(), &append) {
            self.after(1, Action::Arrive(n, life, Event::Reported(*token, Outcome::Delivered)));
        }
        self.schedule(at, append);
    }

    /// Whether a message that has not arrived is gone with its process.
    pub(in super::super) fn is_lost_with(&self, n: usize, life: u64) -> bool {
        self.reports_early() && self.nodes[n].life != life
    }

    fn reports_early(&self) -> bool {
        matches!(self.broken, Some(Broken::AckBeforeSend | Broken::NoFlushOnStop))
    }
}
