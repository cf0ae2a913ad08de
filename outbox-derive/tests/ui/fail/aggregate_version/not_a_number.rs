use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
struct OrderPlaced {
    #[outbox(aggregate_id)]
    id: u64,
    #[outbox(aggregate_version)]
    version: String,
}

fn main() {}
