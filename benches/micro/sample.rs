use outbox_core::{Message, Origin, Place, Shard};
use outbox_sea_orm::OutboxEvent;
use serde::Serialize;

/// An event of about 250 bytes.
#[derive(Debug, Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", aggregate_id = "order_id")]
pub(crate) struct OrderPlaced {
    pub(crate) order_id: u64,
    customer: String,
    note: String,
}

impl OrderPlaced {
    pub(crate) fn new(order_id: u64) -> Self {
        Self { order_id, customer: format!("customer-{}", order_id % 100), note: "x".repeat(180) }
    }
}

/// So many events as a store reads them: ten of each key, far apart.
pub(crate) fn messages(events: usize) -> Vec<Message> {
    let encode = |n: usize| {
        let event = OrderPlaced::new((n % (events / 10).max(1)) as u64);
        let (options, limits) = (outbox_core::EventOptions::new(), outbox_core::Limits::default());
        let encoded = outbox_core::Envelope::encode(&event, options, outbox_core::Headers::new(), &limits);
        let envelope = encoded.expect("a good event");
        let shard = Shard::of_key(envelope.key.as_deref().unwrap_or_default(), crate::engine::SHARDS);
        Message { envelope, seq: n as i64 + 1, shard, attempts: 0, origin: Origin::Staged, place: Place::default() }
    };
    (0..events).map(encode).collect()
}
