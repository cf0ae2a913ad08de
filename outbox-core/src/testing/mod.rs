//! For tests: a store in memory, publishers that record or fail, what a transaction staged, and the contracts of
//! stores and publishers as test suites.
//!
//! Not covered by semantic versioning.

pub mod contract;
mod fault;
mod faulty;
#[cfg(test)]
mod faulty_tests;
mod memory;
mod memory_admin;
mod outcomes;
mod recording;
mod sample;
mod staged;

pub use crate::{assert_staged, publisher_contract};
pub use fault::Fault;
pub use faulty::FaultyPublisher;
pub use memory::{MemoryStore, Unsettled};
pub use outcomes::{Outcomes, Reported};
pub use recording::{Call, RecordingPublisher};
pub use sample::message;
pub use staged::{Mismatch, StagedEvents};
