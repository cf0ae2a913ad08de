//! Structs and enums of every shape, under strict lints.

#![deny(warnings, rust_2018_idioms, unused_qualifications, unused_lifetimes, unreachable_pub)]

use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
struct OrderPlaced {
    #[outbox(aggregate_id)]
    id: u64,
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
struct OrderPacked(#[outbox(aggregate_id)] u64);

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", unordered)]
struct OrderSeen;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
enum OrderEvent {
    Placed {
        #[outbox(aggregate_id)]
        id: u64,
    },
    Packed(#[outbox(aggregate_id)] u64),
    #[outbox(unordered)]
    Seen,
}

fn main() {
    let events: [&dyn OutboxEvent; 6] = [
        &OrderPlaced { id: 1 },
        &OrderPacked(1),
        &OrderSeen,
        &OrderEvent::Placed { id: 1 },
        &OrderEvent::Packed(1),
        &OrderEvent::Seen,
    ];
    let types: Vec<_> = events.iter().map(|event| event.event_type()).collect();
    assert_eq!(types[..3], types[3..]);
}
