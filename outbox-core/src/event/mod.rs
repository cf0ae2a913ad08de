//! Domain events and what staging makes of them.

mod aggregate;
mod encoded;
mod envelope;
#[cfg(test)]
mod envelope_tests;
mod error;
mod headers;
mod id;
mod limits;
mod options;
mod payload;
mod refs;
mod staged;

use std::borrow::Cow;

pub use aggregate::{AggregateRoot, PendingEvents, TakenEvent};
pub use encoded::Encoded;
pub use envelope::{Envelope, OrderKey};
pub use error::StageError;
pub use headers::{HeaderError, Headers, RESERVED_PREFIX, names};
pub use id::EventId;
pub use limits::{LimitError, Limits};
pub use options::EventOptions;
pub use staged::HasStaged;

/// Something that happened to an aggregate and that others want to know.
///
/// Usually derived with `#[derive(OutboxEvent)]`; it can be written by hand, and it is object safe.
/// Nothing here is checked when it is called: names, lengths and the payload are checked when the event
/// is staged ([`Envelope::encode`]), where the error still belongs to the transaction that caused it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an outbox event",
    label = "this type cannot be staged",
    note = "add `#[derive(serde::Serialize, OutboxEvent)]` and `#[outbox(aggregate = \"..\", topic = \"..\")]` to it"
)]
pub trait OutboxEvent {
    /// The kind of thing the event is about, for example `order`.
    fn aggregate_type(&self) -> Cow<'_, str>;

    /// Which one of them, for example the order's number. `None` only for unordered events without one.
    fn aggregate_id(&self) -> Option<Cow<'_, str>>;

    /// The aggregate's own version after this event, where the domain counts one.
    fn aggregate_version(&self) -> Option<i64> {
        None
    }

    /// What happened, as a stable name such as `order.placed`; never a Rust path.
    fn event_type(&self) -> Cow<'_, str>;

    /// The version of the payload's schema. Defaults to 1.
    fn event_version(&self) -> u32 {
        1
    }

    /// The topic to publish to.
    fn topic(&self) -> Cow<'_, str>;

    /// Events with the same topic and partition key are delivered in the order of staging.
    ///
    /// `None` means unordered: no key on the wire, and no other event waits for this one.
    fn partition_key(&self) -> Option<Cow<'_, str>>;

    /// Adds the event's own headers.
    ///
    /// # Errors
    ///
    /// A name or value that no broker could carry unchanged.
    fn headers(&self, headers: &mut Headers) -> Result<(), HeaderError> {
        let _ = headers;
        Ok(())
    }

    /// The payload. The derive calls [`Encoded::json`].
    ///
    /// # Errors
    ///
    /// Whatever the serializer says.
    fn encode(&self) -> Result<Encoded, Box<dyn std::error::Error + Send + Sync>>;
}

const _: fn(&dyn OutboxEvent) = |_| {};
