use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use tokio::sync::watch;

use super::{Delivery, PublishError, Publisher};
use crate::message::Message;

/// Keeps every message, in the order of arrival, and calls it delivered. Clones share the messages.
///
/// For tests and development: it forgets nothing until [`clear`](Self::clear), and everything when the process ends.
///
/// ```
/// # use std::time::Duration;
/// # use outbox_core::MemoryPublisher;
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let sent = MemoryPublisher::new();
/// // Hand `sent.clone()` to a processor, commit two events; then:
/// sent.wait_for(2, Duration::from_secs(5)).await?;
/// assert_eq!(sent.of_topic("orders").len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryPublisher(Arc<watch::Sender<Vec<Arc<Message>>>>);

/// Fewer messages came than were waited for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{received} of {wanted} messages were published within {deadline:?}")]
pub struct TooFewMessages {
    /// How many were waited for.
    pub wanted: usize,
    /// How many there were at the deadline.
    pub received: usize,
    /// How long it was waited.
    pub deadline: Duration,
}

impl MemoryPublisher {
    /// No messages yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Vec::new())))
    }

    /// All messages, first one first.
    #[must_use]
    pub fn messages(&self) -> Vec<Arc<Message>> {
        self.0.borrow().clone()
    }

    /// The messages of a topic, first one first.
    #[must_use]
    pub fn of_topic(&self, topic: &str) -> Vec<Arc<Message>> {
        self.0.borrow().iter().filter(|message| message.envelope.topic == topic).cloned().collect()
    }

    #[cfg(test)]
    pub(crate) fn keep(&self, message: Arc<Message>) {
        self.0.send_modify(|kept| kept.push(message));
    }

    /// Forgets all messages.
    pub fn clear(&self) {
        self.0.send_modify(Vec::clear);
    }

    /// All messages, as soon as there are at least `count`.
    ///
    /// # Errors
    ///
    /// There are not so many when `deadline` has passed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: messages stay where they are.
    pub async fn wait_for(&self, count: usize, deadline: Duration) -> Result<Vec<Arc<Message>>, TooFewMessages> {
        let mut messages = self.0.subscribe();
        let enough = messages.wait_for(|messages| messages.len() >= count);
        if let Ok(Ok(messages)) = tokio::time::timeout(deadline, enough).await {
            return Ok(messages.clone());
        }
        Err(TooFewMessages { wanted: count, received: self.0.borrow().len(), deadline })
    }
}

impl Default for MemoryPublisher {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Publisher for MemoryPublisher {
    async fn publish(&self, batch: Vec<Delivery>) {
        let (messages, receipts): (Vec<_>, Vec<_>) = batch.into_iter().map(Delivery::into_parts).unzip();
        self.0.send_modify(|kept| kept.extend(messages));
        for receipt in receipts {
            receipt.delivered();
        }
    }

    async fn flush(&self, _deadline: Duration) {}

    async fn check(&self) -> Result<(), PublishError> {
        Ok(())
    }
}

impl fmt::Debug for MemoryPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryPublisher").field("messages", &self.0.borrow().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Outcomes, message};

    #[tokio::test]
    async fn clones_share_what_was_published() {
        let (publisher, outcomes) = (MemoryPublisher::new(), Outcomes::new());
        let batch = [message("a", Some("1"), 1, "x"), message("b", Some("1"), 2, "y"), message("a", None, 3, "z")];
        publisher.clone().publish(outcomes.deliveries(batch)).await;
        assert_eq!(publisher.messages().iter().map(|message| message.seq).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(publisher.of_topic("a").iter().map(|message| message.seq).collect::<Vec<_>>(), [1, 3]);
        publisher.clear();
        assert!(publisher.messages().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_message_or_the_deadline() {
        let publisher = MemoryPublisher::new();
        let second = Duration::from_secs(1);
        let waiting = tokio::spawn({
            let publisher = publisher.clone();
            async move { publisher.wait_for(1, second).await }
        });
        tokio::task::yield_now().await;
        publisher.publish(Outcomes::new().deliveries([message("a", None, 1, "x")])).await;
        assert_eq!(waiting.await.unwrap().unwrap().len(), 1);
        let error = publisher.wait_for(2, second).await.unwrap_err();
        assert_eq!(error.to_string(), "1 of 2 messages were published within 1s");
    }
}
