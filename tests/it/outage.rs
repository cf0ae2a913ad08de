//! What cannot reach its broker or its topic waits, unharmed, and goes on by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use outbox_core::store::Admin;
use outbox_core::{Delivery, ProcessorHandle, PublishError, Publisher, RetryPolicy};
use outbox_kafka::KafkaPublisher;
use outbox_tests::ledger::payload;
use outbox_tests::{Kafka, OwnServer, Server, eventually, kafka, postgres};

use crate::delivery::{entered, operator, outbox, stage};

const DEADLINE: Duration = Duration::from_secs(60);

/// Kafka, with its calls counted.
#[derive(Debug)]
struct Counted {
    kafka: KafkaPublisher,
    calls: Arc<AtomicUsize>,
}

#[async_trait]
impl Publisher for Counted {
    async fn publish(&self, batch: Vec<Delivery>) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.kafka.publish(batch).await;
    }

    async fn flush(&self, deadline: Duration) {
        self.kafka.flush(deadline).await;
    }

    async fn check(&self) -> Result<(), PublishError> {
        self.kafka.check().await
    }
}

/// Why a topic is paused, if it is.
async fn cause(processor: &ProcessorHandle, topic: &str) -> Option<String> {
    let paused = processor.snapshot().await.unwrap().paused;
    paused.into_iter().find_map(|(name, cause)| (name == topic).then_some(cause))
}

/// The broker is away for so long that every event is reported as unreachable, some of them again and again, where two
/// rejections would have been the end of them. Nothing counts, nothing dies, nothing is repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_costs_no_attempts() {
    let (Some(db), Some(server)) = (postgres().await, OwnServer::start(Server::Kafka).await) else { return };
    let kafka = Kafka::at(server.address());
    let topic = kafka.topic(3).await;
    let outbox = outbox(&db).await;
    let policy = RetryPolicy::fixed(Duration::from_millis(20)).max_attempts(2);
    let calls = Arc::default();
    let publisher = KafkaPublisher::builder(kafka.brokers()).delivery_timeout(Duration::from_secs(1)).build().unwrap();
    let publisher = Counted { kafka: publisher, calls: Arc::clone(&calls) };
    let processor = outbox.processor(publisher).retry(policy).spawn().unwrap();
    stage(&outbox, (0..50).map(|n| entered(&topic, "before", n))).await;
    kafka.consume_all(&topic, 50, DEADLINE).await;
    server.crash().await;
    for n in 0..200 {
        stage(&outbox, [entered(&topic, &format!("key-{}", n % 7), n)]).await;
    }
    eventually(DEADLINE, || cause(&processor, &topic)).await;
    // Each further call is one event that tries whether the topic works again.
    let tries = calls.load(Ordering::SeqCst);
    eventually(DEADLINE, || async { calls.load(Ordering::SeqCst) > tries + 4 }).await;
    let cause = cause(&processor, &topic).await;
    assert!(cause.as_ref().is_some_and(|cause| cause.contains("no broker took the message")), "{cause:?}");
    let pending = operator(&db).await.pending(0, 1_000).await.unwrap();
    assert_eq!(pending.len(), 200);
    assert!(pending.iter().all(|event| event.attempts == 0));
    server.restart().await;
    let records = kafka.consume_all(&topic, 250, DEADLINE).await;
    assert_eq!(records.len(), 250, "repeats");
    let report = processor.shutdown().await.unwrap();
    assert_eq!((report.counts.delivered, report.counts.retried, report.counts.dead), (250, 0, 0));
}

/// A topic that does not exist holds back nothing else, and its events arrive when it is made.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_topic_holds_back_nothing_else() {
    let (Some(db), Some(kafka)) = (postgres().await, kafka()) else { return };
    let outbox = outbox(&db).await;
    let topic = kafka.topic(3).await;
    let publisher = KafkaPublisher::connect(kafka.brokers()).unwrap();
    let processor = outbox.processor(publisher).retry(RetryPolicy::never()).spawn().unwrap();
    let unknown = format!("{topic}-not-there");
    stage(
        &outbox,
        (0..300).map(|n| entered(if n % 3 == 0 { &unknown } else { &topic }, &format!("key-{}", n % 10), n)),
    )
    .await;
    assert_eq!(kafka.consume_all(&topic, 200, DEADLINE).await.len(), 200);
    eventually(DEADLINE, || cause(&processor, &unknown)).await;
    let pending = operator(&db).await.pending(0, 1_000).await.unwrap();
    assert!(pending.iter().all(|event| event.envelope.topic == unknown && event.attempts == 0));
    // An operator gives one of them up by hand.
    let given_up = &pending[0].envelope;
    assert!(operator(&db).await.give_up(given_up.id, "the topic was a typing error").await.unwrap());
    assert_eq!(operator(&db).await.dead_letters(None, 10).await.unwrap().len(), 1);

    kafka.create_topic(&unknown, 3, &[]).await;
    let records = kafka.consume_all(&unknown, 99, DEADLINE).await;
    assert_eq!(records.len(), 99);
    for key in (0..10).map(|key| format!("key-{key}")) {
        let of_key = records.iter().filter(|record| record.key.as_deref() == Some(key.as_bytes()));
        let values: Vec<_> = of_key.map(|record| String::from_utf8(record.value.clone().unwrap()).unwrap()).collect();
        let staged = (0..300).filter(|n| n % 3 == 0 && key == format!("key-{}", n % 10));
        let left = staged.filter(|n| given_up.aggregate_version != Some(*n));
        assert_eq!(values, left.map(|n| payload(&key, n)).collect::<Vec<_>>());
    }
    eventually(DEADLINE, || async { cause(&processor, &unknown).await.is_none() }).await;
    let report = processor.shutdown().await.unwrap();
    assert_eq!((report.counts.delivered, report.counts.retried, report.counts.dead), (299, 0, 0));
}
