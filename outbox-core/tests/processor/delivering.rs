//! What becomes of events.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbox_core::store::{Admin, DeadState};
use outbox_core::testing::{Fault, FaultyPublisher, MemoryStore, RecordingPublisher};
use outbox_core::{
    Envelope, MemoryPublisher, Message, NoopPublisher, OnDeath, OrderKey, Origin, Processor, PublishError, RetryPolicy,
    publish_fn,
};

use crate::support::{DEADLINE, event, numbers, rejecting, until};

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
    let key = OrderKey::new("things", "poison");
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

#[tokio::test]
async fn policies_of_event_types_and_topics_go_before_the_default() {
    let store = MemoryStore::new(4);
    let publisher = FaultyPublisher::new(NoopPublisher::new()).when(|_| true, Fault::Reject);
    let soon = |attempts| RetryPolicy::fixed(Duration::ZERO).max_attempts(attempts);
    let twice = RetryPolicy::custom(|_, attempts| (attempts < 2).then_some(Duration::ZERO));
    let builder = Processor::builder(store.clone(), publisher).retry(RetryPolicy::never());
    let builder = builder.retry_topic("things", soon(4)).retry_event_type("thing.poisoned", twice);
    let processor = builder.spawn().unwrap();
    let elsewhere = Envelope { topic: "elsewhere".into(), ..event("key", 1) };
    store.commit([event("poison", 1), event("key", 1), elsewhere]);
    until(async || store.dead().len() == 3).await;
    let mut attempts: Vec<_> = store.dead().into_iter().map(|letter| letter.attempts).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 2, 4]);
    assert_eq!(processor.shutdown().await.unwrap().counts.retried, 4);
}

#[tokio::test(start_paused = true)]
async fn a_delay_longer_than_any_clock_never_ends() {
    let (store, received) = (MemoryStore::new(4), MemoryPublisher::new());
    let publisher = FaultyPublisher::new(received.clone()).nth(1, Fault::Reject);
    let policy = RetryPolicy::custom(|_, _| Some(Duration::MAX));
    let processor = Processor::builder(store.clone(), publisher).retry(policy).spawn().unwrap();
    store.commit([event("key", 1)]);
    until(async || processor.snapshot().await.unwrap().counts.retried == 1).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(received.messages().is_empty());
    assert!(processor.is_running());
    processor.shutdown().await.unwrap();
}
