//! Bounds come from what is used.

#![deny(warnings, rust_2018_idioms, unused_qualifications, unused_lifetimes, unreachable_pub)]

use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
enum OrderEvent<'a, Id: Copy, Note: ?Sized, const N: usize>
where
    Note: AsRef<str>,
{
    Placed {
        #[outbox(aggregate_id)]
        id: Id,
        note: &'a Note,
    },
    Packed {
        #[outbox(aggregate_id)]
        id: &'a Id,
        #[serde(skip)]
        weights: [u8; N],
    },
}

fn key(event: &impl OutboxEvent) -> Option<String> {
    event.partition_key().map(Into::into)
}

fn main() {
    let placed: OrderEvent<'_, u8, str, 2> = OrderEvent::Placed { id: 1, note: "a note" };
    assert_eq!(key(&placed).as_deref(), Some("1"));
    let packed: OrderEvent<'_, u8, str, 2> = OrderEvent::Packed { id: &1, weights: [1, 2] };
    assert_eq!(key(&packed).as_deref(), Some("1"));
    if let OrderEvent::Packed { weights, .. } = packed {
        assert_eq!(weights, [1, 2]);
    }
    if let OrderEvent::Placed { note, .. } = placed {
        assert_eq!(note, "a note");
    }
}
