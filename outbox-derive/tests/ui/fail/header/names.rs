use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
struct OrderPlaced {
    #[outbox(aggregate_id, header = "outbox-event-id")]
    id: u64,
    #[outbox(header = "tenant id")]
    tenant: String,
    #[outbox(header = "")]
    user: String,
}

fn main() {}
