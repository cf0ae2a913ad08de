//! The core crate may have another name, or be inside a module.

extern crate outbox_core as renamed;

use serde::Serialize;

#[derive(Serialize, renamed::OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", crate = "renamed")]
struct OrderPlaced<T>(#[outbox(aggregate_id)] T);

mod own {
    pub(crate) use renamed as events;
}

#[derive(Serialize, renamed::OutboxEvent)]
#[outbox(crate = "crate::own::events", aggregate = "order", topic = "orders")]
struct OrderPacked(#[outbox(aggregate_id)] u64);

fn main() {
    use renamed::OutboxEvent;

    assert_eq!(OrderPlaced(1).event_type(), "order.placed");
    assert_eq!(OrderPacked(1).event_type(), "order.packed");
}
