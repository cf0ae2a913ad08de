//! Errors that a real broker gives only with effort, from librdkafka's mock cluster.
//!
//! The mock neither checks sequence numbers nor recognizes repeats, so order is tested on a real broker only.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, helpers included"
)]

#[path = "broker/support.rs"]
#[expect(dead_code, reason = "shared with the tests on a real broker")]
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use outbox_core::publisher::Reports;
use outbox_core::testing::MemoryStore;
use outbox_core::{Delivery, Outcome, Processor, Publisher};
use outbox_kafka::KafkaPublisher;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr as Err};

use support::{Recorder, message};

const SOON: Duration = Duration::from_secs(20);

fn cluster(topics: &[&str]) -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    for topic in topics {
        cluster.create_topic(topic, 1, 1).unwrap();
    }
    cluster
}

async fn publish(publisher: &KafkaPublisher, topic: &str, count: i64) -> BTreeMap<u64, String> {
    let recorder = Recorder::new();
    publisher.publish(recorder.deliveries((0..count).map(|seq| message(topic, Some("k"), seq, "x")))).await;
    recorder.all(usize::try_from(count).unwrap(), SOON).await
}

fn delivered(reports: &BTreeMap<u64, String>) -> usize {
    reports.values().filter(|report| *report == "delivered").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_one_message_is_a_rejection() {
    let cluster = cluster(&["t"]);
    let publisher = KafkaPublisher::connect(cluster.bootstrap_servers()).unwrap();
    for refusal in [
        Err::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
        Err::RD_KAFKA_RESP_ERR_INVALID_RECORD,
        Err::RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
        Err::RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP,
    ] {
        cluster.request_errors(RDKafkaApiKey::Produce, &[refusal]);
        let reports = publish(&publisher, "t", 1).await;
        assert!(reports[&0].starts_with("Rejected"), "{refusal:?}: {reports:?}");
        assert_eq!(delivered(&publish(&publisher, "t", 3).await), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_batch_of_innocent_messages_is_delivered_one_by_one() {
    let cluster = cluster(&["t"]);
    let publisher =
        KafkaPublisher::builder(cluster.bootstrap_servers()).linger(Duration::from_millis(50)).build().unwrap();
    assert_eq!(delivered(&publish(&publisher, "t", 1).await), 1);
    cluster.request_errors(RDKafkaApiKey::Produce, &[Err::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    assert_eq!(delivered(&publish(&publisher, "t", 50).await), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_without_permission_is_unreachable_and_comes_back() {
    let cluster = cluster(&["t", "other"]);
    let publisher = KafkaPublisher::connect(cluster.bootstrap_servers()).unwrap();
    assert_eq!(delivered(&publish(&publisher, "t", 1).await), 1);
    cluster.request_errors(RDKafkaApiKey::Produce, &[Err::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let reports = publish(&publisher, "t", 1).await;
    assert!(reports[&0].starts_with("Unreachable"), "{reports:?}");
    // The next attempts go alone; others are not disturbed.
    cluster.request_errors(RDKafkaApiKey::Produce, &[Err::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let reports = publish(&publisher, "t", 3).await;
    assert!(reports[&0].starts_with("Unreachable"), "{reports:?}");
    assert_eq!((reports[&1].as_str(), reports[&2].as_str()), ("withheld", "withheld"));
    assert_eq!(delivered(&publish(&publisher, "other", 20).await), 20);
    let started = Instant::now();
    while delivered(&publish(&publisher, "t", 3).await) < 3 {
        assert!(started.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_librdkafka_can_retry_is_nobodys_failure() {
    let cluster = cluster(&["t"]);
    let publisher = KafkaPublisher::connect(cluster.bootstrap_servers()).unwrap();
    for trouble in [
        Err::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        Err::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        Err::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        Err::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        Err::RD_KAFKA_RESP_ERR__TRANSPORT,
    ] {
        cluster.request_errors(RDKafkaApiKey::Produce, &[trouble; 3]);
        assert_eq!(delivered(&publish(&publisher, "t", 20).await), 20, "{trouble:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_that_may_not_be_idempotent_is_unreachable_until_it_may() {
    let cluster = cluster(&["t"]);
    let refused = [Err::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED; 2];
    cluster.request_errors(RDKafkaApiKey::InitProducerId, &refused);
    let publisher = KafkaPublisher::connect(cluster.bootstrap_servers()).unwrap();
    let started = Instant::now();
    let mut reports = publish(&publisher, "t", 5).await;
    while delivered(&reports) < 5 {
        assert!(reports.values().all(|report| !report.starts_with("Rejected")), "{reports:?}");
        assert!(started.elapsed() < SOON, "{reports:?}");
        reports = publish(&publisher, "t", 5).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_wait_for_a_broker_that_comes_back() {
    let cluster = cluster(&["t"]);
    let publisher = KafkaPublisher::connect(cluster.bootstrap_servers()).unwrap();
    assert_eq!(delivered(&publish(&publisher, "t", 1).await), 1);
    cluster.broker_down(1).unwrap();
    let recorder = Recorder::new();
    publisher.publish(recorder.deliveries((0..50).map(|seq| message("t", Some("k"), seq, "x")))).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(recorder.count(), 0);
    assert!(publisher.check().await.is_err());
    cluster.broker_up(1).unwrap();
    assert_eq!(delivered(&recorder.all(50, SOON).await), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_that_gives_up_tells_sent_from_unsent_and_the_publisher_goes_on() {
    let cluster = cluster(&["t"]);
    let publisher = KafkaPublisher::connect(cluster.bootstrap_servers()).unwrap();
    assert_eq!(delivered(&publish(&publisher, "t", 1).await), 1);
    cluster.broker_round_trip_time(1, Duration::from_secs(5)).unwrap();
    let recorder = Recorder::new();
    publisher.publish(recorder.deliveries([message("t", Some("k"), 0, "x")])).await;
    publisher.flush(Duration::from_millis(500)).await;
    let reports = recorder.all(1, Duration::from_millis(10)).await;
    assert!(reports[&0].contains("the outcome is unknown"), "{reports:?}");
    cluster.broker_round_trip_time(1, Duration::ZERO).unwrap();
    assert_eq!(delivered(&publish(&publisher, "t", 5).await), 5);
}

/// A publisher with room for 10 messages, whose broker has just gone away.
async fn stuck(cluster: &MockCluster<'static, DefaultProducerContext>) -> Arc<KafkaPublisher> {
    let builder = KafkaPublisher::builder(cluster.bootstrap_servers()).set("queue.buffering.max.messages", "10");
    let publisher = Arc::new(builder.build().unwrap());
    assert_eq!(delivered(&publish(&publisher, "t", 1).await), 1);
    cluster.broker_down(1).unwrap();
    publisher
}

fn start(publisher: &Arc<KafkaPublisher>, recorder: &Arc<Recorder>, count: i64) -> tokio::task::JoinHandle<()> {
    let batch = recorder.deliveries((0..count).map(|seq| message("t", Some("k"), seq, "x")));
    let publisher = Arc::clone(publisher);
    tokio::spawn(async move { publisher.publish(batch).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_holds_up_publish_until_a_flush_gives_up() {
    let cluster = cluster(&["t"]);
    let publisher = stuck(&cluster).await;
    let recorder = Recorder::new();
    let publishing = start(&publisher, &recorder, 100);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!publishing.is_finished() && recorder.count() == 0);
    publisher.flush(Duration::from_millis(200)).await;
    assert_eq!(recorder.count(), 100);
    publishing.await.unwrap();
    cluster.broker_up(1).unwrap();
    assert_eq!(delivered(&publish(&publisher, "t", 30).await), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_publish_withholds_what_was_not_enqueued() {
    let cluster = cluster(&["t"]);
    let publisher = stuck(&cluster).await;
    let recorder = Recorder::new();
    let publishing = start(&publisher, &recorder, 100);
    tokio::time::sleep(Duration::from_millis(300)).await;
    publishing.abort();
    assert!(publishing.await.unwrap_err().is_cancelled());
    assert_eq!(recorder.count(), 90);
    cluster.broker_up(1).unwrap();
    let reports = recorder.all(100, SOON).await;
    assert!((0..10).all(|seq| reports[&seq] == "delivered"), "{reports:?}");
    assert!((10..100).all(|seq| reports[&seq] == "withheld"), "{reports:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_dropped_without_a_broker_reports_everything() {
    let cluster = cluster(&["t"]);
    let publisher = stuck(&cluster).await;
    let recorder = Recorder::new();
    let publishing = start(&publisher, &recorder, 5);
    publishing.await.unwrap();
    let started = Instant::now();
    drop(publisher);
    assert!(started.elapsed() < Duration::from_millis(50), "dropping blocked for {:?}", started.elapsed());
    let reports = recorder.all(5, Duration::from_secs(3)).await;
    assert!(reports.values().all(|report| report != "delivered"), "{reports:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_that_panics_in_a_report_does_not_stop_the_publisher() {
    struct Panics;
    impl Reports for Panics {
        fn report(&self, _: u64, _: Outcome) {
            panic!("a bug in the processor");
        }
    }
    let cluster = cluster(&["t"]);
    let publisher = KafkaPublisher::connect(cluster.bootstrap_servers()).unwrap();
    publisher.publish(vec![Delivery::new(message("t", Some("k"), 0, "x"), 0, Arc::new(Panics))]).await;
    publisher.flush(SOON).await;
    assert_eq!(delivered(&publish(&publisher, "t", 3).await), 3);
}

/// The producer itself waits for such a partition for minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_whose_leader_is_away_holds_up_no_other_of_its_topic() {
    let cluster = MockCluster::new(2).unwrap();
    cluster.create_topic("t", 3, 1).unwrap();
    (0..3).for_each(|partition| cluster.partition_leader("t", partition, Some(1)).unwrap());
    let publisher = Arc::new(KafkaPublisher::connect(cluster.bootstrap_servers()).unwrap());
    let partition = |key: &str| publisher.partition(&message("t", Some(key), 1, "x")).map(|partition| partition.number);
    assert_eq!(partition("k"), None);
    assert_eq!(delivered(&publish(&publisher, "t", 1).await), 1);
    let keys: Vec<String> = (0..2_000).map(|n| format!("key-{n}")).collect();
    let dead = partition(&keys[0]).expect("the topic is known");
    cluster.partition_leader("t", i32::try_from(dead).unwrap(), Some(2)).unwrap();
    cluster.broker_down(2).unwrap();

    let store = MemoryStore::new(8);
    let (behind, others): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| partition(key) == Some(dead));
    let event = |key: &String| message("t", Some(key), 1, "x").envelope;
    store.commit(behind.iter().map(event));
    store.commit(others.iter().map(event));
    let processor = Processor::builder(store.clone(), Arc::clone(&publisher)).window(100).spawn().unwrap();
    let started = Instant::now();
    while store.pending_count() > behind.len() {
        assert!(started.elapsed() < SOON, "{} are left", store.pending_count());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cluster.broker_up(2).unwrap();
    while store.pending_count() > 0 {
        assert!(started.elapsed() < 3 * SOON, "{} are left", store.pending_count());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    processor.shutdown().await.unwrap();
}
