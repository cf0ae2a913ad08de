//! What every implementation of a trait must do, clause by clause, as functions that a test calls.

pub mod publisher;
#[allow(clippy::expect_used, clippy::unwrap_used, clippy::missing_panics_doc, reason = "these are tests")]
pub mod store;
