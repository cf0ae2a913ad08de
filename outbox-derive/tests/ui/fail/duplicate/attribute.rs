use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", aggregate = "basket")]
#[outbox(topic = "orders")]
#[outbox(topic = "orders")]
struct OrderPlaced {
    #[outbox(aggregate_id, aggregate_id)]
    id: u64,
}

fn main() {}
