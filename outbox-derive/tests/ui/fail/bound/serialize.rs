use outbox_core::OutboxEvent;

#[derive(OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
struct OrderPlaced(#[outbox(aggregate_id)] u64);

fn main() {}
