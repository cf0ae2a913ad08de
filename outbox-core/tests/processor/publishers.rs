//! Publishers that ask for a pause.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use outbox_core::testing::{Fault, FaultyPublisher, MemoryStore};
use outbox_core::{Envelope, MemoryPublisher, Message, Processor, RetryPolicy};
use tokio::time::Instant;

use crate::support::{DEADLINE, event, until};

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
    store.commit((0..10).map(|n| Envelope { topic: "others".to_owned(), ..event("key", n) }));
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
