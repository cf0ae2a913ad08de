use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", event_type = "order.changed")]
enum OrderEvent {
    Placed {
        #[outbox(aggregate_id, version = 2)]
        id: u64,
    },
}

fn main() {}
