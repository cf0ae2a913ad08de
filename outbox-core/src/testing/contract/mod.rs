//! Contracts as test suites: what every implementation of a trait must do, one function per clause.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::missing_panics_doc, reason = "these are tests")]

pub mod publisher;
pub mod store;
