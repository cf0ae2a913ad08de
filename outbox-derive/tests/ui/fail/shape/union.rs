use outbox_core::OutboxEvent;

#[derive(OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
union OrderPlaced {
    id: u64,
}

fn main() {}
