//! The heart of a transactional outbox: events, their order, their delivery. No database, no broker.
//!
//! A crate that only defines events needs nothing else:
//!
//! ```ignore
//! use outbox_core::OutboxEvent;
//!
//! #[derive(serde::Serialize, OutboxEvent)]
//! #[outbox(aggregate = "order", topic = "orders")]
//! struct OrderPlaced {
//!     #[outbox(aggregate_id)]
//!     order_id: u64,
//!     total_cents: i64,
//! }
//! ```

pub mod event;
pub mod message;
pub mod publisher;
pub mod shard;
pub mod wake;

pub use event::{
    AggregateRoot, Encoded, Envelope, EventId, EventOptions, Headers, Limits, OrderKey, OutboxEvent, PendingEvents,
    StageError,
};
pub use message::{Message, Origin};
pub use publisher::{Delivery, Outcome, PublishError, PublishErrorKind, Publisher, Receipt};
pub use shard::Shard;
pub use wake::Wake;
