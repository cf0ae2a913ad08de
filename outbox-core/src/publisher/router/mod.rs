//! Several publishers behind one.

mod builder;
mod outlet;
mod pattern;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;

use self::outlet::Outlet;
use self::pattern::Pattern;
use super::futures::all;
use super::{Delivery, Partition, PublishError, PublishErrorKind, Publisher};
use crate::message::Message;

pub use builder::{RouterBuilder, RouterError};

/// Picks a publisher by topic.
///
/// Routes are tried in the order in which they were added, and the first match counts. A topic that no route matches
/// is unreachable: its events wait, visible with that cause, and none is lost or uses up an attempt.
///
/// Each route has a queue of its own, and its publisher is called from tasks of its own. A publisher that is slow,
/// hangs or panics therefore holds up no other; its queue is bounded by what the processor lets be under way, and by
/// [`queue`](RouterBuilder::queue). All messages of an order key have one topic, so they take one route in their order.
///
/// Needs a Tokio runtime. Dropping the router withholds what is queued and cancels the calls under way.
///
/// ```
/// use outbox_core::{LogPublisher, MemoryPublisher, Router};
///
/// # fn main() -> Result<(), outbox_core::publisher::RouterError> {
/// let orders = MemoryPublisher::new();
/// let router = Router::builder()
///     .route("orders", orders.clone())
///     .route("audit.*", LogPublisher::new())
///     .otherwise(MemoryPublisher::new())
///     .build()?;
/// # let _ = router;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Router {
    routes: Vec<(Pattern, Outlet)>,
}

impl Router {
    /// No routes yet.
    pub fn builder() -> RouterBuilder {
        RouterBuilder::new()
    }
}

#[async_trait]
impl Publisher for Router {
    /// Returns when every message is queued for its route; waits only while the queue of one is full.
    ///
    /// # Cancel safety
    ///
    /// Cancelling loses nothing: the batch is published all the same.
    async fn publish(&self, batch: Vec<Delivery>) {
        let mut parts: Vec<_> = self.routes.iter().map(|(pattern, outlet)| (pattern, outlet, Vec::new())).collect();
        for delivery in batch {
            match parts.iter_mut().find(|(pattern, ..)| pattern.matches(&delivery.envelope.topic)) {
                Some((_, _, part)) => part.push(delivery),
                None => {
                    let reason = format!("no publisher for topic {:?}", delivery.envelope.topic);
                    delivery.failed(PublishError::unreachable(reason));
                }
            }
        }
        let outlets: Vec<_> = parts.into_iter().filter(|(.., part)| !part.is_empty()).collect();
        let mut queued = Vec::new();
        for (_, outlet, part) in outlets {
            outlet.enqueue(part);
            queued.push(outlet);
        }
        for outlet in queued {
            outlet.room().await;
        }
    }

    /// Flushes all publishers at the same time.
    async fn flush(&self, deadline: Duration) {
        all(self.routes.iter().map(|(_, outlet)| boxed(outlet.flush(deadline)))).await;
    }

    /// Asks all publishers at the same time.
    ///
    /// # Errors
    ///
    /// Names every route that fails; kind and cause are those of the first one.
    async fn check(&self) -> Result<(), PublishError> {
        let answers = all(self.routes.iter().map(|(_, outlet)| boxed(outlet.check()))).await;
        let names = self.routes.iter().map(|(_, outlet)| outlet.name());
        let failures: Vec<_> = names.zip(answers).filter_map(|(name, answer)| Some((name, answer.err()?))).collect();
        let names: Vec<_> = failures.iter().map(|(name, _)| format!("{name:?}")).collect();
        let Some((_, first)) = failures.into_iter().next() else { return Ok(()) };
        let reason = format!("{} {}", if names.len() == 1 { "route" } else { "routes" }, names.join(", "));
        let error = match first.kind() {
            PublishErrorKind::Rejected => PublishError::rejected(reason),
            PublishErrorKind::Unreachable => PublishError::unreachable(reason),
            PublishErrorKind::Throttled => PublishError::throttled(reason, first.retry_after()),
        };
        Err(error.with_source(first))
    }

    fn partition(&self, message: &Message) -> Option<Partition> {
        let (_, outlet) = self.routes.iter().find(|(pattern, _)| pattern.matches(message.topic()))?;
        outlet.partition(message)
    }
}

fn boxed<'a, T>(future: impl Future<Output = T> + Send + 'a) -> Pin<Box<dyn Future<Output = T> + Send + 'a>> {
    Box::pin(future)
}
