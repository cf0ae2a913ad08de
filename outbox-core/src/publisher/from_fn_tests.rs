use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::{MemoryPublisher, PublishError, Publisher, publish_fn, publish_with};
use crate::message::Message;
use crate::testing::{Outcomes, Reported, message};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_failure_or_panic_withholds_the_rest_of_its_key() {
    let publisher = publish_fn(|message: Arc<Message>| {
        assert!(message.seq != 2, "before there is a future");
        async move {
            assert!(message.seq != 12, "in the future, {}", message.seq);
            if message.seq == 22 { Err(PublishError::throttled("slow down", Some(MINUTE))) } else { Ok(()) }
        }
    });
    let outcomes = Outcomes::new();
    let batch = [1, 11, 21, 2, 12, 22, 3, 13, 23].map(|seq| {
        let key = (seq / 10).to_string();
        message("a", Some(&key), seq, "x")
    });
    publisher.publish(outcomes.deliveries(batch)).await;
    let mut expected = vec![Reported::Delivered; 3];
    expected.push(Reported::Rejected("publishing panicked: before there is a future".to_owned()));
    expected.push(Reported::Rejected("publishing panicked: in the future, 12".to_owned()));
    expected.push(Reported::Throttled("slow down".to_owned(), Some(MINUTE)));
    expected.extend(vec![Reported::Withheld; 3]);
    assert_eq!(outcomes.all().await, expected);
}

#[tokio::test]
async fn keys_go_at_the_same_time_but_not_more_than_allowed() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let publisher = publish_with((running, most), |(running, most), _| async move {
        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        running.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    })
    .concurrency(3);
    let outcomes = Outcomes::new();
    publisher.publish(outcomes.deliveries((0..20).map(|seq| message("a", None, seq, "x")))).await;
    outcomes.all().await;
    assert_eq!(seen.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn messages_of_one_key_are_never_sent_at_the_same_time() {
    let running = Arc::new(AtomicUsize::new(0));
    let publisher = publish_with(running, |running, _| async move {
        assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0);
        tokio::task::yield_now().await;
        running.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    });
    let outcomes = Outcomes::new();
    publisher.publish(outcomes.deliveries((0..20).map(|seq| message("a", Some("k"), seq, "x")))).await;
    assert_eq!(outcomes.all().await, vec![Reported::Delivered; 20]);
}

/// A closure that never returns, and what it says when it is cancelled.
fn stuck() -> (impl Publisher, Reported) {
    let cause = "the call was cancelled before it returned; the message may have arrived";
    (publish_fn(|_| std::future::pending()).concurrency(1), Reported::Unreachable(cause.to_owned()))
}

#[tokio::test(start_paused = true)]
async fn a_flush_cancels_what_does_not_end() {
    let ((publisher, cancelled), outcomes) = (stuck(), Outcomes::new());
    let batch = [("1", 1), ("1", 2), ("2", 3)].map(|(key, seq)| message("a", Some(key), seq, "x"));
    // One call at a time: key 2 is not started, so publish waits for it until the flush gives up.
    tokio::join!(publisher.publish(outcomes.deliveries(batch)), publisher.flush(MINUTE));
    assert_eq!(outcomes.all().await, [cancelled, Reported::Withheld, Reported::Withheld]);
}

#[tokio::test]
async fn dropping_the_publisher_cancels_too() {
    let ((publisher, cancelled), outcomes) = (stuck(), Outcomes::new());
    let batch = [1, 2].map(|seq| message("a", Some("k"), seq, "x"));
    publisher.publish(outcomes.deliveries(batch)).await;
    drop(publisher);
    assert_eq!(outcomes.all().await, [cancelled, Reported::Withheld]);
}

#[tokio::test]
async fn cancelling_publish_loses_nothing() {
    let (gate, there) = (Arc::new(Notify::new()), MemoryPublisher::new());
    let opened = Arc::clone(&gate);
    let publisher = publish_with((gate, there.clone()), |(gate, sink), message| async move {
        gate.notified().await;
        gate.notify_one();
        sink.keep(message);
        Ok(())
    })
    .concurrency(1);
    let outcomes = Outcomes::new();
    let batch = outcomes.deliveries((0..3).map(|seq| message("a", None, seq, "x")));
    tokio::select! {
        biased;
        () = publisher.publish(batch) => panic!("two messages cannot have started"),
        () = tokio::task::yield_now() => {}
    }
    opened.notify_one();
    assert_eq!(outcomes.all().await, vec![Reported::Delivered; 3]);
    assert_eq!(there.messages().len(), 3);
}
