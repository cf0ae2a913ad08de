use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", aggregate_id = "order_id")]
enum OrderEvent {
    Placed { order_id: u64 },
    Cancelled { id: u64 },
    Emptied,
    #[outbox(unordered)]
    Seen,
}

fn main() {}
