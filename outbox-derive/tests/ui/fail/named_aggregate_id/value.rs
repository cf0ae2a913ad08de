use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", aggregate_id)]
struct OrderPlaced {
    id: u64,
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
struct OrderPacked {
    #[outbox(aggregate_id = "id")]
    id: u64,
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", aggregate_id = "id")]
enum OrderEvent {
    Missing { id: Option<u64> },
    #[outbox(aggregate_id = "id")]
    Misplaced { id: u64 },
}

fn main() {}
