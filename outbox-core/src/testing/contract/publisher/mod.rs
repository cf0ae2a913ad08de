//! The [contract of a publisher](crate::Publisher), clause by clause.
//!
//! Write a [`PublisherFixture`] for the destination and let [`publisher_contract!`](crate::publisher_contract) make a
//! test of every clause:
//!
//! ```
//! # #![allow(unused)]
//! # mod tests {
//! use std::sync::Arc;
//! use outbox_core::MemoryPublisher;
//! use outbox_core::testing::contract::publisher::{PublisherFixture, Received};
//! use outbox_core::testing::publisher_contract;
//!
//! struct Memory(MemoryPublisher);
//!
//! #[async_trait::async_trait]
//! impl PublisherFixture for Memory {
//!     type Publisher = MemoryPublisher;
//!
//!     fn publisher(&self) -> MemoryPublisher {
//!         self.0.clone()
//!     }
//!
//!     async fn received(&self, topic: &str) -> Vec<Received> {
//!         self.0.of_topic(topic).iter().map(|message| Received::from(&**message)).collect()
//!     }
//! }
//!
//! publisher_contract!(memory, Memory(MemoryPublisher::new()), without = [
//!     nothing_of_a_key_passes_a_rejected_message = "memory rejects nothing",
//!     a_rejection_makes_no_other_key_fail = "memory rejects nothing",
//!     a_key_goes_on_when_a_rejected_message_is_given_up = "memory rejects nothing",
//!     a_topic_that_cannot_be_written_to_rejects_nobody = "memory is always there",
//! ]);
//! # }
//! ```

mod clauses;
mod failures;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use bytes::Bytes;

use crate::event::EventId;
use crate::message::Message;
use crate::publisher::Publisher;

pub use clauses::*;
pub use failures::*;

/// A destination of its own for one test.
#[async_trait]
pub trait PublisherFixture: Send + Sync {
    /// The publisher under test.
    type Publisher: Publisher;

    /// Makes a publisher to the destination. A clause may make several, one after another.
    fn publisher(&self) -> Self::Publisher;

    /// Makes a topic that is empty and returns its name, which `name` is part of.
    async fn topic(&self, name: &str) -> String {
        name.to_owned()
    }

    /// Everything in a topic; of each key in the order of arrival.
    async fn received(&self, topic: &str) -> Vec<Received>;

    /// Turns a message into one that the destination rejects. Must be written unless the clauses about rejections
    /// are left out.
    fn spoil(&self, message: &mut Message) {
        let _ = message;
    }

    /// The name of a topic that cannot be written to: missing, forbidden or out of reach. Must be written unless the
    /// clause about it is left out.
    async fn unreachable_topic(&self) -> String {
        self.topic("unreachable").await
    }
}

/// A message as a consumer finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The event's id.
    pub id: EventId,
    /// The partition key.
    pub key: Option<Vec<u8>>,
    /// The payload; `None` is a tombstone.
    pub payload: Option<Bytes>,
    /// The event's own headers, without what the publisher adds.
    pub headers: Vec<(String, String)>,
}

impl From<&Message> for Received {
    /// What a consumer of this message should find.
    fn from(message: &Message) -> Self {
        let envelope = &message.envelope;
        Self {
            id: envelope.id,
            key: envelope.key.as_ref().map(|key| key.as_bytes().to_vec()),
            payload: envelope.payload.clone(),
            headers: envelope.headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }
}

/// Makes a test of every clause of a publisher's contract, in a module of its own.
///
/// `publisher_contract!(name, fixture)`, where `fixture` is an expression for a
/// [`PublisherFixture`](crate::testing::contract::publisher::PublisherFixture). It is evaluated once in each test, in
/// an async function without a return value, so it may `.await`, and `return` where the destination is left out by
/// request. Clauses that a publisher cannot keep are named with a reason, `without = [clause = "reason"]`: they
/// are ignored tests, which the test runner prints with the reason, and `--ignored` shows whether they still fail.
///
/// The caller needs `tokio` with the features `macros` and `rt`.
#[macro_export]
macro_rules! publisher_contract {
    ($name:ident, $fixture:expr $(, without = [$($clause:ident = $reason:literal),* $(,)?])? $(,)?) => {
        mod $name {
            #[allow(unused_imports, reason = "the fixture may need nothing of them")]
            use super::*;
            // A clause that does not exist cannot be left out.
            $($(#[allow(unused_imports, reason = "for its name alone")]
            use $crate::testing::contract::publisher::$clause as _;)*)?

            macro_rules! clause {
                $($(($clause) => {
                    #[tokio::test]
                    #[ignore = $reason]
                    async fn $clause() {
                        $crate::testing::contract::publisher::$clause($fixture).await;
                    }
                };)*)?
                ($other:ident) => {
                    #[tokio::test]
                    async fn $other() {
                        $crate::testing::contract::publisher::$other($fixture).await;
                    }
                };
            }

            clause!(every_message_has_one_outcome);
            clause!(messages_of_a_key_arrive_in_order);
            clause!(nothing_of_a_key_passes_a_rejected_message);
            clause!(a_rejection_makes_no_other_key_fail);
            clause!(a_key_goes_on_when_a_rejected_message_is_given_up);
            clause!(a_topic_that_cannot_be_written_to_rejects_nobody);
            clause!(a_dropped_publisher_reports_what_it_holds);
            clause!(empty_payloads_and_tombstones_differ);
            clause!(id_key_payload_and_headers_arrive_unchanged);
            clause!(the_longest_key_and_headers_arrive);
            clause!(unordered_messages_have_no_key);
            clause!(a_thousand_messages_arrive);
            clause!(batches_with_different_keys_overlap);
            clause!(a_flush_returns_when_all_is_reported);
            clause!(a_flush_past_its_deadline_reports_the_rest);
            clause!(a_publisher_goes_on_after_a_flush);
            clause!(the_check_succeeds);
        }
    };
}
