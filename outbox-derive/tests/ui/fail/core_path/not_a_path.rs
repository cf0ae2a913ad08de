use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", crate = "outbox core")]
struct OrderPlaced(#[outbox(aggregate_id)] u64);

fn main() {}
