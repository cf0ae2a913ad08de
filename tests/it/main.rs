//! The tests on real servers; `cargo xtask test` runs them.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod delivery;
mod ordering;
mod store;
mod support;
