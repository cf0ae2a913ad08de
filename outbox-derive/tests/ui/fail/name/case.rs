use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", rename_all = "snake")]
struct OrderPlaced(#[outbox(aggregate_id)] u64);

fn main() {}
