//! Publishers that break the contract, and the clauses that find them out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::{PublisherFixture, Received};
use crate::message::Message;
use crate::publisher::{Delivery, MemoryPublisher, PublishError, Publisher};

/// How a publisher is broken.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bug {
    /// Reverses a batch.
    Reorder,
    /// Goes on behind a rejected message.
    Pass,
    /// Rejects the whole batch for one message.
    RejectAll,
    /// Drops the last message.
    Forget,
    /// Delivers nothing and says otherwise.
    Lie,
    /// Sends everything twice.
    Repeat,
    /// Sends a tombstone as an empty payload, and no headers.
    Mangle,
    /// Cannot be reached.
    Down,
    /// Rejects what it cannot reach.
    Blame,
    /// Delivers nothing more after a flush.
    Stop,
}

#[derive(Debug, Clone)]
struct Broken(Bug, MemoryPublisher, Arc<AtomicBool>);

#[async_trait]
impl Publisher for Broken {
    async fn publish(&self, mut batch: Vec<Delivery>) {
        let Self(bug, there, stopped) = self;
        let spoiled = batch.iter().any(|delivery| is_spoiled(delivery));
        match bug {
            Bug::Reorder => batch.reverse(),
            Bug::Forget => drop(batch.pop()),
            _ => {}
        }
        for delivery in batch {
            if is_spoiled(&delivery) || (spoiled && *bug == Bug::RejectAll) {
                delivery.failed(PublishError::rejected("spoiled"));
                continue;
            }
            if stopped.load(Ordering::Acquire) || (*bug == Bug::Blame && delivery.envelope.topic == "nowhere") {
                delivery.failed(PublishError::rejected("not me"));
                continue;
            }
            let (message, receipt) = delivery.into_parts();
            let mut sent = Message::clone(&message);
            if *bug == Bug::Mangle {
                sent.envelope.headers = crate::Headers::new();
                sent.envelope.payload.get_or_insert_default();
            }
            let sent = Arc::new(sent);
            for _ in 0..match bug {
                Bug::Lie => 0,
                Bug::Repeat => 2,
                _ => 1,
            } {
                there.keep(Arc::clone(&sent));
            }
            receipt.delivered();
        }
    }

    async fn flush(&self, _deadline: Duration) {
        self.2.store(self.0 == Bug::Stop, Ordering::Release);
    }

    async fn check(&self) -> Result<(), PublishError> {
        if self.0 == Bug::Down { Err(PublishError::unreachable("down")) } else { Ok(()) }
    }
}

#[async_trait]
impl PublisherFixture for Broken {
    type Publisher = Self;

    fn publisher(&self) -> Self {
        self.clone()
    }

    async fn received(&self, topic: &str) -> Vec<Received> {
        self.1.of_topic(topic).iter().map(|message| Received::from(&**message)).collect()
    }

    fn spoil(&self, message: &mut Message) {
        message.envelope.event_type = "spoiled".into();
    }

    async fn unreachable_topic(&self) -> String {
        "nowhere".to_owned()
    }
}

fn is_spoiled(message: &Message) -> bool {
    message.envelope.event_type == "spoiled"
}

macro_rules! found_out {
    ($($test:ident: $bug:ident, $clause:ident, $message:literal;)*) => {$(
        #[tokio::test]
        #[should_panic(expected = $message)]
        async fn $test() {
            super::$clause(Broken(Bug::$bug, MemoryPublisher::new(), Arc::default())).await;
        }
    )*};
}

found_out! {
    reordering: Reorder, messages_of_a_key_arrive_in_order, "left == right";
    reordering_many: Reorder, a_thousand_messages_arrive, "left == right";
    reordering_in_parallel: Reorder, batches_with_different_keys_overlap, "left == right";
    passing_a_rejected_message: Pass, nothing_of_a_key_passes_a_rejected_message, "not a prefix";
    passing_a_message_until_it_is_given_up: Pass, a_key_goes_on_when_a_rejected_message_is_given_up, "not a prefix";
    rejecting_innocent_messages: RejectAll, a_rejection_makes_no_other_key_fail, "an innocent message failed";
    forgetting_a_message: Forget, every_message_has_one_outcome, "not everything was delivered";
    forgetting_before_a_flush: Forget, a_flush_returns_when_all_is_reported, "left == right";
    forgetting_past_a_deadline: Forget, a_flush_past_its_deadline_reports_the_rest, "not the fault of a message";
    forgetting_when_dropped: Forget, a_dropped_publisher_reports_what_it_holds, "not the fault of a message";
    lying: Lie, a_dropped_publisher_reports_what_it_holds, "called delivered and is not there";
    lying_about_one: Lie, unordered_messages_have_no_key, "left == right";
    repeating: Repeat, every_message_has_one_outcome, "left == right";
    losing_headers: Mangle, id_key_payload_and_headers_arrive_unchanged, "left == right";
    losing_long_headers: Mangle, the_longest_key_and_headers_arrive, "left == right";
    emptying_tombstones: Mangle, empty_payloads_and_tombstones_differ, "left == right";
    blaming_a_message: Blame, a_topic_that_cannot_be_written_to_rejects_nobody, "neither rejected nor delivered";
    stopping_at_a_flush: Stop, a_publisher_goes_on_after_a_flush, "not everything was delivered";
    being_down: Down, the_check_succeeds, "down";
}
