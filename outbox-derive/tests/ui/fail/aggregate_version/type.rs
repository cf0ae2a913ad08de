use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
enum OrderEvent {
    Placed(#[outbox(aggregate_id)] u64, #[outbox(aggregate_version)] u64),
    Packed(#[outbox(aggregate_id)] u64, #[outbox(aggregate_version)] Option<usize>),
}

fn main() {}
