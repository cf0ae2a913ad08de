use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order")]
struct OrderPlaced {
    #[outbox(aggregate_id)]
    id: u64,
}

fn main() {}
