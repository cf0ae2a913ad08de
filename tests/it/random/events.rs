//! The events of a run, and what a broker thinks of them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_core::event::EventId;
use outbox_core::message::Message;
use outbox_core::{Encoded, OnDeath, OutboxEvent, RetryPolicy};

/// Its keys go on without a dead event.
pub(super) const CONTINUES: &str = "continues";
/// Its keys park behind a dead event.
pub(super) const PARKS: &str = "parks";
/// Rejections until an event is dead.
pub(super) const ATTEMPTS: u32 = 3;
/// An event with so many rejections never gets through unless it is healed.
const HOPELESS: u32 = 99;

/// What is done about rejected events of a topic.
pub(super) fn policy(topic: &str) -> RetryPolicy {
    let then = if topic == PARKS { OnDeath::ParkKey } else { OnDeath::Continue };
    RetryPolicy::fixed(Duration::from_millis(20)).max_attempts(ATTEMPTS).on_death(then)
}

/// An event that is rejected a number of times.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) topic: &'static str,
    pub(super) key: String,
    pub(super) number: usize,
    pub(super) rejections: u32,
}

impl Step {
    pub(super) fn rejections(random: &mut fastrand::Rng) -> u32 {
        match random.u32(..20) {
            0 => 1,
            1 => 2,
            2 | 3 => HOPELESS,
            _ => 0,
        }
    }

    pub(super) fn payload(&self) -> String {
        format!("{} {}", self.rejections, self.number)
    }
}

impl OutboxEvent for Step {
    fn aggregate_type(&self) -> Cow<'_, str> {
        "step".into()
    }

    fn aggregate_id(&self) -> Option<Cow<'_, str>> {
        Some(self.key.as_str().into())
    }

    fn event_type(&self) -> Cow<'_, str> {
        "step.taken".into()
    }

    fn topic(&self) -> Cow<'_, str> {
        self.topic.into()
    }

    fn partition_key(&self) -> Option<Cow<'_, str>> {
        Some(self.key.as_str().into())
    }

    fn encode(&self) -> Result<Encoded, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Encoded::new(self.payload(), "text/plain"))
    }
}

/// What the broker rejects. Everybody who asks at the same attempt gets the same answer: a processor that is late
/// sees what the one that replaced it saw.
#[derive(Debug, Clone, Default)]
pub(super) struct Broker {
    healed: Arc<Mutex<HashSet<EventId>>>,
}

impl Broker {
    pub(super) fn rejects(&self, message: &Message) -> bool {
        let payload = message.envelope.payload.as_deref().unwrap_or_default();
        let rejections = std::str::from_utf8(payload).unwrap().split(' ').next().unwrap();
        message.attempts < rejections.parse::<u32>().unwrap() && !self.healed.lock().unwrap().contains(&message.id())
    }

    /// From now on it takes this event.
    pub(super) fn heal(&self, id: EventId) {
        self.healed.lock().unwrap().insert(id);
    }
}
