//! The Kafka publisher: what it was given is reported once, and sent at most once, whenever its caller goes away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_core::event::EventId;
use outbox_core::publisher::Reports;
use outbox_core::testing::message;
use outbox_core::{Delivery, Outcome, Publisher};
use outbox_kafka::KafkaPublisher;
use outbox_tests::{Kafka, drop_at, eventually, ledger};

use super::MOST;

const BATCH: u64 = 300;
const PATIENCE: Duration = Duration::from_secs(30);

/// How often each message was reported, and how often as delivered.
#[derive(Default)]
struct Reported(Mutex<HashMap<u64, (usize, usize)>>);

impl Reports for Reported {
    fn report(&self, token: u64, outcome: Outcome) {
        let mut all = self.0.lock().unwrap();
        let (reports, delivered) = all.entry(token).or_default();
        *reports += 1;
        *delivered += usize::from(matches!(outcome, Outcome::Delivered));
    }
}

struct World {
    kafka: Kafka,
    topic: String,
    publishers: Vec<KafkaPublisher>,
    reported: Arc<Reported>,
    ids: Vec<EventId>,
}

impl World {
    async fn new(kafka: Kafka) -> Self {
        let topic = kafka.topic(3).await;
        let publishers = vec![KafkaPublisher::connect(kafka.brokers()).unwrap()];
        Self { kafka, topic, publishers, reported: Arc::default(), ids: Vec::new() }
    }

    fn publisher(&self) -> &KafkaPublisher {
        self.publishers.last().unwrap()
    }

    async fn flush(&self) {
        for publisher in &self.publishers {
            publisher.flush(PATIENCE).await;
        }
    }

    fn batch(&mut self) -> Vec<Delivery> {
        let delivery = |n: u64| {
            let message = message(&self.topic, Some(&format!("key-{}", n % 7)), 0, "{}");
            let token = self.ids.len() as u64;
            self.ids.push(message.id());
            Delivery::new(message, token, Arc::clone(&self.reported) as _)
        };
        (0..BATCH).map(delivery).collect()
    }

    /// Everything was reported once, and what was delivered, and nothing else, is there once.
    async fn is_complete(&self) {
        let reports = || async { self.reported.0.lock().unwrap().len() == self.ids.len() };
        eventually(PATIENCE, reports).await;
        let reported = self.reported.0.lock().unwrap().clone();
        assert!(reported.values().all(|(reports, _)| *reports == 1), "reported twice");
        let delivered = reported.values().filter(|(_, delivered)| *delivered == 1).count();
        let records = self.kafka.consume_all(&self.topic, delivered, PATIENCE).await;
        let mut copies: HashMap<uuid::Uuid, usize> = HashMap::new();
        for record in &records {
            *copies.entry(ledger::event_id(record).unwrap()).or_default() += 1;
        }
        for (token, id) in self.ids.iter().enumerate() {
            let copies = copies.get(id.as_uuid()).copied().unwrap_or(0);
            assert_eq!(copies, reported[&(token as u64)].1, "message {token}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_publish_reports_and_sends_everything_at_most_once() {
    let Some(kafka) = outbox_tests::kafka() else { return };
    let mut world = World::new(kafka).await;
    for n in 1..=MOST {
        let batch = world.batch();
        if n % 5 == 0 {
            // One that has learned nothing about the topic.
            world.publishers.push(KafkaPublisher::connect(world.kafka.brokers()).unwrap());
        }
        drop_at(n, world.publisher().publish(batch)).await;
    }
    world.flush().await;
    world.is_complete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_flush_or_check_harms_nothing() {
    let Some(kafka) = outbox_tests::kafka() else { return };
    let mut world = World::new(kafka).await;
    for n in 1..=MOST {
        let batch = world.batch();
        world.publisher().publish(batch).await;
        drop_at(n, world.publisher().flush(PATIENCE)).await;
        drop_at(n, world.publisher().check()).await.unwrap_or(Ok(())).unwrap();
        drop_at(n, world.publisher().health(PATIENCE)).await.transpose().unwrap();
    }
    world.flush().await;
    let delivered = world.reported.0.lock().unwrap().values().filter(|(_, delivered)| *delivered == 1).count();
    assert_eq!(delivered, world.ids.len(), "a flush that is dropped gives nothing up");
    world.is_complete().await;
}
