use std::fmt;
use std::time::Duration;

use super::{EventId, HeaderError, Headers, names};

/// What one staging call adds to an event or sets otherwise.
///
/// ```
/// # use outbox_core::EventOptions;
/// # use std::time::Duration;
/// let options = EventOptions::new().header("region", "eu").correlation_id("basket-7").delay(Duration::from_secs(60));
/// ```
#[derive(Clone, Default)]
#[must_use = "options do nothing until an event is staged with them"]
pub struct EventOptions {
    pub(super) id: Option<EventId>,
    pub(super) topic: Option<String>,
    pub(super) key: Option<Option<String>>,
    pub(super) delay: Option<Duration>,
    pub(super) headers: Headers,
    pub(super) mistake: Option<HeaderError>,
}

impl fmt::Debug for EventOptions {
    /// Shows neither the key nor what headers say.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventOptions")
            .field("id", &self.id)
            .field("topic", &self.topic)
            .field("sets_key", &self.key.is_some())
            .field("delay", &self.delay)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

impl EventOptions {
    /// Nothing changed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Uses this id instead of a new one, for example one derived from the command that is being handled.
    pub fn id(mut self, id: EventId) -> Self {
        self.id = Some(id);
        self
    }

    /// Publishes to another topic.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Orders the event behind another key.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(Some(key.into()));
        self
    }

    /// Gives up order: the event has no key and waits for no other.
    pub fn unordered(mut self) -> Self {
        self.key = Some(None);
        self
    }

    /// Publishes the event this long after its commit, by the database's clock; at most ten years.
    ///
    /// A delayed event takes its place in the order of its key when it is due, not when it was staged. A delay of less
    /// than a microsecond is none.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Adds a header; one that cannot be sent makes staging fail.
    pub fn header(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        if let Err(mistake) = self.headers.set(name, value) {
            self.mistake.get_or_insert(mistake);
        }
        self
    }

    /// The business conversation that this event belongs to: header `correlation-id`.
    pub fn correlation_id(self, id: impl fmt::Display) -> Self {
        self.header(names::CORRELATION_ID, id)
    }

    /// The message or command that caused this event: header `causation-id`.
    pub fn causation_id(self, id: impl fmt::Display) -> Self {
        self.header(names::CAUSATION_ID, id)
    }

    /// Who acted: header `user-id`.
    pub fn user_id(self, id: impl fmt::Display) -> Self {
        self.header(names::USER_ID, id)
    }

    /// For whom: header `tenant-id`.
    pub fn tenant_id(self, id: impl fmt::Display) -> Self {
        self.header(names::TENANT_ID, id)
    }
}
