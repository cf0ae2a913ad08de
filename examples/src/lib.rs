//! The other end of the topic: what the examples on Kafka share.

#![allow(clippy::print_stdout, reason = "an example talks to its terminal")]

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::time::Duration;

use outbox_sea_orm::EventId;
use outbox_sea_orm::kafka::headers;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tokio::time::timeout;

/// Any error will do.
pub type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// Events by their partition key, in order.
pub type Events = BTreeMap<String, Vec<EventId>>;

/// Makes a topic, unless it is there.
///
/// # Errors
///
/// The broker does not answer, or does not want to.
pub async fn create_topic(brokers: &str, topic: &str, partitions: i32) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = config(brokers).create()?;
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    match admin.create_topics([&topic], &options).await?.pop() {
        Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => Err(code.into()),
        _ => Ok(()),
    }
}

fn config(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("reconnect.backoff.max.ms", "500");
    config
}

const PATIENCE: Duration = Duration::from_secs(40);

/// Reads a topic from its beginning, prints every record, and drops repeats by the event's id.
#[allow(missing_debug_implementations, reason = "librdkafka's consumer has none")]
pub struct Inbox {
    consumer: StreamConsumer,
    topic: String,
    partitions: i32,
    events: Events,
    seen: HashSet<EventId>,
    records: i64,
}

impl Inbox {
    /// Without a consumer group: nobody else shares the work, and there is nothing to remember.
    ///
    /// # Errors
    ///
    /// librdkafka does not like `brokers`.
    pub fn open(brokers: &str, topic: &str, partitions: i32) -> Result<Self> {
        let mut config = config(brokers);
        config.set("group.id", "outbox-examples").set("enable.auto.commit", "false");
        let consumer: StreamConsumer = config.create()?;
        let mut all = TopicPartitionList::new();
        for partition in 0..partitions {
            all.add_partition_offset(topic, partition, Offset::Offset(0))?;
        }
        consumer.assign(&all)?;
        let topic = topic.to_owned();
        Ok(Self { consumer, topic, partitions, events: Events::new(), seen: HashSet::new(), records: 0 })
    }

    /// What was received, without repeats.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// How many records were repeats.
    #[must_use]
    pub fn repeats(&self) -> i64 {
        self.records - i64::try_from(self.seen.len()).unwrap_or(i64::MAX)
    }

    /// Reads until all of `expected` was received, in whatever order.
    ///
    /// # Errors
    ///
    /// That takes longer than 40 seconds, or a record is not an outbox's.
    pub async fn wait_for(&mut self, expected: &Events) -> Result<()> {
        let missing = |inbox: &Self| expected.values().flatten().any(|id| !inbox.seen.contains(id));
        let read = async {
            while missing(self) {
                self.read().await?;
            }
            Ok(())
        };
        timeout(PATIENCE, read).await.map_err(|late| format!("not everything has arrived: {late}"))?
    }

    /// Reads on to what is the end of the topic now, so that records too many are seen too.
    ///
    /// # Errors
    ///
    /// As [`wait_for`](Self::wait_for).
    pub async fn read_to_the_end(&mut self) -> Result<()> {
        let mut records = 0;
        for partition in 0..self.partitions {
            let (first, next) = self.consumer.fetch_watermarks(&self.topic, partition, PATIENCE)?;
            records += next - first;
        }
        let read = async {
            while self.records < records {
                self.read().await?;
            }
            Ok(())
        };
        timeout(PATIENCE, read).await.map_err(|late| format!("the end of the topic was not reached: {late}"))?
    }

    async fn read(&mut self) -> Result<()> {
        // While the broker is away this is an error, and the callers' deadline decides.
        let Ok(record) = self.consumer.recv().await else { return Ok(()) };
        self.records += 1;
        let key = record.key().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        let id: EventId = header(&record, headers::EVENT_ID)?.parse()?;
        let again = !self.seen.insert(id);
        let (event_type, repeat) = (header(&record, headers::EVENT_TYPE)?, if again { " (again)" } else { "" });
        let payload = record.payload().map(String::from_utf8_lossy).unwrap_or_default();
        println!("  received {event_type:<14} {payload}{repeat}");
        if !again {
            self.events.entry(key).or_default().push(id);
        }
        Ok(())
    }
}

fn header<'r>(record: &'r BorrowedMessage<'_>, name: &str) -> Result<&'r str> {
    let all = record.headers().into_iter().flat_map(Headers::iter);
    let value = all.filter(|header| header.key == name).find_map(|header| header.value);
    Ok(std::str::from_utf8(value.ok_or_else(|| format!("a record without {name}"))?)?)
}

/// The code in these pages compiles, and what is not marked otherwise runs.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/getting-started.md")]
    struct GettingStarted;
    #[doc = include_str!("../../docs/migrating.md")]
    struct Migrating;
    #[doc = include_str!("../../docs/operations.md")]
    struct Operations;
}
