//! Fields may be called like constants, keywords and crates, and methods of other traits do not interfere.

use outbox_core::OutboxEvent;
use serde::Serialize;

#[allow(non_upper_case_globals)]
const id: u64 = 0;
#[allow(non_upper_case_globals)]
const headers: u64 = 0;

trait Noise {
    fn to_string(&self) {}
    fn clone(&self) {}
    fn event_type(&self) {}
    fn set(&self) {}
    fn json(&self) {}
}

impl<T> Noise for T {}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
struct OrderPlaced {
    #[outbox(aggregate_id)]
    id: u64,
    #[outbox(aggregate_id, header = "headers")]
    headers: u64,
    #[outbox(partition_key)]
    r#match: u64,
    #[outbox(partition_key, aggregate_version)]
    core: u32,
}

fn main() {
    let event = OrderPlaced { id: id + 1, headers: headers + 2, r#match: 3, core: 4 };
    assert_eq!(event.aggregate_id().as_deref(), Some("1:2"));
    assert_eq!(event.partition_key().as_deref(), Some("3:4"));
    assert_eq!(OutboxEvent::event_type(&event), "order.placed");
    Noise::set(&event);
    Noise::json(&event);
}
