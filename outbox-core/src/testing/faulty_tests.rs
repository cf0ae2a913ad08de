use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Fault, FaultyPublisher, Outcomes, Reported, message};
use crate::message::Message;
use crate::publisher::{MemoryPublisher, Publisher, caught};

/// Messages 1 and up, all of one key.
fn batch(count: i64) -> Vec<Message> {
    (1..=count).map(|seq| message("a", Some("k"), seq, "x")).collect()
}

fn reason() -> String {
    "a fault of the test".to_owned()
}

fn arrived(publisher: &FaultyPublisher<MemoryPublisher>) -> Vec<i64> {
    publisher.inner().messages().iter().map(|message| message.seq).collect()
}

#[tokio::test]
async fn a_fault_ends_its_key_and_no_other() {
    let faults = [
        (Fault::Reject, Reported::Rejected(reason())),
        (Fault::Unreachable, Reported::Unreachable(reason())),
        (Fault::Throttle(Some(Duration::from_secs(7))), Reported::Throttled(reason(), Some(Duration::from_secs(7)))),
        (Fault::Withhold, Reported::Withheld),
        (Fault::Drop, Reported::Rejected("the publisher dropped the message without reporting an outcome".to_owned())),
    ];
    for (fault, reported) in faults {
        let publisher = FaultyPublisher::new(MemoryPublisher::new()).nth(2, fault);
        let (outcomes, mut messages) = (Outcomes::new(), batch(3));
        messages.push(message("a", Some("other"), 4, "x"));
        publisher.publish(outcomes.deliveries(messages)).await;
        let (delivered, withheld) = (Reported::Delivered, Reported::Withheld);
        assert_eq!(outcomes.all().await, [delivered.clone(), reported, withheld, delivered]);
        assert_eq!(arrived(&publisher), [1, 4]);
        assert_eq!(publisher.faults(), 1);
    }
}

#[tokio::test]
async fn a_lost_report_hides_what_arrived() {
    let publisher = FaultyPublisher::new(MemoryPublisher::new()).nth(2, Fault::LoseReport);
    let outcomes = Outcomes::new();
    publisher.publish(outcomes.deliveries(batch(3))).await;
    let lost = Reported::Unreachable("the acknowledgement was lost".to_owned());
    assert_eq!(outcomes.all().await, [Reported::Delivered, lost, Reported::Withheld]);
    assert_eq!(arrived(&publisher), [1, 2]);
}

#[tokio::test]
async fn a_panic_rejects_the_whole_batch() {
    let publisher = FaultyPublisher::new(MemoryPublisher::new()).nth(2, Fault::Panic);
    let outcomes = Outcomes::new();
    assert!(caught(publisher.publish(outcomes.deliveries(batch(2)))).await.is_err());
    assert!(outcomes.all().await.iter().all(|outcome| matches!(outcome, Reported::Rejected(_))));
    assert!(arrived(&publisher).is_empty());
}

#[tokio::test]
async fn an_outage_lasts_until_it_is_switched_off() {
    let publisher = FaultyPublisher::new(MemoryPublisher::new());
    publisher.switch_off("no network");
    let outcomes = Outcomes::new();
    publisher.publish(outcomes.deliveries(batch(1))).await;
    assert_eq!(outcomes.all().await, [Reported::Unreachable("no network".to_owned())]);
    assert_eq!(publisher.check().await.unwrap_err().summary(), "no network");
    publisher.switch_on();
    publisher.publish(outcomes.deliveries(batch(1))).await;
    assert_eq!(outcomes.all().await[1], Reported::Delivered);
    assert!(publisher.check().await.is_ok());
}

#[tokio::test]
async fn a_condition_sees_the_attempts() {
    let publisher = FaultyPublisher::new(MemoryPublisher::new()).when(|message| message.attempts < 1, Fault::Reject);
    let (outcomes, first) = (Outcomes::new(), message("a", None, 1, "x"));
    let second = Message { attempts: 1, ..first.clone() };
    publisher.publish(outcomes.deliveries([first])).await;
    publisher.publish(outcomes.deliveries([second])).await;
    assert_eq!(outcomes.all().await, [Reported::Rejected(reason()), Reported::Delivered]);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults() {
    let run = async |seed| {
        let faults = [Fault::Withhold, Fault::Reject];
        let publisher = FaultyPublisher::new(MemoryPublisher::new()).randomly(seed, 0.3, faults);
        let outcomes = Outcomes::new();
        publisher.publish(outcomes.deliveries((0..200).map(|seq| message("a", None, seq, "x")))).await;
        assert!((30..90).contains(&publisher.faults()), "{}", publisher.faults());
        outcomes.all().await
    };
    assert_eq!(run(7).await, run(7).await);
    assert_ne!(run(7).await, run(8).await);
}

#[tokio::test(start_paused = true)]
async fn a_delay_holds_the_batch_back_until_a_flush_gives_up() {
    let delay = Fault::Delay(Duration::from_secs(60));
    let publisher = Arc::new(FaultyPublisher::new(MemoryPublisher::new()).when(|_| true, delay));
    let outcomes = Outcomes::new();
    let started = Instant::now();
    publisher.publish(outcomes.deliveries(batch(1))).await;
    assert_eq!((started.elapsed().as_secs(), arrived(&publisher)), (60, vec![1]));
    let pausing = tokio::spawn({
        let (publisher, batch) = (Arc::clone(&publisher), outcomes.deliveries(batch(1)));
        async move { publisher.publish(batch).await }
    });
    tokio::task::yield_now().await;
    publisher.flush(Duration::from_secs(1)).await;
    pausing.await.unwrap();
    assert_eq!(outcomes.all().await, [Reported::Delivered, Reported::Withheld]);
}
