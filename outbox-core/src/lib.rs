//! The heart of a transactional outbox: events, their order, their delivery. No database, no broker.
//!
//! A crate that only defines events needs nothing else:
//!
//! ```
//! # #[cfg(feature = "derive")] {
//! use outbox_core::OutboxEvent;
//!
//! #[derive(serde::Serialize, OutboxEvent)]
//! #[outbox(aggregate = "order", topic = "orders")]
//! struct OrderPlaced {
//!     #[outbox(aggregate_id)]
//!     order_id: u64,
//!     total_cents: i64,
//! }
//!
//! let event = OrderPlaced { order_id: 7, total_cents: 1999 };
//! assert_eq!(event.event_type(), "order.placed");
//! assert_eq!(event.partition_key().as_deref(), Some("7"));
//! # }
//! ```

mod derived;
pub mod engine;
mod env;
pub mod event;
#[cfg(feature = "failpoints")]
#[doc(hidden)]
pub mod failpoints;
pub mod message;
mod panics;
pub mod processor;
pub mod publisher;
pub mod retry;
pub mod shard;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod wake;

pub use event::{
    AggregateRoot, Encoded, Envelope, EventId, EventOptions, Headers, Limits, OrderKey, OutboxEvent, PendingEvents,
    StageError,
};
pub use message::{Message, Origin, Place};
pub use processor::{Processor, ProcessorHandle};
pub use publisher::{Delivery, Outcome, Partition, PublishError, PublishErrorKind, Publisher, Receipt};
pub use publisher::{FnPublisher, LogPublisher, MemoryPublisher, NoopPublisher, Router, publish_fn, publish_with};
pub use retry::{OnDeath, RetryPolicy};
pub use shard::Shard;
pub use wake::Wake;

#[cfg(feature = "derive")]
pub use outbox_derive::OutboxEvent;

/// What generated code and `outbox-sea-orm` need. Not part of the interface: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::derived::{AggregateVersion, Text, text};
    pub use crate::env::{Env, EnvError};
    #[cfg(feature = "derive")]
    pub use outbox_derive::FacadeOutboxEvent;
    pub use serde::Serialize;
}
