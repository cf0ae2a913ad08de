use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
enum OrderEvent {
    Placed(#[outbox(aggregate_id)] u64),
    Cancelled {
        id: u64,
    },
    Viewed,
}

fn main() {}
