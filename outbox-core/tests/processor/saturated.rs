//! A processor that may remember no more of what it has passed over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use outbox_core::store::{Store, StoreError};
use outbox_core::testing::{Fault, FaultyPublisher, MemoryStore, message};
use outbox_core::{Envelope, EventId, MemoryPublisher, Message, Processor, ProcessorHandle, RetryPolicy};

use crate::support::{Call, DEADLINE, Meddle, Meddled, until};

const MOST: usize = 10;

/// Counts what is read.
#[derive(Debug)]
struct Counting(Arc<AtomicUsize>);

#[async_trait]
impl Meddle for Counting {
    async fn before(&self, call: Call) -> Result<(), StoreError> {
        self.0.fetch_add(usize::from(call == Call::Read), Ordering::SeqCst);
        Ok(())
    }
}

fn event(topic: &str, key: &str) -> Envelope {
    Envelope { id: EventId::new(), ..message(topic, Some(key), 1, "{}").envelope }
}

/// Events of the topic `blocked` meet the fault.
fn start(store: impl Store, received: &MemoryPublisher, fault: Fault) -> ProcessorHandle {
    let blocked = |message: &Message| message.envelope.topic == "blocked";
    let publisher = FaultyPublisher::new(received.clone()).when(blocked, fault);
    let policy = RetryPolicy::fixed(Duration::from_secs(3600));
    let ms = Duration::from_millis;
    let builder = Processor::builder(store, publisher).max_held(MOST).retry(policy);
    builder.poll_intervals(ms(100), ms(100), ms(100)).spawn().unwrap()
}

async fn saturated(processor: &ProcessorHandle) {
    until(async || processor.snapshot().await.unwrap().held >= MOST).await;
}

/// While a writer stands still, events of a topic that does not work are remembered one by one. When it has ended they
/// need not be, and others go on.
#[tokio::test(start_paused = true)]
async fn what_had_to_be_remembered_for_a_writer_is_forgotten_with_it() {
    let (store, received) = (MemoryStore::new(1), MemoryPublisher::new());
    let writer = store.begin([event("healthy", "stalled")]);
    store.commit((0..5 * MOST).map(|n| event("blocked", &format!("key-{n}"))));
    let processor = start(store.clone(), &received, Fault::Unreachable);
    saturated(&processor).await;
    store.commit([event("healthy", "waiting")]);
    writer.commit();
    assert_eq!(received.wait_for(2, DEADLINE).await.unwrap().len(), 2);
    processor.shutdown().await.unwrap();
}

/// What cannot be read because nothing more can be remembered is not asked for again and again.
#[tokio::test(start_paused = true)]
async fn a_database_is_not_asked_in_vain() {
    let (store, received, reads) = (MemoryStore::new(1), MemoryPublisher::new(), Arc::new(AtomicUsize::new(0)));
    store.commit((0..2 * MOST).map(|n| event("blocked", &format!("key-{n}"))));
    let processor = start(Meddled(store.clone(), Counting(Arc::clone(&reads))), &received, Fault::Reject);
    saturated(&processor).await;
    store.commit([event("healthy", "waiting")]);
    let before = reads.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let asked = reads.load(Ordering::SeqCst) - before;
    assert!(asked <= 110, "{asked} reads in 10 s, with a look every 100 ms");
    assert!(received.messages().is_empty(), "nothing new is read");
    processor.shutdown().await.unwrap();
}
