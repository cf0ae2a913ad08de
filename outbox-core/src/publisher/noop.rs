use std::time::Duration;

use async_trait::async_trait;

use super::{Delivery, PublishError, Publisher};

/// Throws every message away and calls it delivered: the events are gone.
///
/// For load tests of everything but the broker, and as a [`Router`](super::Router)'s route for topics that nobody
/// wants any more.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct NoopPublisher;

impl NoopPublisher {
    /// A publisher that does nothing.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl Publisher for NoopPublisher {
    async fn publish(&self, batch: Vec<Delivery>) {
        for delivery in batch {
            delivery.delivered();
        }
    }

    async fn flush(&self, _deadline: Duration) {}

    async fn check(&self) -> Result<(), PublishError> {
        Ok(())
    }
}
