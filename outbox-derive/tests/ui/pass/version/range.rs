//! Versions begin at 1, go as far as the column, and a variant's stands before the type's.

use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", unordered, version = 2)]
enum OrderEvent {
    Placed,
    #[outbox(version = 2_147_483_647)]
    Packed,
    #[outbox(version = 1)]
    Sent,
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", unordered)]
struct OrderLost;

fn main() {
    assert_eq!(OrderEvent::Placed.event_version(), 2);
    assert_eq!(OrderEvent::Packed.event_version(), 2_147_483_647);
    assert_eq!(OrderEvent::Sent.event_version(), 1);
    assert_eq!(OrderLost.event_version(), 1);
}
