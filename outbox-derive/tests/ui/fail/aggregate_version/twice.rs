use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
struct OrderPlaced {
    #[outbox(aggregate_id, aggregate_version)]
    id: u32,
    #[outbox(aggregate_version)]
    version: u32,
}

fn main() {}
