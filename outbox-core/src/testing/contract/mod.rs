//! What every implementation of a trait must do, as functions that a test calls.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::missing_panics_doc, reason = "these are tests")]

pub mod store;
