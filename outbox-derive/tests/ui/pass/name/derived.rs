//! Event types come from the names of variants, unless they are given.

use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", unordered)]
enum OrderEvent {
    Placed,
    OrderItemAdded,
    #[outbox(event_type = "order.gone")]
    Cancelled,
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", unordered, rename_all = "SCREAMING_SNAKE_CASE")]
struct LineItemMoved;

fn main() {
    assert_eq!(OrderEvent::Placed.event_type(), "order.placed");
    assert_eq!(OrderEvent::OrderItemAdded.event_type(), "order.item_added");
    assert_eq!(OrderEvent::Cancelled.event_type(), "order.gone");
    assert_eq!(LineItemMoved.event_type(), "order.LINE_ITEM_MOVED");
}
