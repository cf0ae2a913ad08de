//! What most programs use: `use outbox_sea_orm::prelude::*;`.

pub use crate::migration::Migrator;
pub use crate::{
    AggregateRoot, EventId, EventOptions, OnDeath, Outbox, OutboxEvent, OutboxTransaction, PendingEvents,
    ProcessorHandle, RetryPolicy, record,
};
pub use outbox_core::store::Admin;
pub use outbox_core::{Delivery, LogPublisher, MemoryPublisher, Message, PublishError, Publisher, Router, publish_fn};

#[cfg(feature = "kafka")]
pub use crate::kafka::KafkaPublisher;
