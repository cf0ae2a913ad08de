//! A variant may be deprecated without a warning from the implementation.

#![deny(deprecated)]

use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
enum OrderEvent {
    #[deprecated]
    Placed {
        #[outbox(aggregate_id)]
        #[deprecated]
        id: u64,
    },
    Packed(#[outbox(aggregate_id)] u64),
}

fn main() {
    assert_eq!(OrderEvent::Packed(1).event_type(), "order.packed");
}
