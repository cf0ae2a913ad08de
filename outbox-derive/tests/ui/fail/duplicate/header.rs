use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
struct OrderPlaced {
    #[outbox(aggregate_id, header = "tenant")]
    id: u64,
    #[outbox(header = "Tenant")]
    tenant: String,
}

fn main() {}
