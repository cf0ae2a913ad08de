//! The tests on real servers; `cargo xtask test` runs them.
#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::large_futures,
    reason = "these are tests"
)]

mod blocked;
mod cancel;
mod delivery;
mod failpoints;
mod footprint;
mod hints;
mod notify;
mod ordering;
mod outage;
mod random;
mod rights;
mod store;
mod support;
