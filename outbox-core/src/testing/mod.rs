//! For tests: a store in memory, publishers that record or fail, what a transaction staged, and the contract of a
//! publisher as a test suite.
//!
//! Not covered by semantic versioning.

mod memory;
mod memory_admin;
mod outcomes;
mod sample;

pub use memory::{MemoryStore, Unsettled};
pub use outcomes::{Outcomes, Reported};
pub use sample::message;
