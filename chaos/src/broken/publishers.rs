//! Publishers that break their contract.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use outbox_core::publisher::{Delivery, Outcome, PublishError, Publisher, Receipt, Reports};
use outbox_kafka::KafkaPublisher;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

/// How long what is reported is still on its way.
const LATE: Duration = Duration::from_millis(500);

/// Reports everything as delivered at once, and publishes it a moment later.
#[derive(Debug)]
pub(super) struct AckEarly {
    inner: Arc<KafkaPublisher>,
    flushes: bool,
}

/// What nobody waits for.
struct Nobody;

impl Reports for Nobody {
    fn report(&self, _token: u64, _outcome: Outcome) {}
}

impl AckEarly {
    pub(super) fn new(inner: KafkaPublisher, flushes: bool) -> Self {
        Self { inner: Arc::new(inner), flushes }
    }
}

#[async_trait]
impl Publisher for AckEarly {
    async fn publish(&self, batch: Vec<Delivery>) {
        let mut sent = Vec::with_capacity(batch.len());
        for delivery in batch {
            let (message, receipt) = delivery.into_parts();
            sent.push(Delivery::new(message, 0, Arc::new(Nobody)));
            receipt.delivered();
        }
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            tokio::time::sleep(LATE).await;
            inner.publish(sent).await;
        });
    }

    async fn flush(&self, deadline: Duration) {
        if self.flushes {
            tokio::time::sleep(2 * LATE).await;
            self.inner.flush(deadline).await;
        }
    }

    async fn check(&self) -> Result<(), PublishError> {
        self.inner.check().await
    }
}

/// Calls whatever goes wrong a rejection.
#[derive(Debug)]
pub(super) struct CountsOutages(pub(super) KafkaPublisher);

struct AsRejected(Mutex<Option<Receipt>>);

impl Reports for AsRejected {
    fn report(&self, _token: u64, outcome: Outcome) {
        let receipt = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(receipt) = receipt {
            receipt.report(match outcome {
                Outcome::Failed(error) => Outcome::Failed(PublishError::rejected(error.to_string())),
                other => other,
            });
        }
    }
}

#[async_trait]
impl Publisher for CountsOutages {
    async fn publish(&self, batch: Vec<Delivery>) {
        let counting = |delivery: Delivery| {
            let (message, receipt) = delivery.into_parts();
            Delivery::new(message, 0, Arc::new(AsRejected(Mutex::new(Some(receipt)))))
        };
        self.0.publish(batch.into_iter().map(counting).collect()).await;
    }

    async fn flush(&self, deadline: Duration) {
        self.0.flush(deadline).await;
    }

    async fn check(&self) -> Result<(), PublishError> {
        self.0.check().await
    }
}

/// A queue of a few messages, and one future per message: those that find the queue full try again by themselves, in
/// any order.
pub(super) struct JoinAll(FutureProducer);

impl std::fmt::Debug for JoinAll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JoinAll")
    }
}

impl JoinAll {
    pub(super) fn connect(brokers: &str) -> anyhow::Result<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("enable.idempotence", "true");
        config.set("queue.buffering.max.messages", "20").set("partitioner", "murmur2_random");
        Ok(Self(config.create()?))
    }
}

#[async_trait]
impl Publisher for JoinAll {
    async fn publish(&self, batch: Vec<Delivery>) {
        let send = |delivery: Delivery| async {
            let (message, receipt) = delivery.into_parts();
            let id = message.id().to_string();
            let header = Header { key: "outbox-event-id", value: Some(&id) };
            let envelope = &message.envelope;
            let own = envelope.headers.iter().map(|(key, value)| Header { key, value: Some(value) });
            let headers = own.fold(OwnedHeaders::new().insert(header), OwnedHeaders::insert);
            let mut record = FutureRecord::to(&envelope.topic).headers(headers);
            if let Some(key) = &envelope.key {
                record = record.key(&**key);
            }
            if let Some(payload) = &envelope.payload {
                record = record.payload(payload.as_ref());
            }
            match self.0.send(record, Duration::from_secs(60)).await {
                Ok(_) => receipt.delivered(),
                Err((error, _)) => receipt.failed(PublishError::unreachable(error.to_string())),
            }
        };
        futures_util::future::join_all(batch.into_iter().map(send)).await;
    }

    async fn flush(&self, _deadline: Duration) {}

    async fn check(&self) -> Result<(), PublishError> {
        Ok(())
    }
}
