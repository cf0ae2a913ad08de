//! Publishers that ask for a pause, panic, or take their time.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use outbox_core::store::Reach;
use outbox_core::testing::{Call, Fault, FaultyPublisher, MemoryStore, RecordingPublisher};
use outbox_core::{Delivery, Envelope, MemoryPublisher, Message, Processor, PublishError, Publisher, RetryPolicy};
use tokio::time::Instant;

use crate::support::{DEADLINE, event, numbers, until};

#[tokio::test(start_paused = true)]
async fn a_throttled_topic_rests_as_long_as_it_was_asked() {
    const PAUSE: Duration = Duration::from_secs(20);
    let (store, received, asked) = (MemoryStore::new(4), MemoryPublisher::new(), AtomicBool::new(false));
    let first = move |message: &Message| message.envelope.topic == "things" && !asked.swap(true, Ordering::SeqCst);
    let publisher = Arc::new(FaultyPublisher::new(received.clone()).when(first, Fault::Throttle(Some(PAUSE))));
    let processor = Processor::builder(store.clone(), Arc::clone(&publisher)).retry(RetryPolicy::never());
    let processor = processor.spawn().unwrap();
    store.commit((0..10).map(|n| event("key", n)));
    until(async || publisher.faults() == 1).await;
    let since = Instant::now();
    store.commit((0..10).map(|n| Envelope { topic: "others".into(), ..event("key", n) }));
    let others = received.wait_for(10, DEADLINE).await.unwrap();
    assert!(others.iter().all(|message| message.envelope.topic == "others"));
    // By the clock of the test, which only moves on when everybody waits.
    tokio::time::sleep_until(since + PAUSE - Duration::from_millis(100)).await;
    assert_eq!(received.messages().len(), 10);
    let snapshot = processor.snapshot().await.unwrap();
    assert!(snapshot.paused.iter().any(|(topic, _)| topic == "things"), "{snapshot:?}");
    let messages = received.wait_for(20, DEADLINE).await.unwrap();
    assert!(since.elapsed() < PAUSE + Duration::from_secs(1), "{:?}", since.elapsed());
    assert!(messages.iter().all(|message| message.attempts == 0));
    let report = processor.shutdown().await.unwrap();
    assert_eq!((report.counts.delivered, report.counts.retried, report.counts.dead), (20, 0, 0));
}

/// Not by way of `publish_fn`, which keeps panics from the processor.
#[tokio::test]
async fn a_panic_in_publishing_rejects_its_batch_and_nothing_else() {
    let (store, received) = (MemoryStore::new(4), MemoryPublisher::new());
    let publisher = FaultyPublisher::new(received.clone()).nth(1, Fault::Panic).nth(40, Fault::Panic);
    store.commit((0..100).map(|n| event(format!("key-{}", n % 10), n)));
    let policy = RetryPolicy::fixed(Duration::ZERO).max_attempts(3);
    // One call at a time: one that does not end would be the last.
    let builder = Processor::builder(store.clone(), publisher).concurrency(1);
    let processor = builder.retry(policy).spawn().unwrap();
    let messages = received.wait_for(100, DEADLINE).await.unwrap();
    assert!(processor.is_running());
    for key in 0..10 {
        assert!(numbers(&messages, &format!("key-{key}")).is_sorted(), "key-{key}");
    }
    let report = processor.shutdown().await.unwrap();
    let rejections: u64 = messages.iter().map(|message| u64::from(message.attempts)).sum();
    assert!(rejections >= 2, "one batch or more for each panic");
    assert_eq!((report.counts.delivered, report.counts.retried, report.counts.dead), (100, rejections, 0));
}

/// Its health check and its flush panic.
#[derive(Debug)]
struct Buggy {
    inner: Arc<FaultyPublisher<MemoryPublisher>>,
    checks: Arc<AtomicUsize>,
}

#[async_trait]
impl Publisher for Buggy {
    async fn publish(&self, batch: Vec<Delivery>) {
        self.inner.publish(batch).await;
    }

    async fn flush(&self, _: Duration) {
        // Without the output of a real panic, which would look like a failure of the test.
        resume_unwind(Box::new("a bug in flush"));
    }

    async fn check(&self) -> Result<(), PublishError> {
        self.checks.fetch_add(1, Ordering::SeqCst);
        resume_unwind(Box::new("a bug in check"));
    }
}

#[tokio::test(start_paused = true)]
async fn panics_in_the_health_check_and_in_the_flush_hinder_nothing() {
    let (store, received, checks) = (MemoryStore::new(4), MemoryPublisher::new(), Arc::default());
    let inner = Arc::new(FaultyPublisher::new(received.clone()));
    inner.switch_off("the cable is out");
    let publisher = Buggy { inner: Arc::clone(&inner), checks: Arc::clone(&checks) };
    store.commit((0..100).map(|n| event(format!("key-{}", n % 10), n)));
    let processor = Processor::builder(store.clone(), publisher).lease(Duration::from_secs(1)).spawn().unwrap();
    until(async || checks.load(Ordering::SeqCst) > 0).await;
    until(async || processor.snapshot().await.unwrap().reach == Reach::Nothing).await;
    inner.switch_on();
    received.wait_for(100, DEADLINE).await.unwrap();
    let report = processor.shutdown().await.unwrap();
    assert_eq!((report.counts.delivered, report.counts.retried, report.abandoned), (100, 0, 0));
}

/// Leases are renewed while the publisher takes its time, so none of its calls is too long for a lease.
#[tokio::test(start_paused = true)]
async fn a_publisher_slower_than_a_lease_keeps_its_shards() {
    const LEASE: Duration = Duration::from_secs(1);
    let (store, slow, other) = (MemoryStore::new(4), RecordingPublisher::holding(), MemoryPublisher::new());
    store.commit((0..20).map(|n| event(format!("key-{}", n % 5), n)));
    let first = Processor::builder(store.clone(), slow.clone()).lease(LEASE).spawn().unwrap();
    until(async || slow.held() == 20).await;
    let second = Processor::builder(store.clone(), other.clone()).lease(LEASE).spawn().unwrap();
    // Ten leases, by the clock of the processors and by that of the database.
    for _ in 0..100 {
        tokio::time::sleep(LEASE / 10).await;
        store.advance(LEASE / 10);
    }
    assert_eq!((slow.held(), other.messages().len()), (20, 0));
    slow.let_go();
    until(async || store.pending_count() == 0).await;
    // Now the second one gets its share.
    until(async || second.snapshot().await.unwrap().shards == 2).await;
    store.commit((20..40).map(|n| event(format!("key-{}", n % 5), n)));
    until(async || store.pending_count() == 0).await;
    let (first, second) = (first.shutdown().await.unwrap(), second.shutdown().await.unwrap());
    assert_eq!(first.counts.delivered + second.counts.delivered, 40);
    let published = slow.calls().into_iter().flat_map(|call| match call {
        Call::Publish(messages) => messages,
        Call::Flush(_) | Call::Check => Vec::new(),
    });
    assert_eq!(published.count() + other.messages().len(), 40, "repeats");
}
