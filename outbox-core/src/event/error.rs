use std::any::Any;

use thiserror::Error;

use super::{EventId, HeaderError};
use crate::panics;

/// Why an event was not staged. The transaction is unharmed: the caller decides whether it goes on without the event.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StageError {
    /// A name is empty, too long or has a character that is not allowed.
    #[error("event {event_type:?}: {field} {problem}")]
    Field {
        /// The event's type.
        event_type: String,
        /// Which one: `topic`, `partition key`, `aggregate id`, `aggregate type`, `event type`, `content type`.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The payload is larger than the limit.
    #[error("event {event_type:?}: the payload has {bytes} bytes, the limit is {limit} (Limits::payload_bytes)")]
    PayloadTooLarge {
        /// The event's type.
        event_type: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The payload is not text, or has a NUL, and the table's payload column holds text.
    #[error(
        "event {event_type:?}: the payload is not UTF-8 text without NUL; \
         create the tables with a binary payload column (`outbox-migrate --payload binary up`) to store it"
    )]
    PayloadNotText {
        /// The event's type.
        event_type: String,
    },
    /// A header cannot be sent.
    #[error("event {event_type:?}: {source}")]
    Header {
        /// The event's type.
        event_type: String,
        /// Which and why.
        source: HeaderError,
    },
    /// The event's serializer failed.
    #[error("event {event_type:?}: the payload could not be encoded: {source}")]
    Encode {
        /// The event's type.
        event_type: String,
        /// What the serializer said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The event's serializer, or another of its methods, panicked.
    #[error("event {event_type:?}: its {method} panicked: {text}")]
    Panicked {
        /// The event's type, as far as it is known.
        event_type: String,
        /// Which method.
        method: &'static str,
        /// What the panic said.
        text: String,
    },
    /// The delay is longer than ten years.
    #[error("event {event_type:?}: the delay is longer than ten years")]
    Delay {
        /// The event's type.
        event_type: String,
    },
    /// The transaction holds as many events as it may.
    #[error("a transaction stages at most {limit} events (Limits::events_per_transaction)")]
    TooManyEvents {
        /// The limit.
        limit: usize,
    },
    /// The transaction, or the savepoint through which the event was staged, cannot take events any more.
    #[error("{reason}")]
    Closed {
        /// Why, and what to do.
        reason: &'static str,
    },
    /// An id was given to two events of one transaction.
    #[error("event id {id} was staged twice in one transaction")]
    DuplicateId {
        /// The id.
        id: EventId,
    },
}

impl StageError {
    /// What the panic of one of the event's methods becomes.
    #[doc(hidden)]
    #[must_use]
    pub fn panicked(event_type: &str, method: &'static str, panic: Box<dyn Any + Send>) -> Self {
        let text = panics::text(panic.as_ref());
        drop(panic);
        Self::Panicked { event_type: event_type.to_owned(), method, text }
    }
}
