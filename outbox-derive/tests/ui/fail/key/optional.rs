use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
struct OrderPlaced {
    #[outbox(aggregate_id)]
    id: Option<u64>,
    #[outbox(partition_key)]
    region: std::option::Option<String>,
}

fn main() {}
