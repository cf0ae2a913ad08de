use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::message::Message;
use crate::publisher::{Delivery, Outcome, PublishError, Receipt, Reports};

/// What a [`FaultyPublisher`](super::FaultyPublisher) does to a message instead of publishing it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Rejects it.
    Reject,
    /// Says that the destination cannot be reached.
    Unreachable,
    /// Asks for a pause, perhaps of this length.
    Throttle(Option<Duration>),
    /// Withholds it.
    Withhold,
    /// Drops it without a report, as a bug would; it counts as rejected.
    Drop,
    /// Publishes it, and reports it as unreachable all the same: what a lost acknowledgement looks like. The message
    /// comes a second time.
    LoseReport,
    /// Panics before anything of the batch is published, which rejects all of it.
    Panic,
    /// Publishes it, after a pause of this length for the whole batch. Of several pauses the longest counts.
    Delay(Duration),
}

/// What errors say that are made up.
pub(super) const REASON: &str = "a fault of the test";

impl Fault {
    /// Ends a delivery that the inner publisher must not see.
    pub(super) fn end(self, delivery: Delivery) {
        match self {
            Self::Reject => delivery.failed(PublishError::rejected(REASON)),
            Self::Unreachable => delivery.failed(PublishError::unreachable(REASON)),
            Self::Throttle(pause) => delivery.failed(PublishError::throttled(REASON, pause)),
            Self::Withhold => delivery.withheld(),
            Self::Drop | Self::Panic | Self::LoseReport | Self::Delay(_) => drop(delivery),
        }
    }
}

/// When a fault happens.
pub(super) enum Rule {
    Nth(u64, Fault),
    When(Box<dyn Fn(&Message) -> bool + Send + Sync>, Fault),
    Randomly(Mutex<fastrand::Rng>, f64, Vec<Fault>),
}

impl Rule {
    /// The fault, if any, of the `n`th message, counted from 1.
    pub(super) fn fault(&self, n: u64, message: &Message) -> Option<Fault> {
        match self {
            Self::Nth(nth, fault) => (n == *nth).then(|| fault.clone()),
            Self::When(condition, fault) => condition(message).then(|| fault.clone()),
            Self::Randomly(random, probability, faults) => {
                let mut random = random.lock().unwrap_or_else(PoisonError::into_inner);
                let hit = random.f64() < *probability;
                hit.then(|| random.choice(faults).cloned()).flatten()
            }
        }
    }
}

/// A delivery whose good outcome never gets back.
pub(super) struct LostReport(Mutex<Option<Receipt>>);

impl LostReport {
    pub(super) fn delivery(delivery: Delivery) -> Delivery {
        let (message, receipt) = delivery.into_parts();
        Delivery::new(message, 0, Arc::new(Self(Mutex::new(Some(receipt)))))
    }
}

impl Reports for LostReport {
    fn report(&self, _token: u64, outcome: Outcome) {
        let receipt = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(receipt) = receipt {
            receipt.report(match outcome {
                Outcome::Delivered => Outcome::Failed(PublishError::unreachable("the acknowledgement was lost")),
                bad => bad,
            });
        }
    }
}
