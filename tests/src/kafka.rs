//! Topics for one test each, and reading them back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use uuid::Uuid;

use crate::Record;
use crate::eventually;
use crate::server::Server;

const REQUEST: Duration = Duration::from_secs(10);

/// The Kafka server.
#[derive(Clone, Debug)]
pub struct Kafka {
    brokers: String,
}

/// The Kafka server; `None` when it is left out by request.
#[must_use]
pub fn kafka() -> Option<Kafka> {
    Server::Kafka.address().map(|brokers| Kafka { brokers })
}

impl Kafka {
    /// Another server than the shared one, by its `bootstrap.servers`.
    pub fn at(brokers: impl Into<String>) -> Self {
        Self { brokers: brokers.into() }
    }

    /// The `bootstrap.servers`.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The start of a client's configuration.
    #[must_use]
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// Creates a topic of a name that nobody else has.
    pub async fn topic(&self, partitions: i32) -> String {
        self.topic_with(partitions, &[]).await
    }

    /// Creates a topic with settings such as `("max.message.bytes", "1000")`.
    ///
    /// # Panics
    ///
    /// When the broker does not accept it, or does not show it in time.
    pub async fn topic_with(&self, partitions: i32, settings: &[(&str, &str)]) -> String {
        let name = format!("outbox-test-{}", Uuid::now_v7());
        self.create_topic(&name, partitions, settings).await;
        name
    }

    /// Creates a topic of this name, with settings.
    ///
    /// # Panics
    ///
    /// As [`topic_with`](Self::topic_with).
    pub async fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("an admin client");
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let options = AdminOptions::new().request_timeout(Some(REQUEST)).operation_timeout(Some(REQUEST));
        for result in admin.create_topics([&topic], &options).await.expect("the broker answers") {
            result.expect("the broker creates the topic");
        }
        // Created is not yet known to the broker's clients.
        eventually(REQUEST, || async {
            let metadata = admin.inner().fetch_metadata(Some(name), REQUEST).expect("the broker answers");
            let topic = metadata.topics().first().expect("the topic that was asked for");
            let led = topic.partitions().iter().filter(|partition| partition.leader() >= 0);
            led.count() == usize::try_from(partitions).expect("a number of partitions")
        })
        .await;
    }

    /// Replaces a topic's settings; those that are not among `settings` get the broker's defaults.
    ///
    /// # Panics
    ///
    /// When the broker does not accept them.
    pub async fn configure_topic(&self, name: &str, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("an admin client");
        let change = AlterConfig::new(ResourceSpecifier::Topic(name));
        let change = settings.iter().fold(change, |change, (key, value)| change.set(key, value));
        let options = AdminOptions::new().request_timeout(Some(REQUEST));
        for result in admin.alter_configs([&change], &options).await.expect("the broker answers") {
            result.expect("the broker takes the settings");
        }
    }

    /// Reads a topic from its beginning: waits until there are `expected` records, then reads on to what is the end
    /// by then, so that records too many are seen too. By partition and offset.
    ///
    /// # Panics
    ///
    /// When there are fewer after `deadline`.
    pub async fn consume_all(&self, topic: &str, expected: usize, deadline: Duration) -> Vec<Record> {
        let (config, topic) = (self.config(), topic.to_owned());
        let read = tokio::task::spawn_blocking(move || read(config, &topic, expected, deadline));
        read.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }
}

fn read(mut config: ClientConfig, topic: &str, expected: usize, deadline: Duration) -> Vec<Record> {
    // A group is required by the client; nothing is ever committed to it.
    config.set("group.id", format!("outbox-test-{}", Uuid::now_v7())).set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut next = positions(&consumer, topic);
    let mut assignment = TopicPartitionList::new();
    for partition in next.keys() {
        // A beginning that is not known at once, as when the broker answers late, would become the end.
        assignment.add_partition_offset(topic, *partition, Offset::Offset(0)).expect("a partition");
    }
    consumer.assign(&assignment).expect("partitions that exist");

    let start = Instant::now();
    let mut records = Vec::new();
    let mut end: Option<BTreeMap<i32, i64>> = None;
    loop {
        if records.len() >= expected {
            let end = end.get_or_insert_with(|| ends(&consumer, topic, &next));
            if next.iter().all(|(partition, next)| end.get(partition).is_none_or(|end| next >= end)) {
                break;
            }
        }
        let left = deadline.saturating_sub(start.elapsed());
        assert!(!left.is_zero(), "{} of {expected} records of {topic} after {deadline:?}", records.len());
        // The broker may be away for a while, which is an error here: the deadline decides.
        if let Some(Ok(message)) = consumer.poll(left.min(Duration::from_millis(100))) {
            next.insert(message.partition(), message.offset() + 1);
            records.push(record(&message));
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// Every partition, at its first record.
fn positions(consumer: &BaseConsumer, topic: &str) -> BTreeMap<i32, i64> {
    let metadata = consumer.fetch_metadata(Some(topic), REQUEST).expect("the broker answers");
    let topic = metadata.topics().first().expect("the topic that was asked for");
    assert!(!topic.partitions().is_empty(), "there is no topic {}", topic.name());
    topic.partitions().iter().map(|partition| (partition.id(), 0)).collect()
}

/// Where each partition ends now.
fn ends(consumer: &BaseConsumer, topic: &str, partitions: &BTreeMap<i32, i64>) -> BTreeMap<i32, i64> {
    let end = |partition| consumer.fetch_watermarks(topic, partition, REQUEST).expect("the broker answers").1;
    partitions.keys().map(|partition| (*partition, end(*partition))).collect()
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect(),
        timestamp: message.timestamp().to_millis(),
    }
}
