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

pub mod engine;
pub mod event;
pub mod message;
pub mod publisher;
pub mod retry;
pub mod shard;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod wake;

pub use event::{Encoded, Envelope, EventId, EventOptions, Headers, Limits, OrderKey, OutboxEvent, StageError};
pub use message::{Message, Origin};
pub use publisher::{Delivery, Outcome, PublishError, PublishErrorKind, Publisher, Receipt};
pub use retry::{OnDeath, RetryPolicy};
pub use shard::Shard;
pub use wake::Wake;
