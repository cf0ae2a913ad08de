//! Everything may come out of a macro.

#![deny(warnings, rust_2018_idioms, unused_qualifications, unused_lifetimes, unreachable_pub)]

use outbox_core::OutboxEvent;
use serde::Serialize;

macro_rules! event {
    ($name:ident, $topic:literal, $version:literal, $id:ty, $optional:ty) => {
        #[derive(Serialize, OutboxEvent)]
        #[outbox(aggregate = "order", topic = $topic, version = $version)]
        struct $name {
            #[outbox(aggregate_id)]
            id: $id,
            #[outbox(header = $topic)]
            header: Option<$id>,
            #[outbox(aggregate_version)]
            version: $optional,
        }
    };
}

event!(OrderPlaced, "orders", 3, u64, Option<u8>);

fn main() {
    let event = OrderPlaced { id: 1, header: Some(2), version: Some(3) };
    assert_eq!(event.topic(), "orders");
    assert_eq!(event.event_version(), 3);
    assert_eq!(event.aggregate_version(), Some(3));
}
