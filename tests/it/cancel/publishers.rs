//! Publishers that need no broker: what they were given is reported once, and sent once, whenever their caller goes
//! away.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_core::event::OrderKey;
use outbox_core::testing::{Outcomes, Reported, message};
use outbox_core::{
    EventId, LogPublisher, MemoryPublisher, Message, NoopPublisher, PublishError, Publisher, Router, publish_fn,
};
use outbox_tests::drop_at;

use super::MOST;

const PATIENCE: Duration = Duration::from_secs(30);
const KEYS: i64 = 5;

type Received = Arc<Mutex<Vec<Arc<Message>>>>;

/// Takes some turns for each message.
fn closure(there: &Received) -> impl Publisher + use<> {
    let there = Arc::clone(there);
    let send = move |message: Arc<Message>| {
        let there = Arc::clone(&there);
        async move {
            for _ in 0..message.seq % 4 {
                tokio::task::yield_now().await;
            }
            there.lock().unwrap().push(message);
            Ok::<_, PublishError>(())
        }
    };
    publish_fn(send).concurrency(2)
}

fn batch(n: usize) -> Vec<Message> {
    let topic = |seq| if seq % 2 == 0 { "orders" } else { "invoices" };
    let seqs = (0..40).map(|seq| 40 * n as i64 + seq);
    seqs.map(|seq| message(topic(seq), Some(&format!("key-{}", seq % KEYS)), seq, "{}")).collect()
}

/// Every batch is given to a call that is dropped at its n-th poll, and so is a flush behind it, which gives nothing up.
/// Says what was sent.
async fn reports(publisher: impl Publisher) -> Vec<(Option<OrderKey>, EventId)> {
    let (outcomes, mut sent) = (Outcomes::new(), Vec::new());
    for n in 1..=MOST {
        let batch = batch(n);
        sent.extend(batch.iter().map(|message| (message.order_key(), message.id())));
        drop_at(n, publisher.publish(outcomes.deliveries(batch))).await;
        drop_at(n, publisher.flush(PATIENCE)).await;
        drop_at(n, publisher.check()).await.transpose().unwrap();
        // A key's next batch comes when its last one has been reported, as from a processor.
        assert!(outcomes.all().await.iter().all(|outcome| *outcome == Reported::Delivered));
    }
    publisher.flush(PATIENCE).await;
    sent
}

/// All of it is there, in the order of its keys.
async fn sweep(publisher: impl Publisher, received: impl FnOnce() -> Vec<Arc<Message>>) {
    let mut sent = reports(publisher).await;
    let mut received: Vec<_> = received().iter().map(|message| (message.order_key(), message.id())).collect();
    sent.sort_by(|(one, _), (other, _)| one.cmp(other));
    received.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert_eq!(received, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_of_a_closure_loses_nothing() {
    let there = Received::default();
    sweep(closure(&there), || there.lock().unwrap().clone()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_of_a_router_loses_nothing() {
    let (orders, others) = (MemoryPublisher::new(), Received::default());
    let router = Router::builder().route("o*", orders.clone()).route("*", closure(&others));
    // A queue that is often full, so that calls wait.
    let router = router.concurrency(1).queue(5).build().unwrap();
    sweep(router, || [orders.messages(), others.lock().unwrap().clone()].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_or_wait_of_memory_loses_nothing() {
    let there = MemoryPublisher::new();
    for _ in 1..=MOST {
        // Nothing would wake it a second time.
        assert!(drop_at(1, there.wait_for(1, PATIENCE)).await.is_none());
    }
    sweep(there.clone(), || there.messages()).await;
    assert_eq!(there.wait_for(40 * MOST, PATIENCE).await.unwrap().len(), 40 * MOST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_that_sends_nowhere_is_reported() {
    assert_eq!(reports(LogPublisher::new()).await.len(), 40 * MOST);
    assert_eq!(reports(NoopPublisher::new()).await.len(), 40 * MOST);
}
