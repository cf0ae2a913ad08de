//! A type may be local.

#![deny(warnings, rust_2018_idioms, unused_qualifications, unused_lifetimes, unreachable_pub)]

use outbox_core::OutboxEvent;
use serde::Serialize;

fn main() {
    #[derive(Serialize, OutboxEvent)]
    #[outbox(aggregate = "order", topic = "orders")]
    struct OrderPlaced<'a>(#[outbox(aggregate_id)] &'a str);

    assert_eq!(OrderPlaced("7").partition_key().as_deref(), Some("7"));
}
