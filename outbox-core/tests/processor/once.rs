//! Runs that end by themselves.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use outbox_core::store::StoreError;
use outbox_core::testing::{FaultyPublisher, MemoryStore};
use outbox_core::{Envelope, MemoryPublisher, Origin, Processor};

use crate::support::{Call, DEADLINE, Meddle, Meddled, event, numbers, rejecting};

/// Takes its time over scheduled events.
#[derive(Debug)]
struct Sluggish;

#[async_trait]
impl Meddle for Sluggish {
    async fn before(&self, call: Call) -> Result<(), StoreError> {
        for _ in 0..if call == Call::Promote { 1_000 } else { 0 } {
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn one_run_publishes_what_is_due_up_to_its_limit_and_stops() {
    let (store, publisher) = (MemoryStore::new(8), MemoryPublisher::new());
    store.commit((0..50).map(|number| event(format!("key-{}", number % 7), number)));
    let processor = Processor::builder(store.clone(), publisher.clone()).build().unwrap();
    assert_eq!(processor.run_once(20).await.unwrap().counts.delivered, 20);
    assert_eq!((publisher.messages().len(), store.pending_count()), (20, 30));
    assert_eq!(processor.run_once(usize::MAX).await.unwrap().counts.delivered, 30);
    assert_eq!(processor.run_once(usize::MAX).await.unwrap().counts.delivered, 0);
    assert_eq!(processor.run_once(0).await.unwrap().counts.delivered, 0);
}

#[tokio::test]
async fn one_run_publishes_delayed_events_that_are_due() {
    let (store, publisher) = (MemoryStore::new(8), MemoryPublisher::new());
    store.commit((1..=3).map(|n| Envelope { delay: Some(Duration::from_secs(60 * u64::from(n))), ..event("key", n) }));
    // Reads overtake the moving of scheduled events, which takes its time.
    let processor = Processor::builder(Meddled(store.clone(), Sluggish), publisher.clone()).build().unwrap();
    assert_eq!(processor.run_once(usize::MAX).await.unwrap().counts.delivered, 0);
    store.advance(Duration::from_secs(121));
    assert_eq!(processor.run_once(usize::MAX).await.unwrap().counts.delivered, 2);
    assert_eq!(numbers(&publisher.messages(), "key"), [1, 2]);
    assert!(publisher.messages().iter().all(|message| message.origin == Origin::Delayed));
}

#[tokio::test]
async fn one_run_waits_neither_for_a_broker_nor_for_a_retry() {
    let (store, received) = (MemoryStore::new(4), MemoryPublisher::new());
    let publisher = Arc::new(FaultyPublisher::new(received.clone()));
    publisher.switch_off("the cable is out");
    store.commit((0..20).map(|n| event(format!("key-{n}"), n)));
    let processor = Processor::builder(store.clone(), Arc::clone(&publisher)).build().unwrap();
    let report = tokio::time::timeout(DEADLINE, processor.run_once(usize::MAX)).await.unwrap().unwrap();
    assert_eq!((report.counts.delivered, report.counts.retried, store.pending_count()), (0, 0, 20));
    publisher.switch_on();
    assert_eq!(processor.run_once(usize::MAX).await.unwrap().counts.delivered, 20);

    let (publisher, _mended) = rejecting(&received);
    store.commit([event("poison", 1)]);
    let processor = Processor::builder(store.clone(), publisher).build().unwrap();
    let report = tokio::time::timeout(DEADLINE, processor.run_once(usize::MAX)).await.unwrap().unwrap();
    assert_eq!((report.counts.retried, store.pending_count()), (1, 1));
}
