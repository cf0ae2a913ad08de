//! The processor around the engine, against a store in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use outbox_core::processor::ProcessorError;
use outbox_core::store::{
    Admin, DeadState, Lease, LeaseReply, LeaseRequest, ReadReply, ReadRequest, SettleReply, SettleRequest, Store,
    StoreError, StoreErrorKind,
};
use outbox_core::testing::{Fault, FaultyPublisher, MemoryStore, RecordingPublisher};
use outbox_core::{
    Encoded, Envelope, EventOptions, Headers, Limits, MemoryPublisher, Message, NoopPublisher, OnDeath, OrderKey,
    Origin, OutboxEvent, Processor, PublishError, RetryPolicy, publish_fn,
};

const DEADLINE: Duration = Duration::from_secs(30);

struct Numbered {
    key: String,
    number: u32,
}

impl OutboxEvent for Numbered {
    fn aggregate_type(&self) -> Cow<'_, str> {
        "thing".into()
    }
    fn aggregate_id(&self) -> Option<Cow<'_, str>> {
        Some(self.key.as_str().into())
    }
    fn event_type(&self) -> Cow<'_, str> {
        if self.key.starts_with("poison") { "thing.poisoned".into() } else { "thing.numbered".into() }
    }
    fn topic(&self) -> Cow<'_, str> {
        "things".into()
    }
    fn partition_key(&self) -> Option<Cow<'_, str>> {
        Some(self.key.as_str().into())
    }
    fn encode(&self) -> Result<Encoded, Box<dyn std::error::Error + Send + Sync>> {
        Encoded::json(&self.number)
    }
}

fn event(key: impl Into<String>, number: u32) -> Envelope {
    let event = Numbered { key: key.into(), number };
    Envelope::encode(&event, EventOptions::new(), Headers::new(), &Limits::default()).unwrap()
}

fn numbers(messages: &[Arc<Message>], key: &str) -> Vec<u32> {
    let of_key = messages.iter().filter(|message| message.envelope.key.as_deref() == Some(key));
    of_key.map(|message| serde_json::from_slice(message.envelope.payload.as_ref().unwrap()).unwrap()).collect()
}

async fn until(condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("it did not happen in time");
}

/// Rejects poison until it is mended, and passes everything else on.
fn rejecting(received: &MemoryPublisher) -> (FaultyPublisher<MemoryPublisher>, Arc<AtomicBool>) {
    let mended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&mended);
    let poison =
        move |message: &Message| message.envelope.event_type == "thing.poisoned" && !flag.load(Ordering::SeqCst);
    (FaultyPublisher::new(received.clone()).when(poison, Fault::Reject), mended)
}

#[tokio::test]
async fn what_is_committed_is_delivered_in_order_and_settled() {
    let (store, publisher) = (MemoryStore::new(16), MemoryPublisher::new());
    let processor = Processor::builder(store.clone(), publisher.clone()).spawn().unwrap();
    assert!(processor.is_running());
    for number in 0..200 {
        store.commit((0..5).map(|key| event(format!("key-{key}"), number)));
    }
    let messages = publisher.wait_for(1_000, DEADLINE).await.unwrap();
    for key in 0..5 {
        assert_eq!(numbers(&messages, &format!("key-{key}")), (0..200).collect::<Vec<_>>());
    }
    let report = processor.shutdown().await.unwrap();
    assert_eq!((report.counts.delivered, report.abandoned, store.pending_count()), (1_000, 0, 0));
    assert_eq!(publisher.messages().len(), 1_000);
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
    let sluggish = Hesitant { sluggish: true, ..Hesitant::new(&store, 0, StoreErrorKind::Unavailable) };
    let processor = Processor::builder(sluggish, publisher.clone()).build().unwrap();
    assert_eq!(processor.run_once(usize::MAX).await.unwrap().counts.delivered, 0);
    store.advance(Duration::from_secs(121));
    assert_eq!(processor.run_once(usize::MAX).await.unwrap().counts.delivered, 2);
    assert_eq!(numbers(&publisher.messages(), "key"), [1, 2]);
    assert!(publisher.messages().iter().all(|message| message.origin == Origin::Delayed));
}

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

#[tokio::test]
async fn a_poison_event_dies_while_a_thousand_keys_flow_and_requeueing_delivers_it() {
    let (store, received) = (MemoryStore::new(16), MemoryPublisher::new());
    let (publisher, mended) = rejecting(&received);
    let mut events: Vec<Envelope> = (0..1_000).map(|key| event(format!("key-{key}"), 0)).collect();
    events.insert(500, event("poison", 1));
    let id = events[500].id;
    store.commit(events);
    let policy = RetryPolicy::fixed(Duration::ZERO).max_attempts(3);
    let processor = Processor::builder(store.clone(), publisher).retry(policy).spawn().unwrap();
    received.wait_for(1_000, DEADLINE).await.unwrap();
    until(async || store.pending_count() == 0).await;
    let letter = store.dead_letter(id).await.unwrap();
    assert_eq!((letter.attempts, letter.rejections.len(), letter.state), (3, 3, DeadState::Dead));

    mended.store(true, Ordering::SeqCst);
    store.requeue(id).await.unwrap();
    let messages = received.wait_for(1_001, DEADLINE).await.unwrap();
    let last = messages.last().unwrap();
    assert_eq!((last.id(), last.origin, last.attempts), (id, Origin::Requeued, 0));
    let report = processor.shutdown().await.unwrap();
    assert_eq!((report.counts.delivered, report.counts.retried, report.counts.dead), (1_001, 2, 1));
}

#[tokio::test]
async fn a_parked_key_waits_as_a_whole_and_comes_back_in_its_order() {
    let (store, received) = (MemoryStore::new(4), MemoryPublisher::new());
    let (publisher, mended) = rejecting(&received);
    let policy = RetryPolicy::never().on_death(OnDeath::ParkKey);
    let processor = Processor::builder(store.clone(), publisher).retry(policy).spawn().unwrap();
    store.commit((0..10).map(|number| event("poison", number)));
    store.commit((0..10).map(|number| event("healthy", number)));
    until(async || store.dead().len() == 10).await;
    store.commit((10..20).map(|number| event("poison", number)));
    until(async || store.dead().len() == 20 && store.pending_count() == 0).await;
    assert_eq!(store.dead().iter().filter(|letter| letter.state == DeadState::Dead).count(), 1);
    let key = OrderKey { topic: "things".to_owned(), key: "poison".to_owned() };
    assert_eq!(store.parked_keys(None, 10).await.unwrap(), std::slice::from_ref(&key));
    assert_eq!(numbers(&received.messages(), "healthy"), (0..10).collect::<Vec<_>>());

    mended.store(true, Ordering::SeqCst);
    assert_eq!(store.requeue_key(&key).await.unwrap(), 20);
    store.commit([event("poison", 20)]);
    let messages = received.wait_for(31, DEADLINE).await.unwrap();
    assert_eq!(numbers(&messages, "poison"), (0..=20).collect::<Vec<_>>());
    assert_eq!(processor.shutdown().await.unwrap().counts.parked, 19);
}

#[tokio::test]
async fn a_panic_in_the_publisher_rejects_its_event_and_nothing_else() {
    let store = MemoryStore::new(4);
    let received = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&received);
    let publisher = publish_fn(move |message: Arc<Message>| {
        let count = Arc::clone(&count);
        async move {
            assert!(message.envelope.event_type != "thing.poisoned", "a bug in the publisher");
            count.fetch_add(1, Ordering::SeqCst);
            Ok::<(), PublishError>(())
        }
    });
    store.commit((0..100).map(|n| event(if n == 50 { "poison".to_owned() } else { format!("key-{n}") }, n)));
    let policy = RetryPolicy::fixed(Duration::ZERO).max_attempts(2);
    let processor = Processor::builder(store.clone(), publisher).retry(policy).spawn().unwrap();
    until(async || store.pending_count() == 0).await;
    assert_eq!((received.load(Ordering::SeqCst), store.dead().len()), (99, 1));
    assert!(processor.is_running());
    processor.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_unreachable_broker_uses_up_no_attempts_and_is_found_again() {
    let (store, received) = (MemoryStore::new(4), MemoryPublisher::new());
    let publisher = Arc::new(FaultyPublisher::new(received.clone()));
    publisher.switch_off("the cable is out");
    store.commit((0..500).map(|n| event(format!("key-{}", n % 20), n)));
    let pause = Duration::from_millis(1);
    let builder = Processor::builder(store.clone(), Arc::clone(&publisher)).topic_pause(pause, 4 * pause);
    let processor = builder.retry(RetryPolicy::never()).spawn().unwrap();
    until(async || publisher.faults() > 20).await;
    let snapshot = processor.snapshot().await.unwrap();
    assert!(snapshot.paused.iter().any(|(_, cause)| cause.contains("the cable is out")), "{snapshot:?}");
    publisher.switch_on();
    let messages = received.wait_for(500, DEADLINE).await.unwrap();
    assert!(messages.iter().all(|message| message.attempts == 0));
    let report = processor.shutdown().await.unwrap();
    assert_eq!((report.counts.delivered, report.counts.retried, report.counts.dead), (500, 0, 0));
    assert_eq!(received.messages().len(), 500);
}

#[tokio::test]
async fn a_shutdown_that_misses_its_deadline_says_how_much_it_leaves() {
    let (store, publisher) = (MemoryStore::new(4), RecordingPublisher::holding());
    store.commit((0..10).map(|n| event(format!("key-{n}"), n)));
    let builder = Processor::builder(store.clone(), publisher.clone());
    let processor = builder.shutdown_deadline(Duration::from_millis(50)).spawn().unwrap();
    until(async || publisher.held() == 10).await;
    let report = processor.shutdown().await.unwrap();
    assert_eq!((report.abandoned, report.counts.delivered, store.pending_count()), (10, 0, 10));
}

#[tokio::test]
async fn another_processor_takes_over_when_a_lease_ends_and_not_before() {
    let (store, stuck, received) = (MemoryStore::new(4), RecordingPublisher::holding(), MemoryPublisher::new());
    store.commit((0..20).map(|n| event(format!("key-{n}"), n)));
    let builder = Processor::builder(store.clone(), stuck.clone());
    let first = builder.shutdown_deadline(Duration::ZERO).spawn().unwrap();
    until(async || stuck.held() == 20).await;
    // With no time to give its leases back, it leaves as if it had crashed.
    assert_eq!(first.shutdown().await.unwrap().abandoned, 20);
    let second = Processor::builder(store.clone(), received.clone()).spawn().unwrap();
    until(async || second.snapshot().await.is_some()).await;
    assert!(received.messages().is_empty());
    store.advance(Duration::from_secs(60));
    received.wait_for(20, DEADLINE).await.unwrap();
    second.shutdown().await.unwrap();
}

/// Passes everything on, but fails to open at first, or takes its time over scheduled events.
#[derive(Debug)]
struct Hesitant {
    store: MemoryStore,
    failures: AtomicUsize,
    kind: StoreErrorKind,
    sluggish: bool,
    /// Never opens, once it has failed as often as it should.
    hangs: bool,
}

impl Hesitant {
    fn new(store: &MemoryStore, failures: usize, kind: StoreErrorKind) -> Self {
        Self { store: store.clone(), failures: AtomicUsize::new(failures), kind, sluggish: false, hangs: false }
    }
}

#[async_trait]
impl Store for Hesitant {
    async fn open(&self) -> Result<(), StoreError> {
        let left = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left.is_ok() {
            return Err(StoreError::new(self.kind, "opening", "not now"));
        }
        if self.hangs {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
    async fn lease(&self, request: LeaseRequest) -> Result<LeaseReply, StoreError> {
        self.store.lease(request).await
    }
    async fn read(&self, request: ReadRequest) -> Result<ReadReply, StoreError> {
        self.store.read(request).await
    }
    async fn settle(&self, request: SettleRequest) -> Result<SettleReply, StoreError> {
        self.store.settle(request).await
    }
    async fn promote(&self, id: uuid::Uuid, leases: &[Lease], limit: u32) -> Result<Option<Duration>, StoreError> {
        for _ in 0..if self.sluggish { 1_000 } else { 0 } {
            tokio::task::yield_now().await;
        }
        self.store.promote(id, leases, limit).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_at_the_start_is_waited_for() {
    let store = MemoryStore::new(4);
    store.commit([event("key", 1)]);
    let hesitant = Hesitant::new(&store, 5, StoreErrorKind::Unavailable);
    let processor = Processor::builder(hesitant, NoopPublisher::new()).spawn().unwrap();
    until(async || store.pending_count() == 0).await;
    assert!(!processor.snapshot().await.unwrap().database_fails);
    processor.shutdown().await.unwrap();
}

#[tokio::test]
async fn tables_that_cannot_be_used_stop_it_with_the_reason() {
    let hesitant = Hesitant::new(&MemoryStore::new(4), 1, StoreErrorKind::Schema);
    let processor = Processor::builder(hesitant, NoopPublisher::new()).spawn().unwrap();
    until(async || !processor.is_running()).await;
    let error = processor.join().await.unwrap_err();
    assert_eq!(error.to_string(), "the outbox cannot be used: the outbox store failed while opening: not now");
    // Whoever asks later, and however, gets the same answer.
    assert_eq!(processor.clone().shutdown().await.unwrap_err().to_string(), error.to_string());
    assert!(processor.snapshot().await.is_none());
}

#[tokio::test]
async fn running_until_something_happens_ends_with_the_processor_too() {
    let hesitant = Hesitant::new(&MemoryStore::new(4), 1, StoreErrorKind::Schema);
    let processor = Processor::builder(hesitant, NoopPublisher::new()).build().unwrap();
    let ended = tokio::time::timeout(DEADLINE, processor.run_until(std::future::pending())).await;
    assert!(matches!(ended.unwrap(), Err(ProcessorError::Store(_))));
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

#[tokio::test(start_paused = true)]
async fn a_database_that_hangs_at_the_start_hinders_neither_health_checks_nor_a_stop() {
    let hesitant = Hesitant { hangs: true, ..Hesitant::new(&MemoryStore::new(4), 1, StoreErrorKind::Unavailable) };
    let processor = Processor::builder(hesitant, NoopPublisher::new()).spawn().unwrap();
    assert!(!processor.snapshot().await.unwrap().database_fails);
    until(async || processor.snapshot().await.unwrap().database_fails).await;
    assert_eq!(processor.shutdown().await.unwrap().counts.delivered, 0);
}

#[tokio::test]
async fn a_hundred_thousand_blocked_events_hold_back_no_healthy_one() {
    let (store, received) = (MemoryStore::new(16), MemoryPublisher::new());
    let (publisher, _mended) = rejecting(&received);
    store.commit((0..100_000).map(|n| event(format!("poison-{}", n % 10_000), n)));
    store.commit((0..1_000).map(|n| event(format!("healthy-{}", n % 50), n)));
    let policy = RetryPolicy::fixed(Duration::from_secs(3600));
    let processor = Processor::builder(store.clone(), publisher).retry(policy).spawn().unwrap();
    received.wait_for(1_000, DEADLINE).await.unwrap();
    assert_eq!(store.pending_count() / 1_000, 100);
    let snapshot = processor.snapshot().await.unwrap();
    assert!(snapshot.held <= 110_000 && snapshot.queued <= 2_000, "{snapshot:?}");
    processor.shutdown().await.unwrap();
}
