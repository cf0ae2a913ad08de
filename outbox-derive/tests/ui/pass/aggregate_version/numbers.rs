//! Any number that always fits an `i64`, an optional one, and a type of one's own.

use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, Clone, Copy)]
struct Revision(u16);

impl From<Revision> for i64 {
    fn from(revision: Revision) -> Self {
        revision.0.into()
    }
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
enum OrderEvent {
    Placed(#[outbox(aggregate_id)] u64, #[outbox(aggregate_version)] i64),
    Packed(#[outbox(aggregate_id)] u64, #[outbox(aggregate_version)] u32),
    Sent(#[outbox(aggregate_id)] u64, #[outbox(aggregate_version)] Option<i8>),
    Returned(#[outbox(aggregate_id)] u64, #[outbox(aggregate_version)] Revision),
    Lost(#[outbox(aggregate_id)] u64),
}

fn main() {
    assert_eq!(OrderEvent::Placed(1, i64::MIN).aggregate_version(), Some(i64::MIN));
    assert_eq!(OrderEvent::Packed(1, u32::MAX).aggregate_version(), Some(4_294_967_295));
    assert_eq!(OrderEvent::Sent(1, Some(-3)).aggregate_version(), Some(-3));
    assert_eq!(OrderEvent::Sent(1, None).aggregate_version(), None);
    assert_eq!(OrderEvent::Returned(1, Revision(7)).aggregate_version(), Some(7));
    assert_eq!(OrderEvent::Lost(1).aggregate_version(), None);
}
