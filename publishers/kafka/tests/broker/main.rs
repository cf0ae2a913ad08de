//! Against a real broker: `OUTBOX_TEST_KAFKA_BROKERS` names it.

mod order;
mod outage;
mod records;
mod support;
