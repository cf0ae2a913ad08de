//! The broker side: what a publisher promises, and the publishers that need no broker.

#[cfg(test)]
mod contract_tests;
mod delivery;
mod error;
mod from_fn;
#[cfg(test)]
mod from_fn_tests;
mod futures;
mod log;
mod memory;
mod noop;
mod remaining;
mod router;
mod tasks;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::message::Message;

pub use delivery::{Delivery, Outcome, Receipt, Reports};
pub use error::{PublishError, PublishErrorKind};
pub use from_fn::{FnPublisher, publish_fn, publish_with};
pub use log::LogPublisher;
pub use memory::{MemoryPublisher, TooFewMessages};
pub use noop::NoopPublisher;
pub use router::{Router, RouterBuilder, RouterError};

pub(crate) use futures::caught;
#[cfg(any(test, feature = "testing"))]
pub(crate) use remaining::Remaining;

/// Hands messages to a broker.
///
/// # Contract
///
/// 1. *One outcome.* Every delivery is reported exactly once, from any task or thread, in any order between keys.
///    `Delivered` means that the broker has the message durably.
/// 2. *Order.* Messages of one order key (topic and partition key) reach the broker in the order of the batch.
/// 3. *A prefix.* When a message is not delivered, no later message of its key in the batch is: they are reported
///    as withheld (or failed), and the broker does not have them. A message whose outcome is unknown is reported
///    as failed; it may appear twice, and later ones of its key not before it.
/// 4. *Independence.* A message that fails does not make messages of other keys fail; they may be withheld.
///
/// The processor in turn never has two batches with messages of the same order key under way: the next one is
/// handed over when all of the key's messages in the one before have been reported, so a publisher need not
/// remember failed keys between calls. Batches with different keys overlap.
///
/// The feature `testing` has this contract as a test suite, `outbox_core::testing::contract::publisher`. Where messages
/// can be sent one by one, [`publish_fn`] keeps it for a closure.
///
/// # Cancel safety
///
/// The processor does not cancel [`publish`](Self::publish). A publisher that is dropped reports what it still holds.
#[async_trait]
pub trait Publisher: fmt::Debug + Send + Sync + 'static {
    /// Takes a batch of 1 or more messages and reports the outcome of each through its [`Delivery`].
    ///
    /// Returns as soon as the publisher is ready for another batch, which may be before the outcomes are known and
    /// is how it slows a processor down. A panic counts as a rejection of every message not yet reported.
    async fn publish(&self, batch: Vec<Delivery>);

    /// Gives the broker what is still buffered, without waiting for more, and returns when every delivery has been
    /// reported or `deadline` has passed. After the deadline, what is left is reported as withheld or failed.
    async fn flush(&self, deadline: Duration);

    /// Whether the broker can be reached now. For health checks, and for a processor that cannot publish anything: it
    /// asks before it gives its shards to another one, and before it comes back. Never used to decide about a message.
    ///
    /// Should answer within seconds; one that has not answered in the time of a lease counts as a no, and is cancelled.
    /// A publisher that cannot tell says yes.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    async fn check(&self) -> Result<(), PublishError>;

    /// Where in its topic a message with a key will go, as far as that is known without asking anybody.
    ///
    /// A part of a topic that does not answer then holds up no other part. `None`, which is the default, means that
    /// the topic works or does not work as a whole. Asked for every event: it should be cheap. The answer for a key may
    /// change when [`of`](Partition::of) does, and not otherwise.
    fn partition(&self, _message: &Message) -> Option<Partition> {
        None
    }
}

/// A part of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Which one, from 0.
    pub number: u32,
    /// How many there are.
    pub of: u32,
}

macro_rules! publish_through {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<P: Publisher + ?Sized> Publisher for $pointer<P> {
            async fn publish(&self, batch: Vec<Delivery>) {
                (**self).publish(batch).await;
            }

            async fn flush(&self, deadline: Duration) {
                (**self).flush(deadline).await;
            }

            async fn check(&self) -> Result<(), PublishError> {
                (**self).check().await
            }

            fn partition(&self, message: &Message) -> Option<Partition> {
                (**self).partition(message)
            }
        }
    )*};
}

publish_through!(Arc, Box);
