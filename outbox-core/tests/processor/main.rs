//! The processor around the engine, against a store in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod checks;
mod database;
mod delivering;
mod listening;
mod once;
mod publishers;
mod saturated;
mod stopping;
mod support;
