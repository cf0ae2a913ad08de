use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize)]
struct Id(u64);

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
struct OrderPlaced {
    #[outbox(aggregate_id)]
    id: Id,
    #[outbox(header = "other")]
    other: Option<Id>,
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
struct OrderPacked {
    #[outbox(aggregate_id)]
    region: u8,
    #[outbox(aggregate_id)]
    id: Id,
}

fn main() {}
