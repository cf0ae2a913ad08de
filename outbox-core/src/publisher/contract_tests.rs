//! The contract, kept by every publisher of this crate and by those that wrap others.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use super::{FnPublisher, MemoryPublisher, PublishError, Publisher, Router, publish_fn};
use crate::message::Message;
use crate::testing::contract::publisher::{PublisherFixture, Received};
use crate::testing::{FaultyPublisher, publisher_contract};

/// A destination in memory, and how to make a publisher to it.
struct Fixture<F> {
    there: MemoryPublisher,
    make: F,
}

fn fixture<P: Publisher, F: Fn(MemoryPublisher) -> P + Send + Sync>(make: F) -> Fixture<F> {
    Fixture { there: MemoryPublisher::new(), make }
}

#[async_trait]
impl<P: Publisher, F: Fn(MemoryPublisher) -> P + Send + Sync> PublisherFixture for Fixture<F> {
    type Publisher = P;

    fn publisher(&self) -> P {
        (self.make)(self.there.clone())
    }

    async fn received(&self, topic: &str) -> Vec<Received> {
        self.there.of_topic(topic).iter().map(|message| Received::from(&**message)).collect()
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

type Sent = Pin<Box<dyn Future<Output = Result<(), PublishError>> + Send>>;

/// A sink that takes a few turns for each message.
fn closure(there: MemoryPublisher) -> FnPublisher<impl Fn(Arc<Message>) -> Sent + Send + Sync + 'static> {
    publish_fn(move |message: Arc<Message>| {
        let there = there.clone();
        let sent: Sent = Box::pin(async move {
            for _ in 0..message.seq % 3 {
                tokio::task::yield_now().await;
            }
            if is_spoiled(&message) {
                return Err(PublishError::rejected("spoiled"));
            }
            if message.envelope.topic == "nowhere" {
                return Err(PublishError::unreachable("nobody there"));
            }
            there.keep(message);
            Ok(())
        });
        sent
    })
}

fn routed(there: MemoryPublisher) -> impl Publisher {
    let router = Router::builder().route("o*", there.clone()).route("*", closure(there)).concurrency(2).queue(30);
    router.build().unwrap()
}

fn routed_closures(there: MemoryPublisher) -> impl Publisher {
    Router::builder().otherwise(closure(there)).build().unwrap()
}

publisher_contract!(
    memory,
    fixture(|there| there),
    without = [
        nothing_of_a_key_passes_a_rejected_message = "memory rejects nothing",
        a_rejection_makes_no_other_key_fail = "memory rejects nothing",
        a_key_goes_on_when_a_rejected_message_is_given_up = "memory rejects nothing",
        a_topic_that_cannot_be_written_to_rejects_nobody = "memory is always there",
    ]
);
publisher_contract!(closures, fixture(closure));
publisher_contract!(closures_one_at_a_time, fixture(|there| closure(there).concurrency(1)));
publisher_contract!(router_of_both, fixture(routed));
publisher_contract!(router_of_closures, fixture(routed_closures));
publisher_contract!(faulty_without_faults, fixture(|there| FaultyPublisher::new(closure(there))));
publisher_contract!(faulty_router, fixture(|there| FaultyPublisher::new(routed(there))));
