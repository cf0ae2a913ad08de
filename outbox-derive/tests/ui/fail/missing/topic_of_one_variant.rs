use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order")]
enum OrderEvent {
    #[outbox(topic = "orders")]
    Placed(#[outbox(aggregate_id)] u64),
    Cancelled(#[outbox(aggregate_id)] u64),
}

fn main() {}
