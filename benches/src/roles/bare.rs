use std::time::{Duration, SystemTime};

use outbox_core::EventId;
use outbox_kafka::headers as names;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde::{Deserialize, Serialize};

use super::{DONE, READY, own_usage, told_to_stop};
use crate::event::{self, Keys, Payloads};

/// The settings of the outbox's publisher that matter for speed. The rest is librdkafka's own default, and what would
/// slow down a bare producer (the gap-less guarantee, the smaller buffer) is left out.
pub(crate) const PRODUCER: [(&str, &str); 5] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("linger.ms", "2"),
    ("compression.type", "lz4"),
    ("partitioner", "murmur2_random"),
];

const REQUEST: Duration = Duration::from_secs(20);

/// A producer alone: the same records as the outbox makes of the same events.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Bare {
    pub(crate) brokers: String,
    pub(crate) topic: String,
    pub(crate) events: u64,
    pub(crate) keys: Keys,
    pub(crate) bytes: usize,
}

impl Bare {
    pub(super) async fn play(self) -> anyhow::Result<()> {
        tokio::task::spawn_blocking(move || self.produce()).await??;
        told_to_stop().await;
        println!("{DONE} {}", serde_json::to_string(&own_usage())?);
        Ok(())
    }

    fn produce(&self) -> anyhow::Result<()> {
        let mut config: ClientConfig =
            PRODUCER.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let producer: ThreadedProducer<DefaultProducerContext> =
            config.set("bootstrap.servers", &self.brokers).create()?;
        // One that only sends gets its producer id at the second try, half a second after the first. With what brokers say
        // of themselves comes a try of its own, once there is a connection.
        for _ in 0..2 {
            producer.client().fetch_metadata(Some(&self.topic), REQUEST)?;
        }
        let payloads = Payloads::new(self.bytes);
        println!("{READY}");
        for n in 0..self.events {
            let (key, payload) = (self.keys.of(n), payloads.payload(n));
            let millis = i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis())?;
            let mut record =
                BaseRecord::to(&self.topic).key(&key).payload(&payload).timestamp(millis).headers(headers(n, &key));
            while let Err((error, returned)) = producer.send(record) {
                match error {
                    KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
                        record = returned;
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    other => return Err(other.into()),
                }
            }
        }
        Ok(producer.flush(Duration::from_secs(60))?)
    }
}

/// What every record of the outbox carries, as `docs/kafka-record.md` has it.
pub(crate) fn headers(n: u64, key: &str) -> OwnedHeaders {
    let (id, seq) = (EventId::new().to_string(), n.to_string());
    let all = [
        (names::EVENT_ID, id.as_str()),
        (names::EVENT_TYPE, event::TYPE),
        (names::EVENT_VERSION, "1"),
        (names::AGGREGATE_TYPE, event::AGGREGATE),
        (names::AGGREGATE_ID, key),
        (names::SEQ, seq.as_str()),
        (names::CONTENT_TYPE, event::CONTENT_TYPE),
    ];
    all.into_iter().fold(OwnedHeaders::new_with_capacity(all.len()), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value) })
    })
}
