use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "my orders")]
enum OrderEvent {
    #[outbox(topic = "")]
    Placed(#[outbox(aggregate_id)] u64),
    #[outbox(topic = "..")]
    Packed(#[outbox(aggregate_id)] u64),
    #[outbox(topic = "bestellungen-für-alle")]
    Sent(#[outbox(aggregate_id)] u64),
    #[outbox(topic = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")]
    Lost(#[outbox(aggregate_id)] u64),
}

fn main() {}
