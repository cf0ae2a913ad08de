//! Against a real broker: `OUTBOX_TEST_KAFKA_BROKERS` names it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, helpers included"
)]

mod access;
mod contract;
mod order;
mod outage;
mod own;
mod records;
mod rights;
mod support;
#[cfg(feature = "tls")]
mod tls;
