//! Nothing secret, and nothing of what an event says, is in a log line, an error or debug output, with everything
//! logged. A program of its own, because the subscriber is the process's: drivers log from threads of their own.
//!
//! Whatever must not be seen has the word "canary" in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod database;
mod events;
mod log;
mod rows;
