use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Delivery, PublishError, Publisher};
use crate::message::Message;

/// Writes a line about every message, by [`tracing`] at level INFO, and calls it delivered: the events go nowhere else.
///
/// For development, and to see what a new outbox would send. A line names the event's id, type, topic and number,
/// whether it has a key, and its payload's size. Keys, headers and payloads may be personal data or secrets, so they
/// are left out; [`with_payload`](Self::with_payload) adds the payload.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogPublisher {
    payload: bool,
}

impl LogPublisher {
    /// A publisher that logs no payloads.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Logs payloads too, as text, with what is not UTF-8 replaced.
    #[must_use]
    pub fn with_payload(self) -> Self {
        Self { payload: true }
    }

    fn log(&self, message: &Message) {
        let envelope = &message.envelope;
        let payload = envelope.payload.as_deref().filter(|_| self.payload).map(String::from_utf8_lossy);
        tracing::info!(
            id = %envelope.id,
            event_type = message.event_type(),
            topic = message.topic(),
            seq = message.seq,
            has_key = envelope.key.is_some(),
            tombstone = envelope.payload.is_none(),
            bytes = envelope.payload.as_ref().map_or(0, Bytes::len),
            payload = payload.as_deref(),
            "published to the log"
        );
    }
}

#[async_trait]
impl Publisher for LogPublisher {
    async fn publish(&self, batch: Vec<Delivery>) {
        for delivery in batch {
            self.log(&delivery);
            delivery.delivered();
        }
    }

    async fn flush(&self, _deadline: Duration) {}

    async fn check(&self) -> Result<(), PublishError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;
    use crate::testing::{Outcomes, Reported, message};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl Visit for Lines {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.0.lock().unwrap().push(format!("{field}={value:?}"));
        }
    }

    impl Subscriber for Lines {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() == tracing::Level::INFO
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            event.record(&mut self.clone());
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    /// What is logged about one message, with its outcome checked.
    async fn logged(publisher: LogPublisher, message: Message) -> String {
        let (lines, outcomes) = (Lines::default(), Outcomes::new());
        let guard = tracing::subscriber::set_default(lines.clone());
        publisher.publish(outcomes.deliveries([message])).await;
        drop(guard);
        assert_eq!(outcomes.all().await, [Reported::Delivered]);
        lines.0.lock().unwrap().join(" ")
    }

    #[tokio::test]
    async fn a_line_names_the_message_and_keeps_its_content_to_itself() {
        let mut secret = message("orders", Some("canary-key"), 7, "{\"canary\":\"payload\"}");
        secret.envelope.headers.set("x-token", "canary-header").unwrap();
        let id = secret.id();
        let line = logged(LogPublisher::new(), secret).await;
        for part in [
            &format!("id={id}"),
            "event_type=\"test.happened\"",
            "topic=\"orders\"",
            "seq=7",
            "has_key=true",
            "bytes=20",
            "tombstone=false",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        assert!(!line.contains("canary"), "{line}");
    }

    #[tokio::test]
    async fn the_payload_is_logged_on_request() {
        let line = logged(LogPublisher::new().with_payload(), message("orders", None, 1, "canary")).await;
        assert!(line.contains("payload=\"canary\"") && line.contains("has_key=false"), "{line}");
    }
}
