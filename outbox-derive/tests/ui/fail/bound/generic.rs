use outbox_core::OutboxEvent;
use serde::Serialize;

struct Opaque;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
struct OrderPlaced<T> {
    #[outbox(aggregate_id)]
    id: u64,
    what: T,
}

fn stage(_: &impl OutboxEvent) {}

fn main() {
    stage(&OrderPlaced { id: 1, what: "it" });
    stage(&OrderPlaced { id: 1, what: Opaque });
}
