//! The unit of work on real databases.
//!
//! PostgreSQL and MariaDB come from `OUTBOX_TEST_POSTGRES_URL` and `OUTBOX_TEST_MARIADB_URL`; `cargo xtask test`
//! starts both. A database that is not there fails its tests, unless `OUTBOX_TEST_SKIP` names it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[macro_use]
mod fixtures;
mod proxy;

mod aggregates;
mod basics;
mod cancel;
mod closing;
mod failing;
mod flush;
mod gate;
mod hooks;
mod random;
mod recording;
mod refused;
mod schema;
mod strict;
mod tracing_context;
mod unknown;
