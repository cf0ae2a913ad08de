//! Named once, for an enum whose variants all have the field, with generics and under strict lints.

#![deny(warnings, rust_2018_idioms, unused_qualifications, unused_lifetimes, unreachable_pub)]

use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", aggregate_id = "order_id")]
enum OrderEvent<Id> {
    Placed { order_id: Id, total_cents: i64 },
    Cancelled { order_id: Id },
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", aggregate_id = "order_id", unordered)]
struct OrderSeen {
    order_id: u64,
}

fn main() {
    let events: [&dyn OutboxEvent; 3] = [
        &OrderEvent::Placed { order_id: 7, total_cents: 1 },
        &OrderEvent::Cancelled { order_id: "7" },
        &OrderSeen { order_id: 7 },
    ];
    assert!(events.iter().all(|event| event.aggregate_id().as_deref() == Some("7")));
}
