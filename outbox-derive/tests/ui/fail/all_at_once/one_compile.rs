use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "", topic = "all orders", version = 0, colour)]
enum OrderEvent<T> {
    #[outbox(event_type = "changed", aggregate = "order")]
    Placed {
        #[outbox(aggregate_id, aggregate_id)]
        id: T,
        #[outbox(header = "outbox-tenant")]
        tenant: String,
    },
    #[outbox(event_type = "changed")]
    Packed {
        #[outbox(aggregate_id)]
        id: Option<u64>,
        #[outbox(aggregate_version)]
        version: u64,
    },
    Lost {
        id: u64,
    },
}

fn stage(_: &impl OutboxEvent) {}

/// None of these uses is reported: the mistakes above are all there is to mend.
fn main() {
    let event = OrderEvent::<u8>::Lost { id: 1 };
    stage(&event);
    let _ = (event.topic(), event.event_type(), event.encode());
}
