use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", partition_key)]
struct OrderPlaced {
    id: u64,
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
enum OrderEvent {
    #[outbox(header = "id")]
    Placed(#[outbox(aggregate_id)] u64),
}

fn main() {}
