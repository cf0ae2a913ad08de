use outbox_core::OutboxEvent;
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = order, topic, version = "2", unordered = true)]
struct Unquoted;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = 1, topic("orders"), version, unordered)]
struct Otherwise;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = , version = 1.5, unordered)]
struct Forgotten;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = concat!("or", "der"), topic = b"orders", unordered(yes))]
struct Computed;

fn main() {}
