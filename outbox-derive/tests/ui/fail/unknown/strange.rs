use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(colour = "red", aggregate = "order", topic = "orders")]
struct OrderPlaced {
    #[outbox(aggregate_id, skip)]
    id: u64,
}

fn main() {}
