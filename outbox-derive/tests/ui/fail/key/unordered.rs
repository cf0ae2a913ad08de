use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
enum OrderEvent {
    #[outbox(unordered)]
    Viewed {
        #[outbox(partition_key)]
        id: u64,
    },
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders", unordered)]
struct OrderSeen(#[outbox(aggregate_id, partition_key)] u64);

fn main() {}
