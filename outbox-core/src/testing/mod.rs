//! For tests, with the feature `testing`. What is here may change in any release.
//!
//! | to test | there is |
//! |---|---|
//! | that a transaction stages exactly these events | [`assert_staged!`], [`StagedEvents`] |
//! | what your program does with events, and when | [`MemoryStore`] under a [`Processor`](crate::Processor), with [`MemoryPublisher`](crate::MemoryPublisher) or [`RecordingPublisher`] behind it |
//! | what happens when the broker fails | [`FaultyPublisher`] around any publisher |
//! | that time passes | two clocks, both yours: Tokio's, paused, for polls and pauses, and [`MemoryStore::advance`] for what the database's clock decides, which is leases, retries and delays |
//! | a publisher or a store of your own | the suites in [`contract`], which every one of this library passes |
//!
//! ```
//! use std::time::Duration;
//! use outbox_core::testing::{Fault, FaultyPublisher, MemoryStore, message};
//! use outbox_core::{MemoryPublisher, Processor, RetryPolicy};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (store, broker) = (MemoryStore::new(8), MemoryPublisher::new());
//! let too_early = |message: &outbox_core::Message| message.attempts == 0;
//! let publisher = FaultyPublisher::new(broker.clone()).when(too_early, Fault::Reject);
//! store.commit([message("orders", Some("order-7"), 1, "{}").envelope]);
//!
//! let policy = RetryPolicy::fixed(Duration::from_secs(3600));
//! let processor = Processor::builder(store.clone(), publisher).retry(policy).build()?;
//! assert_eq!(processor.run_once(usize::MAX).await?.counts.retried, 1);
//! assert_eq!(processor.run_once(usize::MAX).await?.counts.delivered, 0, "an hour has not passed");
//! store.advance(Duration::from_secs(3600));
//! assert_eq!(processor.run_once(usize::MAX).await?.counts.delivered, 1);
//! assert_eq!(broker.messages().len(), 1);
//! # Ok(())
//! # }
//! ```

pub mod contract;
mod fault;
mod faulty;
#[cfg(test)]
mod faulty_tests;
mod memory;
mod memory_admin;
#[cfg(test)]
pub(crate) mod memory_faults;
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
