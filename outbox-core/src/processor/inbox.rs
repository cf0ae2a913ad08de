use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::publisher::{Outcome, Reports};

/// Where publishers put outcomes, from any thread.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    outcomes: Mutex<Vec<(u64, Outcome)>>,
    arrived: Notify,
}

impl Inbox {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Everything that has arrived.
    pub(super) fn take(&self) -> Vec<(u64, Outcome)> {
        std::mem::take(&mut *self.outcomes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until something has arrived. Cancel safe.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

impl Reports for Inbox {
    fn report(&self, token: u64, outcome: Outcome) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes.push((token, outcome));
        // Of those before it somebody has been told, and takes all.
        if outcomes.len() == 1 {
            drop(outcomes);
            self.arrived.notify_one();
        }
    }
}
