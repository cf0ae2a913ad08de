//! How a processor ends.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use outbox_core::processor::ProcessorError;
use outbox_core::store::StoreErrorKind;
use outbox_core::testing::{Call, MemoryStore, RecordingPublisher};
use outbox_core::{Delivery, MemoryPublisher, NoopPublisher, Processor, PublishError, Publisher};

use crate::database::failing;
use crate::support::{DEADLINE, event, until};

#[tokio::test]
async fn one_that_is_not_enabled_does_nothing_and_can_be_stopped() {
    let (store, publisher) = (MemoryStore::new(8), MemoryPublisher::new());
    store.commit([event("key", 1)]);
    let processor = Processor::builder(store.clone(), publisher.clone()).enabled(false).spawn().unwrap();
    tokio::task::yield_now().await;
    assert!(processor.is_running());
    assert_eq!(processor.shutdown().await.unwrap().counts.delivered, 0);
    assert_eq!((store.pending_count(), publisher.messages().len()), (1, 0));
}

/// Keeps what it gets, and hears nothing.
#[derive(Debug, Default)]
struct Deaf(Mutex<Vec<Delivery>>);

#[async_trait]
impl Publisher for Deaf {
    async fn publish(&self, batch: Vec<Delivery>) {
        self.0.lock().unwrap().extend(batch);
    }
    async fn flush(&self, _: Duration) {}
    async fn check(&self) -> Result<(), PublishError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_shutdown_that_misses_its_deadline_says_how_much_it_leaves() {
    let (store, publisher) = (MemoryStore::new(4), Deaf::default());
    store.commit((0..10).map(|n| event(format!("key-{n}"), n)));
    let builder = Processor::builder(store.clone(), publisher);
    let processor = builder.shutdown_deadline(Duration::from_millis(50)).spawn().unwrap();
    until(async || processor.snapshot().await.unwrap().in_flight == 10).await;
    let report = processor.shutdown().await.unwrap();
    assert_eq!((report.abandoned, report.counts.delivered, store.pending_count()), (10, 0, 10));
}

#[tokio::test(start_paused = true)]
async fn what_a_publisher_gives_up_in_time_is_not_left_open() {
    let (store, publisher) = (MemoryStore::new(4), RecordingPublisher::holding());
    store.commit((0..10).map(|n| event(format!("key-{n}"), n)));
    let processor = Processor::builder(store.clone(), publisher.clone()).spawn().unwrap();
    until(async || publisher.held() == 10).await;
    let report = processor.shutdown().await.unwrap();
    assert_eq!((report.abandoned, report.counts.delivered, store.pending_count()), (0, 0, 10));
}

#[tokio::test]
async fn running_until_something_happens_ends_with_the_processor_too() {
    let hesitant = failing(&MemoryStore::new(4), 1, StoreErrorKind::Schema);
    let processor = Processor::builder(hesitant, NoopPublisher::new()).build().unwrap();
    let ended = tokio::time::timeout(DEADLINE, processor.run_until(std::future::pending())).await;
    assert!(matches!(ended.unwrap(), Err(ProcessorError::Store(_))));
}

#[tokio::test]
async fn running_until_something_happens_drains_what_is_under_way() {
    let (store, publisher) = (MemoryStore::new(4), RecordingPublisher::holding());
    store.commit((0..10).map(|n| event(format!("key-{n}"), n)));
    let processor = Processor::builder(store.clone(), publisher.clone()).build().unwrap();
    let asked_to_flush = publisher.wait_for(|calls| calls.iter().any(|call| matches!(call, Call::Flush(_))));
    let released = async {
        tokio::time::timeout(DEADLINE, asked_to_flush).await.unwrap();
        publisher.let_go();
    };
    let shutdown = until(async || publisher.held() == 10);
    let (report, ()) = tokio::join!(processor.run_until(shutdown), released);
    let report = report.unwrap();
    assert_eq!((report.counts.delivered, report.abandoned, store.pending_count()), (10, 0, 0));
    // Its leases are free: the database's clock stands still, so they would not run out.
    let next = MemoryPublisher::new();
    store.commit([event("key-1", 10)]);
    let next_one = Processor::builder(store, next.clone()).spawn().unwrap();
    next.wait_for(1, DEADLINE).await.unwrap();
    next_one.shutdown().await.unwrap();
}

#[tokio::test]
async fn every_caller_of_shutdown_gets_the_same_report() {
    let (store, publisher) = (MemoryStore::new(4), MemoryPublisher::new());
    store.commit((0..10).map(|n| event(format!("key-{n}"), n)));
    let processor = Processor::builder(store, publisher.clone()).spawn().unwrap();
    publisher.wait_for(10, DEADLINE).await.unwrap();
    let other = processor.clone();
    let (one, two) = tokio::join!(processor.shutdown(), other.shutdown());
    assert_eq!(one.unwrap().counts.delivered, 10);
    assert_eq!(two.unwrap(), processor.shutdown().await.unwrap());
    assert_eq!(other.join().await.unwrap().counts.delivered, 10);
    assert!(!processor.is_running() && !other.is_running());
}

#[tokio::test]
async fn a_shutdown_that_is_not_waited_for_still_stops() {
    let (store, publisher) = (MemoryStore::new(4), RecordingPublisher::holding());
    store.commit((0..10).map(|n| event(format!("key-{n}"), n)));
    let processor = Processor::builder(store.clone(), publisher.clone()).spawn().unwrap();
    until(async || publisher.held() == 10).await;
    assert!(tokio::time::timeout(Duration::ZERO, processor.shutdown()).await.is_err());
    assert!(processor.is_running());
    publisher.let_go();
    assert_eq!(processor.join().await.unwrap().counts.delivered, 10);
    assert_eq!(store.pending_count(), 0);
}

#[tokio::test]
async fn without_any_handle_it_goes_on() {
    let (store, publisher) = (MemoryStore::new(4), MemoryPublisher::new());
    let processor = Processor::builder(store.clone(), publisher.clone()).spawn().unwrap();
    drop((processor.clone(), processor));
    store.commit((0..10).map(|n| event(format!("key-{n}"), n)));
    publisher.wait_for(10, DEADLINE).await.unwrap();
    until(async || store.pending_count() == 0).await;
}

#[tokio::test]
async fn a_run_that_nobody_waits_for_any_more_stops_gracefully() {
    let (store, publisher) = (MemoryStore::new(4), RecordingPublisher::holding());
    store.commit((0..10).map(|n| event(format!("key-{n}"), n)));
    let processor = Processor::builder(store.clone(), publisher.clone()).build().unwrap();
    let run = processor.run_until(std::future::pending());
    tokio::select! {
        ended = run => panic!("{ended:?}"),
        () = until(async || publisher.held() == 10) => {}
    }
    publisher.let_go();
    until(async || store.pending_count() == 0).await;
    // It reads no more: what comes now is left to the next one.
    let next = MemoryPublisher::new();
    store.commit([event("key-1", 11)]);
    let next_one = Processor::builder(store.clone(), next.clone()).spawn().unwrap();
    // Only leases that were given back are free without the clock moving on.
    next.wait_for(1, DEADLINE).await.unwrap();
    next_one.shutdown().await.unwrap();
}

#[test]
fn a_runtime_that_ends_first_is_an_error_and_not_a_hang() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let processor =
        runtime.block_on(async { Processor::builder(MemoryStore::new(4), NoopPublisher::new()).spawn().unwrap() });
    assert!(processor.is_running());
    drop(runtime);
    assert!(!processor.is_running());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(matches!(runtime.block_on(processor.shutdown()), Err(ProcessorError::Aborted)));
    assert!(runtime.block_on(processor.snapshot()).is_none());
}
