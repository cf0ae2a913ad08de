//! The derive as the facade re-exports it: to it, this crate is `outbox_sea_orm`, and core is a module of it.

extern crate self as outbox_sea_orm;

mod support;

/// As in the facade: core under its name there, with the derive that knows this path.
pub mod core {
    pub use outbox_core::__private::FacadeOutboxEvent as OutboxEvent;
    pub use outbox_core::*;
}

use outbox_sea_orm::core::OutboxEvent;
use serde::Serialize;
use support::{Facts, facts, payload};

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
struct OrderPlaced<T>(#[outbox(aggregate_id)] T);

mod events {
    pub(crate) mod outbox {
        pub(crate) use outbox_core::*;
    }
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", crate = "crate::events::outbox")]
struct OrderSent<T>(#[outbox(aggregate_id)] T);

#[test]
fn the_facade_alone_is_enough_and_any_path_can_be_given() {
    let order = Facts {
        aggregate_type: "order",
        aggregate_id: Some("1"),
        topic: "orders",
        partition_key: Some("1"),
        ..Facts::default()
    };
    facts(&OrderPlaced(1), &Facts { event_type: "order.placed", ..order.clone() });
    facts(&OrderSent(1), &Facts { event_type: "order.sent", ..order });
    assert_eq!(payload(&OrderPlaced(1)), "1");
    assert_eq!(payload(&OrderSent(1)), "1");
}
