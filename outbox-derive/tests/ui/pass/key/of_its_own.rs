//! The partition key is the aggregate id, or fields of its own, or none.

use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
enum OrderEvent {
    Placed {
        #[outbox(aggregate_id)]
        region: &'static str,
        #[outbox(aggregate_id)]
        id: u64,
    },
    Packed {
        #[outbox(aggregate_id)]
        id: u64,
        #[outbox(partition_key)]
        customer: u64,
    },
    #[outbox(unordered)]
    Viewed {
        #[outbox(aggregate_id)]
        id: u64,
    },
    #[outbox(unordered)]
    Counted,
}

fn keys(event: &OrderEvent) -> [Option<String>; 2] {
    [event.aggregate_id(), event.partition_key()].map(|key| key.map(Into::into))
}

fn main() {
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(keys(&OrderEvent::Placed { region: "eu", id: 7 }), [text("eu:7"), text("eu:7")]);
    assert_eq!(keys(&OrderEvent::Packed { id: 7, customer: 8 }), [text("7"), text("8")]);
    assert_eq!(keys(&OrderEvent::Viewed { id: 7 }), [text("7"), None]);
    assert_eq!(keys(&OrderEvent::Counted), [None, None]);
}
