use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Router, RouterBuilder};
use crate::message::Message;
use crate::publisher::{
    Delivery, MemoryPublisher, NoopPublisher, PublishError, PublishErrorKind, Publisher, publish_fn,
};
use crate::testing::{Call, Fault, FaultyPublisher, Outcomes, RecordingPublisher, Reported, message};

const MINUTE: Duration = Duration::from_secs(60);

/// Takes a batch and never comes back.
#[derive(Debug)]
struct Stuck;

#[async_trait]
impl Publisher for Stuck {
    async fn publish(&self, batch: Vec<Delivery>) {
        std::future::pending::<()>().await;
        drop(batch);
    }

    async fn flush(&self, _deadline: Duration) {}

    async fn check(&self) -> Result<(), PublishError> {
        panic!("no idea")
    }
}

fn build(router: RouterBuilder) -> Router {
    router.build().unwrap()
}

fn seqs(publisher: &MemoryPublisher) -> Vec<i64> {
    publisher.messages().iter().map(|message| message.seq).collect()
}

fn batch(topics: &[&str]) -> Vec<Message> {
    topics.iter().zip(1..).map(|(topic, seq)| message(topic, Some("k"), seq, "x")).collect()
}

#[tokio::test]
async fn the_first_match_takes_the_message() {
    let (orders, audit, rest) = (MemoryPublisher::new(), MemoryPublisher::new(), MemoryPublisher::new());
    let router = Router::builder().route("orders", orders.clone()).route("audit.*", audit.clone());
    let router = build(router.otherwise(rest.clone()));
    let outcomes = Outcomes::new();
    router.publish(outcomes.deliveries(batch(&["orders", "audit.a", "orders.eu", "audit.b", "orders", "audit"]))).await;
    assert_eq!(outcomes.all().await, vec![Reported::Delivered; 6]);
    assert_eq!((seqs(&orders), seqs(&audit), seqs(&rest)), (vec![1, 5], vec![2, 4], vec![3, 6]));
}

#[tokio::test]
async fn a_topic_without_a_route_is_unreachable() {
    let router = build(Router::builder().route("orders", NoopPublisher::new()));
    let outcomes = Outcomes::new();
    router.publish(outcomes.deliveries(batch(&["other", "orders"]))).await;
    let unreachable = Reported::Unreachable("no publisher for topic \"other\"".to_owned());
    assert_eq!(outcomes.all().await, [unreachable, Reported::Delivered]);
}

#[tokio::test]
async fn a_publisher_that_hangs_holds_up_no_other() {
    let good = MemoryPublisher::new();
    let router = build(Router::builder().route("bad", Stuck).route("good", good.clone()));
    let outcomes = Outcomes::new();
    for _ in 0..20 {
        router.publish(outcomes.deliveries(batch(&["bad", "good"]))).await;
    }
    good.wait_for(20, MINUTE).await.unwrap();
    assert!(outcomes.now().chunks(2).all(|pair| pair == [None, Some(Reported::Delivered)]));
}

#[tokio::test]
async fn a_publisher_that_panics_holds_up_no_other_and_goes_on() {
    let bad = Arc::new(FaultyPublisher::new(MemoryPublisher::new()).nth(1, Fault::Panic));
    let router = build(Router::builder().route("bad", Arc::clone(&bad)).route("good", NoopPublisher::new()));
    let outcomes = Outcomes::new();
    router.publish(outcomes.deliveries(batch(&["bad", "good"]))).await;
    let first = outcomes.all().await;
    assert!(matches!(first[0], Reported::Rejected(_)) && first[1] == Reported::Delivered, "{first:?}");
    router.publish(outcomes.deliveries(batch(&["bad"]))).await;
    assert_eq!(outcomes.all().await[2], Reported::Delivered);
}

#[tokio::test]
async fn what_waits_for_a_publisher_comes_as_one_batch() {
    let (gate, calls) = (Arc::new(tokio::sync::Semaphore::new(0)), RecordingPublisher::new());
    let gated = Gated(Arc::clone(&gate), calls.clone());
    let router = build(Router::builder().route("a", gated).concurrency(1));
    let outcomes = Outcomes::new();
    for _ in 0..4 {
        router.publish(outcomes.deliveries(batch(&["a"]))).await;
        tokio::task::yield_now().await;
    }
    gate.add_permits(2);
    outcomes.all().await;
    let sizes = calls.calls().into_iter().map(|call| if let Call::Publish(batch) = call { batch.len() } else { 0 });
    assert_eq!(sizes.collect::<Vec<_>>(), [1, 3]);
}

#[derive(Debug)]
struct Gated(Arc<tokio::sync::Semaphore>, RecordingPublisher);

#[async_trait]
impl Publisher for Gated {
    async fn publish(&self, batch: Vec<Delivery>) {
        self.0.acquire().await.unwrap().forget();
        self.1.publish(batch).await;
    }

    async fn flush(&self, deadline: Duration) {
        self.1.flush(deadline).await;
    }

    async fn check(&self) -> Result<(), PublishError> {
        self.1.check().await
    }
}

#[tokio::test]
async fn a_full_queue_makes_the_caller_wait() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let gated = Gated(Arc::clone(&gate), RecordingPublisher::new());
    let router = build(Router::builder().route("a", gated).concurrency(1).queue(2));
    let outcomes = Outcomes::new();
    router.publish(outcomes.deliveries(batch(&["a"]))).await;
    tokio::task::yield_now().await; // the first call takes the first message
    router.publish(outcomes.deliveries(batch(&["a"]))).await;
    tokio::select! {
        biased;
        () = router.publish(outcomes.deliveries(batch(&["a"]))) => panic!("the queue is full"),
        () = tokio::task::yield_now() => {}
    }
    gate.add_permits(2);
    router.publish(outcomes.deliveries(batch(&["a"]))).await;
    gate.add_permits(1);
    assert_eq!(outcomes.all().await.len(), 4, "nothing of the cancelled call is lost");
}

#[tokio::test(start_paused = true)]
async fn a_flush_reaches_every_publisher_and_keeps_to_the_deadline() {
    let (one, other) = (RecordingPublisher::holding(), RecordingPublisher::new());
    let router = Router::builder().route("one", one.clone()).route("other", other.clone()).route("stuck", Stuck);
    let router = build(router.concurrency(1));
    let outcomes = Outcomes::new();
    router.publish(outcomes.deliveries(batch(&["one", "other", "stuck"]))).await;
    tokio::task::yield_now().await; // Stuck has its message and will take no other
    router.publish(outcomes.deliveries(batch(&["stuck"]))).await;
    let started = Instant::now();
    router.flush(MINUTE).await;
    assert_eq!(started.elapsed(), MINUTE, "all at the same time");
    assert!(other.calls().contains(&Call::Flush(MINUTE)));
    let (delivered, withheld) = (Some(Reported::Delivered), Some(Reported::Withheld));
    assert_eq!(outcomes.now(), [withheld.clone(), delivered, None, withheld]);
}

#[tokio::test]
async fn the_check_names_every_route_that_fails() {
    let down = FaultyPublisher::new(NoopPublisher::new());
    down.switch_off("no network");
    let router = Router::builder().route("fine", NoopPublisher::new()).route("down.*", down);
    let error = build(router).check().await.unwrap_err();
    assert_eq!(error.summary(), "route \"down.*\": destination unreachable: no network");
    let error = build(Router::builder().route("a", Stuck).otherwise(Stuck)).check().await.unwrap_err();
    let summary = "routes \"a\", \"otherwise\": destination unreachable: the check panicked: no idea";
    assert_eq!((error.kind(), error.summary().as_str()), (PublishErrorKind::Unreachable, summary));
    assert!(build(Router::builder().route("fine", NoopPublisher::new())).check().await.is_ok());
}

#[tokio::test]
async fn dropping_the_router_reports_what_it_holds() {
    let stuck = publish_fn(|_| std::future::pending()).concurrency(1);
    let router = build(Router::builder().route("a", stuck).concurrency(1));
    let outcomes = Outcomes::new();
    for n in 0..3 {
        let messages = (0..3).map(|seq| message("a", Some(&format!("{n}-{seq}")), seq, "x"));
        router.publish(outcomes.deliveries(messages)).await;
        tokio::task::yield_now().await;
    }
    drop(router);
    let outcomes = outcomes.all().await;
    let withheld = outcomes.iter().filter(|outcome| **outcome == Reported::Withheld).count();
    assert_eq!((withheld, matches!(outcomes[0], Reported::Unreachable(_))), (8, true), "{outcomes:?}");
}
