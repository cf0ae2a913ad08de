use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
struct OrderPlaced {
    id: u64,
}

fn main() {}
