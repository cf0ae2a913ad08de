//! Against a real broker: `OUTBOX_TEST_KAFKA_BROKERS` names it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, helpers included"
)]

mod order;
mod outage;
mod records;
mod support;
