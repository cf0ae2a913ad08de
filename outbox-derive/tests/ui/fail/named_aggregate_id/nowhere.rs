use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", aggregate_id = "order_di")]
enum OrderEvent {
    Placed { order_id: u64 },
    Cancelled { order_id: u64 },
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", aggregate_id = "tenant, order_id")]
struct OrderPlaced {
    tenant: u64,
    order_id: u64,
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", aggregate_id = "1")]
struct OrderPacked(u64);

fn main() {}
