//! Topics, messages, reports and what is in the log.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use outbox_core::publisher::Reports;
use outbox_core::{Delivery, Message, Outcome, PublishErrorKind, Publisher};
use outbox_kafka::KafkaPublisher;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::metadata::MetadataPartition;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// The brokers to test against; `None` when Kafka is left out by request.
#[expect(clippy::print_stderr, reason = "whoever runs the tests must see what was left out")]
pub(crate) fn brokers() -> Option<String> {
    if let Ok(brokers) = std::env::var("OUTBOX_TEST_KAFKA_BROKERS") {
        return Some(brokers);
    }
    let skip = std::env::var("OUTBOX_TEST_SKIP").unwrap_or_default();
    assert!(
        skip.split([',', ' ']).any(|service| service == "kafka"),
        "OUTBOX_TEST_KAFKA_BROKERS is not set: run `cargo xtask test`, which starts a broker, \
         or name kafka in OUTBOX_TEST_SKIP to leave these tests out"
    );
    eprintln!("left out by request: kafka is in OUTBOX_TEST_SKIP");
    None
}

/// A name that no other test and no earlier run uses.
pub(crate) fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    format!("{name}-{nanos:x}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap()
}

/// Creates a topic and waits until a client can see it.
pub(crate) async fn create_topic(brokers: &str, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (setting, value) in settings {
        topic = topic.set(setting, value);
    }
    let made = admin(brokers).create_topics(&[topic], &AdminOptions::new()).await.unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    let (brokers, name) = (brokers.to_owned(), name.to_owned());
    let visible = move || {
        let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
        for _ in 0..100 {
            let metadata = client.fetch_metadata(Some(&name), Duration::from_secs(10)).unwrap();
            let topic = &metadata.topics()[0];
            if topic.error().is_none() && topic.partitions().iter().all(|partition| partition.leader() >= 0) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("topic {name} does not appear");
    };
    tokio::task::spawn_blocking(visible).await.unwrap();
}

pub(crate) async fn delete_topic(brokers: &str, name: &str) {
    let gone = admin(brokers).delete_topics(&[name], &AdminOptions::new()).await.unwrap();
    assert!(gone.iter().all(Result::is_ok), "{gone:?}");
}

pub(crate) async fn topic_exists(brokers: &str, name: &str) -> bool {
    let (brokers, name) = (brokers.to_owned(), name.to_owned());
    let look = move || {
        let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
        client.fetch_metadata(Some(&name), Duration::from_secs(10)).unwrap().topics()[0].error().is_none()
    };
    tokio::task::spawn_blocking(look).await.unwrap()
}

/// Lets a topic take messages of up to 1 MB.
pub(crate) async fn raise_limit(brokers: &str, name: &str) {
    let change = AlterConfig::new(ResourceSpecifier::Topic(name)).set("max.message.bytes", "1000000");
    let changed = admin(brokers).alter_configs([&change], &AdminOptions::new()).await.unwrap();
    assert!(changed.iter().all(Result::is_ok), "{changed:?}");
}

pub(crate) fn message(topic: &str, key: Option<&str>, seq: i64, payload: impl Into<Bytes>) -> Message {
    let mut message = outbox_core::testing::message(topic, key, seq, payload);
    (message.envelope.aggregate_type, message.envelope.event_type) = ("order".into(), "order.placed".into());
    message
}

/// Bytes that no compression makes fewer.
pub(crate) fn incompressible(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..count).map(next).collect()
}

/// Keeps every report, by token.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<BTreeMap<u64, Vec<Outcome>>>);

impl Reports for Recorder {
    fn report(&self, token: u64, outcome: Outcome) {
        self.0.lock().unwrap().entry(token).or_default().push(outcome);
    }
}

impl Recorder {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// One delivery per message; tokens are the messages' sequence numbers.
    pub(crate) fn deliveries(self: &Arc<Self>, messages: impl IntoIterator<Item = Message>) -> Vec<Delivery> {
        let delivery = |message: Message| {
            let token = u64::try_from(message.seq).unwrap();
            Delivery::new(message, token, Arc::<Self>::clone(self))
        };
        messages.into_iter().map(delivery).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Waits for `count` reports and returns them in short form. Fails when one was reported twice.
    pub(crate) async fn all(&self, count: usize, most: Duration) -> BTreeMap<u64, String> {
        let started = Instant::now();
        while self.count() < count {
            assert!(started.elapsed() < most, "{} of {count} reports after {most:?}", self.count());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let reports = self.0.lock().unwrap();
        let short = |(token, outcomes): (&u64, &Vec<Outcome>)| {
            assert_eq!(outcomes.len(), 1, "reported more than once: {token} {outcomes:?}");
            (*token, describe(&outcomes[0]))
        };
        reports.iter().map(short).collect()
    }
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Delivered => "delivered".to_owned(),
        Outcome::Withheld => "withheld".to_owned(),
        Outcome::Failed(error) => format!("{:?}: {}", error.kind(), error.summary()),
    }
}

/// What became of messages that a simple processor saw through to the end.
#[derive(Default, Debug)]
pub(crate) struct Fate {
    /// Sequence numbers given up after too many rejections.
    pub(crate) dead: Vec<i64>,
    /// How often each was rejected.
    pub(crate) rejections: BTreeMap<i64, u32>,
    pub(crate) rounds: usize,
}

/// Publishes like a processor does: of a key only what comes behind everything reported, again what was withheld, and
/// never more than `attempts` times what was rejected.
pub(crate) async fn see_through(publisher: &KafkaPublisher, mut messages: Vec<Message>, attempts: u32) -> Fate {
    let mut fate = Fate::default();
    while !messages.is_empty() {
        if fate.rounds > 20 {
            tokio::time::sleep(Duration::from_millis(20)).await; // a processor would back off
        }
        fate.rounds += 1;
        assert!(fate.rounds < 1000, "no end in sight: {} left", messages.len());
        let recorder = Recorder::new();
        publisher.publish(recorder.deliveries(messages.iter().cloned())).await;
        drop(recorder.all(messages.len(), Duration::from_secs(60)).await);
        let reports = std::mem::take(&mut *recorder.0.lock().unwrap());
        assert_prefixes(&messages, &reports);
        messages.retain_mut(|message| match &reports[&u64::try_from(message.seq).unwrap()][0] {
            Outcome::Delivered => false,
            Outcome::Withheld => true,
            Outcome::Failed(error) if error.kind() == PublishErrorKind::Rejected => {
                *fate.rejections.entry(message.seq).or_default() += 1;
                message.attempts += 1;
                if message.attempts >= attempts {
                    fate.dead.push(message.seq);
                }
                message.attempts < attempts
            }
            Outcome::Failed(error) => panic!("unexpected: {error:?}"),
        });
    }
    fate
}

/// Publishes again what was not delivered, as a processor does, while the broker is still in trouble, for at most 30 s.
pub(crate) async fn until_all_are_delivered(publisher: &KafkaPublisher, mut left: Vec<Message>) {
    const SOON: Duration = Duration::from_secs(30);
    let started = Instant::now();
    while !left.is_empty() {
        assert!(started.elapsed() < SOON, "{} messages left", left.len());
        let recorder = Recorder::new();
        publisher.publish(recorder.deliveries(left.clone())).await;
        let reports = recorder.all(left.len(), SOON).await;
        assert!(reports.values().all(|report| !report.starts_with("Rejected")), "{reports:?}");
        left.retain(|message| reports[&u64::try_from(message.seq).unwrap()] != "delivered");
    }
}

/// Fails when a message was delivered although an earlier one of its key was not.
pub(crate) fn assert_prefixes(messages: &[Message], reports: &BTreeMap<u64, Vec<Outcome>>) {
    let mut ended: BTreeMap<&str, i64> = BTreeMap::new();
    for message in messages {
        let key = message.envelope.key.as_deref().unwrap();
        let outcome = &reports[&u64::try_from(message.seq).unwrap()][0];
        match (ended.get(key), outcome) {
            (Some(gap), Outcome::Delivered) => panic!("{key}: {} was delivered behind {gap}", message.seq),
            (None, Outcome::Delivered) => {}
            _ => drop(ended.entry(key).or_insert(message.seq)),
        }
    }
}

/// A record as a consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Read {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    }

    /// Headers without the publisher's.
    pub(crate) fn own_headers(&self) -> Vec<(String, String)> {
        let own = self.headers.iter().filter(|(name, _)| !name.starts_with("outbox-") && name != "content-type");
        own.map(|(name, value)| (name.clone(), String::from_utf8(value.clone().unwrap()).unwrap())).collect()
    }

    pub(crate) fn seq(&self) -> i64 {
        self.header("outbox-seq").unwrap().parse().unwrap()
    }

    pub(crate) fn key_text(&self) -> String {
        String::from_utf8(self.key.clone().unwrap()).unwrap()
    }
}

/// Everything in a topic, in order of partition and offset.
pub(crate) async fn read_topic(brokers: &str, topic: &str) -> Vec<Read> {
    let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
    tokio::task::spawn_blocking(move || read_blocking(&brokers, &topic)).await.unwrap()
}

fn read_blocking(brokers: &str, topic: &str) -> Vec<Read> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "not-used")
        .set("enable.auto.commit", "false")
        .set("fetch.message.max.bytes", "4000000")
        .create()
        .unwrap();
    let answer = Duration::from_secs(20);
    let metadata = consumer.fetch_metadata(Some(topic), answer).unwrap();
    let partitions: Vec<i32> = metadata.topics()[0].partitions().iter().map(MetadataPartition::id).collect();
    assert!(!partitions.is_empty(), "the broker does not know the topic {topic}");
    let mut assignment = TopicPartitionList::new();
    for partition in &partitions {
        // A beginning that is not known at once, as when the broker answers late, would become the end.
        assignment.add_partition_offset(topic, *partition, Offset::Offset(0)).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    // By numbers, and not by the ends that the consumer reports: it may report one twice.
    let end = |partition: &i32| (*partition, consumer.fetch_watermarks(topic, *partition, answer).unwrap().1);
    let mut unread: BTreeMap<i32, i64> = partitions.iter().map(end).filter(|(_, end)| *end > 0).collect();
    let mut read = Vec::new();
    while !unread.is_empty() {
        let message = consumer.poll(3 * answer).expect("all that is there").unwrap();
        unread.retain(|partition, end| *partition != message.partition() || message.offset() + 1 < *end);
        read.push(Read {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
            timestamp: message.timestamp().to_millis(),
            headers: message.headers().map_or_else(Vec::new, |headers| {
                headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
            }),
        });
    }
    read.sort_by_key(|record| (record.partition, record.offset));
    read
}

/// Fails when a key's sequence numbers do not rise, and returns how many records each key has.
pub(crate) fn assert_in_order(records: &[Read]) -> BTreeMap<String, usize> {
    let mut last: BTreeMap<String, (i64, usize)> = BTreeMap::new();
    for record in records {
        let (seq, count) = last.entry(record.key_text()).or_insert((-1, 0));
        assert!(*seq < record.seq(), "{}: {} after {seq}", record.key_text(), record.seq());
        (*seq, *count) = (record.seq(), *count + 1);
    }
    last.into_iter().map(|(key, (_, count))| (key, count)).collect()
}
