use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
enum OrderEvent {
    Placed(#[outbox(aggregate_id)] u64),
    OrderPlaced(#[outbox(aggregate_id)] u64),
    #[outbox(event_type = "order.placed")]
    Ordered(#[outbox(aggregate_id)] u64),
    #[outbox(event_type = "order.placed", version = 2)]
    PlacedAgain(#[outbox(aggregate_id)] u64),
}

fn main() {}
