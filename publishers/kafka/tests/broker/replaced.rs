//! Brokers that are not there yet, and brokers and topics that are not the same any more.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use outbox_core::Publisher;
use outbox_kafka::{KafkaPublisher, Unhealthy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::access::assert_works;
use crate::own::OwnBroker;
use crate::support::{
    Recorder, assert_in_order, brokers, create_topic, delete_topic, message, read_topic, see_through, unique,
    until_all_are_delivered,
};

const SOON: Duration = Duration::from_secs(30);

/// A fixed address in front of brokers that come and go.
struct Front {
    address: String,
    behind: Mutex<Option<String>>,
    connections: Mutex<JoinSet<()>>,
}

impl Front {
    /// With nobody behind: connections are closed at once.
    async fn new() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let this = Arc::new(Self { address, behind: Mutex::default(), connections: Mutex::default() });
        let front = Arc::clone(&this);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Some(broker) = front.behind.lock().unwrap().clone() else { continue };
                front.connections.lock().unwrap().spawn(forward(client, broker));
            }
        });
        this
    }

    /// Cuts all connections; new ones go to `broker`.
    fn lead_to(&self, broker: Option<&str>) {
        *self.behind.lock().unwrap() = broker.map(str::to_owned);
        self.connections.lock().unwrap().abort_all();
    }

    /// Starts a broker that calls itself by our address.
    async fn broker(&self) -> OwnBroker {
        let settings = format!("advertised.listeners=PLAINTEXT://{}\n", self.address);
        tokio::task::spawn_blocking(move || OwnBroker::start(&[], &settings)).await.unwrap()
    }
}

async fn forward(mut client: TcpStream, broker: String) {
    if let Ok(mut server) = TcpStream::connect(broker).await {
        drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_may_come_late_and_be_replaced_by_another_cluster() {
    if brokers().is_none() {
        return;
    }
    let front = Front::new().await;
    let first = front.broker().await;

    // Nobody there: connecting neither fails nor blocks, and messages wait.
    let started = Instant::now();
    let builder = KafkaPublisher::builder(&front.address).set("topic.metadata.propagation.max.ms", "1500");
    let publisher = builder.build().unwrap();
    assert!(started.elapsed() < SOON / 10, "{:?}", started.elapsed());
    let problem = publisher.health(Duration::from_secs(2)).await.unwrap_err();
    assert!(matches!(problem, Unhealthy::NoAnswer { .. }), "{problem:?}");
    let recorder = Recorder::new();
    publisher.publish(recorder.deliveries((0..100).map(|seq| message("orders", Some("k"), seq, "x")))).await;
    assert_eq!(recorder.count(), 0);

    front.lead_to(Some(first.plain()));
    create_topic(&front.address, "orders", 1, &[]).await;
    let mut reports = recorder.all(100, SOON).await;
    // The broker may have been asked before there was the topic.
    reports.retain(|_, report| report != "delivered");
    assert!(reports.values().all(|report| report == "withheld" || report.starts_with("Unreachable")), "{reports:?}");
    let left = (0..100).filter(|seq| reports.contains_key(seq)).map(|seq| i64::try_from(seq).unwrap());
    let left = left.map(|seq| message("orders", Some("k"), seq, "x")).collect();
    assert!(see_through(&publisher, left, 1).await.dead.is_empty());
    let seqs: Vec<i64> = read_topic(&front.address, "orders").await.iter().map(crate::support::Read::seq).collect();
    assert_eq!(seqs, (0..100).collect::<Vec<_>>());
    let healthy = publisher.health(SOON).await.unwrap();
    assert_eq!(healthy.brokers, [front.address.as_str()]);

    // Another cluster behind the same address, which does not know the topic.
    let second = front.broker().await;
    front.lead_to(Some(second.plain()));
    drop(first);
    let recorder = Recorder::new();
    publisher.publish(recorder.deliveries((0..10).map(|seq| message("orders", Some("k"), seq, "x")))).await;
    let reports = recorder.all(10, SOON).await;
    assert!(reports.values().all(|report| report == "withheld" || report.starts_with("Unreachable")), "{reports:?}");

    create_topic(&front.address, "orders", 1, &[]).await;
    let started = Instant::now();
    loop {
        let recorder = Recorder::new();
        publisher.publish(recorder.deliveries([message("orders", Some("first"), 1000, "x")])).await;
        if recorder.all(1, SOON).await[&1000] == "delivered" {
            break;
        }
        assert!(started.elapsed() < SOON);
    }
    let recorder = Recorder::new();
    publisher.publish(recorder.deliveries((0..100).map(|seq| message("orders", Some("k"), seq, "x")))).await;
    assert!(recorder.all(100, SOON).await.values().all(|report| report == "delivered"));
    assert_eq!(assert_in_order(&read_topic(&front.address, "orders").await)["k"], 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_may_come_back_with_more_or_fewer_partitions() {
    let Some(brokers) = brokers() else { return };
    for (before, after) in [(2, 7), (7, 2)] {
        let topic = unique("recreated");
        create_topic(&brokers, &topic, before, &[]).await;
        let builder = KafkaPublisher::builder(&brokers).set("topic.metadata.propagation.max.ms", "1500");
        let publisher = builder.build().unwrap();
        let batch = |from: i64| -> Vec<_> {
            (from..from + 300).map(|seq| message(&topic, Some(&format!("k{}", seq % 30)), seq, "x")).collect()
        };
        let recorder = Recorder::new();
        publisher.publish(recorder.deliveries(batch(0))).await;
        assert!(recorder.all(300, SOON).await.values().all(|report| report == "delivered"));

        delete_topic(&brokers, &topic).await;
        let recorder = Recorder::new();
        publisher.publish(recorder.deliveries(batch(300))).await;
        let reports = recorder.all(300, SOON).await;
        assert!(reports.values().all(|report| !report.starts_with("Rejected")), "{reports:?}");
        create_topic_again(&brokers, &topic, after).await;

        until_all_are_delivered(&publisher, batch(600)).await;
        let records = read_topic(&brokers, &topic).await;
        let counts = assert_in_order(&records);
        assert_eq!((counts.len(), counts.values().sum::<usize>() >= 300), (30, true));
        // A key is in one partition only.
        let mut places = std::collections::BTreeMap::new();
        for record in &records {
            assert_eq!(*places.entry(record.key_text()).or_insert(record.partition), record.partition);
        }
        assert!(records.iter().any(|record| record.partition > 0));
        let works = unique("afterwards");
        create_topic(&brokers, &works, 1, &[]).await;
        assert_works(&publisher, &brokers, &works).await;
    }
}

/// A deletion goes on for a moment after it was confirmed.
async fn create_topic_again(brokers: &str, topic: &str, partitions: i32) {
    let started = Instant::now();
    while crate::support::topic_exists(brokers, topic).await {
        assert!(started.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    create_topic(brokers, topic, partitions, &[]).await;
}
