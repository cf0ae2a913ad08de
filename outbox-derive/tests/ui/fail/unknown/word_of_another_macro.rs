use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
enum OrderEvent {
    #[outbox(rename = "placed")]
    Placed(#[outbox(id)] u64),
    #[outbox(type = "gone")]
    Cancelled {
        #[outbox(key)]
        id: u64,
    },
    #[outbox(key)]
    Viewed,
}

fn main() {}
