use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox]
struct Bare {
    #[outbox = "aggregate_id"]
    id: u64,
}

#[derive(Serialize, OutboxEvent)]
#[outbox("order")]
struct Literal {
    #[outbox(aggregate_id)]
    id: u64,
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order" topic = "orders")]
struct NoComma {
    #[outbox(aggregate_id)]
    id: u64,
}

#[derive(Serialize, OutboxEvent)]
#[outbox(, aggregate = "order")]
struct Comma {
    #[outbox(aggregate_id)]
    id: u64,
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", version = 1 + 1, unordered event_type = "")]
struct Between;

fn main() {}
