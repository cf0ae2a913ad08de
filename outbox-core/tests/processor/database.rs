//! A database that fails, hangs or falls silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use outbox_core::store::{Store, StoreError, StoreErrorKind};
use outbox_core::testing::MemoryStore;
use outbox_core::{Envelope, MemoryPublisher, NoopPublisher, Processor};

use crate::support::{Call, DEADLINE, Meddle, Meddled, event, numbers, until};

/// Fails to open so many times, and then hangs or opens.
#[derive(Debug)]
struct Hesitant {
    failures: AtomicUsize,
    kind: StoreErrorKind,
    hangs: bool,
}

#[async_trait]
impl Meddle for Hesitant {
    async fn before(&self, call: Call) -> Result<(), StoreError> {
        if call != Call::Open {
            return Ok(());
        }
        let left = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        match left {
            Ok(_) => Err(StoreError::new(self.kind, "opening", "not now")),
            Err(_) if self.hangs => std::future::pending().await,
            Err(_) => Ok(()),
        }
    }
}

pub(crate) fn failing(store: &MemoryStore, failures: usize, kind: StoreErrorKind) -> impl Store {
    Meddled(store.clone(), Hesitant { failures: failures.into(), kind, hangs: false })
}

/// Falls silent in the middle of one call, before it is carried out or after.
#[derive(Debug)]
struct Silent {
    call: Call,
    before: bool,
    happened: Arc<AtomicBool>,
}

impl Silent {
    async fn fall_silent(&self, call: Call, before: bool) {
        if (call, before) == (self.call, self.before) && !self.happened.swap(true, Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Meddle for Silent {
    async fn before(&self, call: Call) -> Result<(), StoreError> {
        self.fall_silent(call, true).await;
        Ok(())
    }
    async fn after(&self, call: Call) {
        self.fall_silent(call, false).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_at_the_start_is_waited_for() {
    let store = MemoryStore::new(4);
    store.commit([event("key", 1)]);
    let hesitant = failing(&store, 5, StoreErrorKind::Unavailable);
    let processor = Processor::builder(hesitant, NoopPublisher::new()).spawn().unwrap();
    until(async || store.pending_count() == 0).await;
    assert!(!processor.snapshot().await.unwrap().database_fails);
    processor.shutdown().await.unwrap();
}

#[tokio::test]
async fn tables_that_cannot_be_used_stop_it_with_the_reason() {
    let hesitant = failing(&MemoryStore::new(4), 1, StoreErrorKind::Schema);
    let processor = Processor::builder(hesitant, NoopPublisher::new()).spawn().unwrap();
    until(async || !processor.is_running()).await;
    let error = processor.join().await.unwrap_err();
    assert_eq!(error.to_string(), "the outbox cannot be used: the outbox store failed while opening: not now");
    // Whoever asks later, and however, gets the same answer.
    assert_eq!(processor.clone().shutdown().await.unwrap_err().to_string(), error.to_string());
    assert!(processor.snapshot().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_database_that_hangs_at_the_start_hinders_neither_health_checks_nor_a_stop() {
    let hesitant = Hesitant { failures: 1.into(), kind: StoreErrorKind::Unavailable, hangs: true };
    let hesitant = Meddled(MemoryStore::new(4), hesitant);
    let processor = Processor::builder(hesitant, NoopPublisher::new()).spawn().unwrap();
    assert!(!processor.snapshot().await.unwrap().database_fails);
    until(async || processor.snapshot().await.unwrap().database_fails).await;
    assert_eq!(processor.shutdown().await.unwrap().counts.delivered, 0);
}

/// A connection that is neither closed nor answers any more costs the time of a lease, and nothing else.
#[tokio::test(start_paused = true)]
async fn a_database_that_falls_silent_in_any_call_is_asked_again() {
    for call in [Call::Open, Call::Lease, Call::Read, Call::Settle, Call::Promote] {
        for before in [true, false] {
            let (store, received, happened) = (MemoryStore::new(4), MemoryPublisher::new(), Arc::default());
            let silent = Silent { call, before, happened: Arc::clone(&happened) };
            store.commit((0..20).map(|n| event("key", n)));
            store.commit([Envelope { delay: Some(Duration::from_millis(1)), ..event("delayed", 1) }]);
            store.advance(Duration::from_secs(1));
            let processor = Processor::builder(Meddled(store.clone(), silent), received.clone()).spawn().unwrap();
            let messages = received.wait_for(21, DEADLINE).await.unwrap();
            until(async || store.pending_count() == 0).await;
            assert!(happened.load(Ordering::SeqCst), "{call:?}");
            assert_eq!(numbers(&messages, "key"), (0..20).collect::<Vec<_>>());
            assert_eq!(processor.shutdown().await.unwrap().counts.delivered, 21, "{call:?}");
        }
    }
}

/// Fails once in one call.
#[derive(Debug)]
struct Failing {
    call: Call,
    happened: Arc<AtomicBool>,
}

#[async_trait]
impl Meddle for Failing {
    async fn before(&self, call: Call) -> Result<(), StoreError> {
        if call == self.call && !self.happened.swap(true, Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "being asked", "not now"));
        }
        Ok(())
    }
}

/// Whatever failed is done again soon, and not only when it would be time to look or to renew the leases.
#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_made_again_soon() {
    const HOUR: Duration = Duration::from_secs(3600);
    for call in [Call::Open, Call::Lease, Call::Read, Call::Settle, Call::Promote] {
        let (store, received, happened) = (MemoryStore::new(4), MemoryPublisher::new(), Arc::default());
        let failing = Failing { call, happened: Arc::clone(&happened) };
        store.commit([event("key", 1), Envelope { delay: Some(Duration::from_millis(1)), ..event("delayed", 1) }]);
        store.advance(Duration::from_secs(1));
        let builder = Processor::builder(Meddled(store.clone(), failing), received.clone());
        let processor = builder.lease(HOUR).poll_intervals(HOUR, HOUR, HOUR).spawn().unwrap();
        received.wait_for(2, DEADLINE).await.unwrap();
        until(async || store.is_empty()).await;
        assert!(happened.load(Ordering::SeqCst), "{call:?}");
        assert_eq!(processor.shutdown().await.unwrap().counts.delivered, 2, "{call:?}");
    }
}
