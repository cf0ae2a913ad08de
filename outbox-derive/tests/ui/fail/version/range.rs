use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", version = 0)]
enum OrderEvent {
    #[outbox(version = 2147483648)]
    Placed(#[outbox(aggregate_id)] u64),
    #[outbox(version = -1)]
    Packed(#[outbox(aggregate_id)] u64),
}

fn main() {}
