//! What every publisher must do.

use async_trait::async_trait;
use outbox_core::Message;
use outbox_core::testing::contract::publisher::{PublisherFixture, Received};
use outbox_core::testing::publisher_contract;
use outbox_kafka::KafkaPublisher;

use crate::support::{brokers, create_topic, incompressible, read_topic, unique};

/// Room for the most headers that an event can have, and not for a spoiled one.
const LIMIT: &str = "700000";
const SPOILED: usize = 800_000;

struct There {
    brokers: String,
    batch: &'static str,
}

#[async_trait]
impl PublisherFixture for There {
    type Publisher = KafkaPublisher;

    fn publisher(&self) -> KafkaPublisher {
        let builder = KafkaPublisher::builder(&self.brokers).set("batch.num.messages", self.batch);
        builder.set("topic.metadata.propagation.max.ms", "1500").build().unwrap()
    }

    async fn topic(&self, name: &str) -> String {
        let topic = unique(name);
        create_topic(&self.brokers, &topic, 3, &[("max.message.bytes", LIMIT)]).await;
        topic
    }

    async fn received(&self, topic: &str) -> Vec<Received> {
        let records = read_topic(&self.brokers, topic).await.into_iter();
        records
            .map(|record| Received {
                id: record.header("outbox-event-id").unwrap().parse::<uuid::Uuid>().unwrap().into(),
                key: record.key.clone(),
                payload: record.payload.clone().map(Into::into),
                headers: record.own_headers(),
            })
            .collect()
    }

    fn spoil(&self, message: &mut Message) {
        message.envelope.payload = Some(incompressible(SPOILED).into());
    }

    async fn unreachable_topic(&self) -> String {
        unique("missing")
    }
}

fn there(batch: &'static str) -> Option<There> {
    Some(There { brokers: brokers()?, batch })
}

macro_rules! or_left_out {
    ($fixture:expr) => {
        match $fixture {
            Some(fixture) => fixture,
            None => return,
        }
    };
}

publisher_contract!(large_batches, or_left_out!(there("10000")));
publisher_contract!(small_batches, or_left_out!(there("3")));
publisher_contract!(single_messages, or_left_out!(there("1")));
