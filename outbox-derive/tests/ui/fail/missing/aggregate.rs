use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(topic = "orders")]
struct OrderPlaced {
    #[outbox(aggregate_id)]
    id: u64,
}

fn main() {}
