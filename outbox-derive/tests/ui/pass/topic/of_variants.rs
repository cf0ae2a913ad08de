//! A variant's topic stands before the type's, which is not needed when every variant has one.

use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders.v1", unordered)]
enum OrderEvent {
    Placed,
    #[outbox(topic = "order_views-1")]
    Viewed,
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "stock", unordered)]
enum StockEvent {
    #[outbox(topic = "a")]
    Moved,
    #[outbox(topic = "b")]
    Counted,
}

fn main() {
    assert_eq!(OrderEvent::Placed.topic(), "orders.v1");
    assert_eq!(OrderEvent::Viewed.topic(), "order_views-1");
    assert_eq!(StockEvent::Moved.topic(), "a");
    assert_eq!(StockEvent::Counted.topic(), "b");
}
