use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
enum OrderEvent {
    #[outbox(aggregate = "basket", rename_all = "lowercase")]
    Placed {
        #[outbox(aggregate_id, topic = "ids", crate = "outbox_core")]
        id: u64,
    },
}

fn main() {}
