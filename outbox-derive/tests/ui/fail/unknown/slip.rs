use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(agregate = "order", topic = "orders")]
struct OrderPlaced {
    #[outbox(aggregat_id)]
    id: u64,
}

fn main() {}
