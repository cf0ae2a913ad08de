//! For tests: a store in memory, publishers that record or fail, and the contracts of both as test suites.
//!
//! Not covered by semantic versioning.

pub mod contract;
mod memory;
mod memory_admin;

pub use memory::{MemoryStore, Unsettled};
